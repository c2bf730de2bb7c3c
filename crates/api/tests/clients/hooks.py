"""What schemathesis cannot know of this API: what logs look like, and what was given out before."""

import schemathesis
from schemathesis import GenerationMode

PAIRS = b"anomaly_id;anomaly;problem_id;problem\n1;Replica apply queue growing;2;Replica fell out of step\n"
LOG = b"""2025-10-06T07:00:00 WARNING db: Replica apply queue growing
2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary
"""


def readable(content) -> bytes:
    """What was made up, as text that a log may hold."""
    content = getattr(content, "data", content)
    return content.decode("latin-1").replace("\0", " ").encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta and case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    if case.media_type == "multipart/form-data":
        # Lines that are made up stand behind those of a log. Cases share their bodies.
        body = case.body | {"log_files": [LOG + readable(log) for log in case.body["log_files"]]}
        case.body = body | ({"anomalies_file": PAIRS} if "anomalies_file" in body else {})
    if case.path == "/links":
        # A cursor is had from the page before.
        case.query = {name: value for name, value in case.query.items() if name != "cursor"}
