#!/usr/bin/env python3
"""Tests a running Triton of Foreshock over HTTP. Needs nothing but Python 3.8.

    python triton/test_triton.py [--http http://localhost:8001] [--wait SECONDS] [--dimension N]
    python triton/test_triton.py --probe     one real inference, for health checks

Prints a line for each check; fails, with exit code 1, if any does.
"""

import argparse
import json
import math
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

MODEL = "codebert"
MAX_BATCH = 64
TEXTS = [
    "disk full",
    "replica apply queue growing",
    "connection to the upstream server timed out while reading the response header " * 4,
    "segfault",
    "write ahead log shipping slow over link",
    "certificate of the load balancer expires soon",
]


class Server:
    def __init__(self, url, timeout):
        self.url = url.rstrip("/")
        self.timeout = timeout

    def call(self, path, body=None, headers=None):
        """The status and the decoded JSON of an answer, whatever the status."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                status, text = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text) if text else {}
        except ValueError:
            return status, {"error": text[:200].decode("utf-8", "replace")}

    def infer(self, texts, model=MODEL, name="TEXT", datatype="BYTES"):
        tensor = {"name": name, "shape": [len(texts), 1], "datatype": datatype, "data": texts}
        return self.call(f"/v2/models/{model}/infer", {"inputs": [tensor]})

    def infer_bytes(self, text):
        """One text as raw bytes, which JSON cannot carry when they are not UTF-8."""
        data = len(text).to_bytes(4, "little") + text
        parameters = {"binary_data_size": len(data)}
        tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "parameters": parameters}
        header = json.dumps({"inputs": [tensor]}).encode()
        headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
        return self.call(f"/v2/models/{MODEL}/infer", header + data, headers)

    def embed(self, texts):
        """The vectors of texts. Fails unless it is one vector of finite numbers for each."""
        status, answer = self.infer(texts)
        assert status == 200, f"HTTP {status}: {answer.get('error', answer)}"
        output = answer["outputs"][0]
        rows, dimension = output["shape"]
        assert output["name"] == "EMBEDDING" and output["datatype"] == "FP32", f"the output is {output['name']} {output['datatype']}"
        assert rows == len(texts), f"{rows} vectors for {len(texts)} texts"
        assert dimension > 0 and len(output["data"]) == rows * dimension, "the output is empty"
        assert all(math.isfinite(number) for number in output["data"]), "a number is not finite"
        return [output["data"][row * dimension : (row + 1) * dimension] for row in range(rows)]


def length(vector):
    return math.sqrt(sum(number * number for number in vector))


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other)) / (length(one) * length(other))


def refused(answer):
    """Fails unless Triton refuses, as the client's fault, and says why."""
    status, body = answer
    assert 400 <= status < 500, f"HTTP {status}: {body.get('error', 'no error')}"
    assert body.get("error"), f"HTTP {status} without a reason"
    return f"HTTP {status}: {body['error'][:100]}"


def is_live(server, _):
    status, _ = server.call("/v2/health/live")
    assert status == 200, f"HTTP {status}"


def is_ready(server, _):
    for path in ("/v2/health/ready", f"/v2/models/{MODEL}/ready"):
        status, answer = server.call(path)
        assert status == 200, f"{path}: HTTP {status} {answer.get('error', '')}"


def has_the_signature(server, _):
    _, answer = server.call(f"/v2/models/{MODEL}/config")
    found = [(answer[side][0]["name"], answer[side][0]["data_type"]) for side in ("input", "output")]
    assert found == [("TEXT", "TYPE_STRING"), ("EMBEDDING", "TYPE_FP32")], f"it is {found}"
    assert answer["max_batch_size"] == MAX_BATCH, f"the largest batch is {answer['max_batch_size']}"


def infers(server, _):
    started = time.monotonic()
    server.embed(TEXTS[:1])
    return f"{(time.monotonic() - started) * 1000:.1f} ms"


def has_one_dimension(server, expected):
    dimensions = {len(vector) for text in TEXTS for vector in server.embed([text])}
    assert len(dimensions) == 1, f"dimensions differ: {dimensions}"
    found = dimensions.pop()
    assert expected in (None, found), f"{found} and not {expected}"
    return str(found)


def has_unit_length(server, _):
    worst = max(abs(length(vector) - 1) for vector in server.embed(TEXTS))
    assert worst < 1e-4, f"a length is off by {worst:.1e}"


def tells_texts_apart(server, _):
    one, other = server.embed(TEXTS[:2])
    assert cosine(one, other) < 0.9999, "two different texts have one vector"


def batch_equals_singles(server, _):
    batch = server.embed(TEXTS)
    worst = min(cosine(vector, server.embed([text])[0]) for text, vector in zip(TEXTS, batch))
    assert worst > 0.9999, f"a cosine is {worst:.6f}"
    return f"least cosine {worst:.7f}"


def full_batch(server, _):
    texts = (TEXTS[:2] * MAX_BATCH)[:MAX_BATCH]
    vectors = server.embed(texts)
    assert all(cosine(vectors[row], vectors[row % 2]) > 0.9999 for row in range(MAX_BATCH)), "rows are mixed up"


def executions(server):
    stats = server.call(f"/v2/models/{MODEL}/stats")[1]["model_stats"][0]
    return stats["execution_count"]


def concurrent_requests(server, _):
    texts = [f"{text} {word}" for text in TEXTS for word in ("alpha", "beta", "gamma", "delta")] * 4
    expected = {text: server.embed([text])[0] for text in set(texts)}
    before = executions(server)
    with ThreadPoolExecutor(16) as pool:
        vectors = list(pool.map(lambda text: server.embed([text])[0], texts))
    worst = min(cosine(vector, expected[text]) for text, vector in zip(texts, vectors))
    assert worst > 0.9999, f"an answer is not that of its request: cosine {worst:.6f}"
    return f"{len(texts)} requests in {executions(server) - before} executions, least cosine {worst:.7f}"


def empty_string(server, _):
    vector = server.embed([""])[0]
    assert abs(length(vector) - 1) < 1e-4, f"its length is {length(vector)}"


def russian(server, _):
    texts = ["диск переполнен", "запись журнала остановлена"]
    one, other = server.embed(texts)
    assert cosine(one, other) < 0.9999, "two different texts have one vector"


def very_long_text(server, _):
    one, other = server.embed(["timeout while reading " * 2000, "timeout while reading " * 4000])
    assert cosine(one, other) > 0.9999, "it is not cut to the model's length"


def wrong_input_name(server, _):
    return refused(server.infer(["disk full"], name="TEXTS"))


def wrong_type(server, _):
    return refused(server.infer([1], datatype="INT64"))


def batch_over_the_maximum(server, _):
    return refused(server.infer(["disk full"] * (MAX_BATCH + 1)))


def unknown_model(server, _):
    return refused(server.infer(["disk full"], model=f"no-{MODEL}"))


def not_utf8_alone_is_refused(server, _):
    good = server.embed(["disk full"])[0]
    with ThreadPoolExecutor(16) as pool:
        bad = [pool.submit(server.infer_bytes, b"\xff\xfe disk") for _ in range(8)]
        fine = [pool.submit(server.infer_bytes, b"disk full") for _ in range(8)]
        reasons = [call.result() for call in bad]
        answers = [call.result() for call in fine]
    for status, answer in reasons:
        assert status >= 400 and "UTF-8" in answer.get("error", ""), f"HTTP {status}: {answer}"
    for status, answer in answers:
        assert status == 200, f"a good request failed with a bad one: {answer}"
        assert cosine(answer["outputs"][0]["data"], good) > 0.9999, "a good request got another vector"
    return f"HTTP {reasons[0][0]}: {reasons[0][1]['error'][:100]}"


CHECKS = [
    ("is live", is_live),
    ("is ready", is_ready),
    ("has the signature TEXT → EMBEDDING", has_the_signature),
    ("a real inference", infers),
    ("one dimension", has_one_dimension),
    ("unit length", has_unit_length),
    ("different texts, different vectors", tells_texts_apart),
    ("a batch of mixed lengths equals singles", batch_equals_singles),
    ("a full batch", full_batch),
    ("concurrent requests", concurrent_requests),
    ("the empty string", empty_string),
    ("Russian text", russian),
    ("a very long text is cut", very_long_text),
    ("a wrong input name is refused", wrong_input_name),
    ("a wrong type is refused", wrong_type),
    ("a batch over the maximum is refused", batch_over_the_maximum),
    ("an unknown model is refused", unknown_model),
    ("text that is not UTF-8 is refused, alone", not_utf8_alone_is_refused),
    ("still infers", infers),
]


def attempt(check, *arguments):
    """Whether a check passes, and what it has to say."""
    try:
        return True, check(*arguments) or ""
    except AssertionError as error:
        return False, str(error)
    except OSError as error:
        return False, f"no answer from {arguments[0].url}: {getattr(error, 'reason', error)}"
    except Exception as error:
        return False, f"unexpected answer: {type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser(description="Tests a running Triton of Foreshock over HTTP.")
    parser.add_argument("--http", default="http://localhost:8001", metavar="URL", help="default: %(default)s")
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="wait so long for the first inference")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="of one request; default: %(default)s")
    parser.add_argument("--dimension", type=int, metavar="N", help="the dimension that vectors must have")
    parser.add_argument("--probe", action="store_true", help="one real inference and nothing else")
    options = parser.parse_args()
    if not options.http.startswith(("http://", "https://")):
        parser.error(f"--http {options.http}: not a URL like http://localhost:8001")
    server = Server(options.http, options.timeout)

    deadline = time.monotonic() + options.wait
    while time.monotonic() < deadline and not attempt(infers, server, None)[0]:
        time.sleep(0.5)

    if options.probe:
        passed, detail = attempt(infers, server, None)
        print(detail)
        return 0 if passed else 1

    failed = 0
    for done, (name, check) in enumerate(CHECKS, 1):
        passed, detail = attempt(check, server, options.dimension)
        failed += not passed
        print(f"{'ok    ' if passed else 'FAILED'} {name}{': ' + detail if detail else ''}", flush=True)
        if check is is_live and not passed:
            break  # nothing there: the rest would say the same
    print(f"{done - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
