"""What schemathesis cannot know of this API: what logs look like, and what was given out before."""

import schemathesis
from schemathesis import GenerationMode
from schemathesis.transport.serialization import Binary

PAIRS = "anomaly_id;anomaly;problem_id;problem\n1;Replica apply queue growing;2;Replica fell out of step\n"
LOG = """2025-10-06T07:00:00 WARNING db: Replica apply queue growing
2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary
"""


def log(content) -> str:
    """Lines of a log, with what was made up behind them as text."""
    content = content.data if isinstance(content, Binary) else content
    made_up = content.decode("latin-1")
    return LOG + "".join(letter if letter.isprintable() else " " for letter in made_up)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta and case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.media_type == "multipart/form-data":
        # Cases share their bodies, so another is made. Names of other parts are made up of what no
        # header may hold.
        dictionary = {"anomalies_file": PAIRS} if "anomalies_file" in case.body else {}
        case.body = {"log_files": [log(content) for content in case.body["log_files"]]} | dictionary
    if case.path == "/links":
        # A cursor is had from the page before.
        case.query = {name: value for name, value in case.query.items() if name != "cursor"}
