"""All links found: listed, filtered, and told as they come."""

import requests
from conftest import Server, wait_until
from test_jobs import events


def listen(url, count, **asked):
    """The first so many links of the stream, with their ids."""
    heard = []
    with requests.get(f"{url}/links/stream", stream=True, timeout=60, **asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        answer.encoding = "utf-8"
        for event, handle, link in events(answer):
            assert event == "link"
            heard.append((handle, link["id"]))
            if len(heard) == count:
                return heard
    raise AssertionError(f"the stream ended after {len(heard)} links")


def test_links_are_paged_newest_first_and_each_once(url):
    ids, cursor = [], None
    while True:
        page = requests.get(f"{url}/links", params={"limit": 5, "cursor": cursor}, timeout=60).json()
        ids += [link["id"] for link in page["links"]]
        if not (cursor := page["next"]):
            break
    assert len(ids) == len(set(ids)) >= 19


def test_links_are_filtered(url):
    def found(**asked):
        return requests.get(f"{url}/links", params=asked | {"limit": 1000}, timeout=60).json()["links"]

    one = found()[0]
    problem = one["problem"]
    for asked, holds in [
        ({"problem_id": problem["id"]}, lambda link: link["problem"]["id"] == problem["id"]),
        ({"anomaly_id": one["anomaly"]["id"]}, lambda link: link["anomaly"]["id"] == one["anomaly"]["id"]),
        ({"from": problem["event"]["time"]}, lambda link: link["problem"]["event"]["time"] >= problem["event"]["time"]),
    ]:
        links = found(**asked)
        assert one["id"] in [link["id"] for link in links] and all(map(holds, links)), asked
    assert found(q="no such text anywhere") == []


def test_the_stream_goes_on_after_the_last_event_that_was_heard(url):
    heard = listen(url, 10, params={"recent": 10})
    assert len(set(heard)) == 10
    for asked in ({"headers": {"Last-Event-ID": heard[3][0]}}, {"params": {"last_event_id": heard[3][0]}}):
        assert listen(url, 6, **asked) == heard[4:]


def test_links_of_uploads_are_told_and_kept_over_a_restart(tmp_path):
    empty = tmp_path / "logs"
    empty.mkdir()
    (empty / "quiet.log").write_text("2025-10-06T07:00:00 INFO db: all is well\n")
    log = (
        "2025-10-06T07:00:00 WARNING db: Replica apply queue growing\n"
        "2025-10-06T07:42:23 ERROR db: Replica fell out of step with primary\n"
    )
    server = Server(tmp_path, LOG_DIR=str(empty))
    try:
        files = [("log_files", ("app.log", log.encode()))]
        answer = requests.post(f"{server.url}/analyze-logs/?format=json", files=files, timeout=60)
        ids = {link["id"] for link in answer.json()["links"]}
        assert ids

        def kept():
            links = requests.get(f"{server.url}/links", timeout=60).json()["links"]
            return {link["id"] for link in links} == ids

        wait_until(kept, "the links of the upload are in the history")
        server.close()
        server = Server(tmp_path, LOG_DIR=str(empty))
        assert kept()
        assert {link for _, link in listen(server.url, len(ids), params={"recent": 9})} == ids
    finally:
        server.close()
