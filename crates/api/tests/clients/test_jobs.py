"""Jobs: started, watched, asked for their result, removed."""

import json

import pytest
import requests
from conftest import DICTIONARY, LOGS, parts, wait_until
from test_uploads import expected, handles, of_csv, of_xlsx, values

FINAL = {"done", "failed", "cancelled"}


def events(answer):
    """Server-sent events as (event, id, data), until the stream ends."""
    event = {}
    for line in answer.iter_lines(decode_unicode=True):
        if line == "":
            if "data" in event:
                yield event.get("event", "message"), event.get("id"), json.loads(event["data"])
            event = {}
        elif not line.startswith(":"):
            field, _, value = line.partition(": ")
            event[field] = value


def start(url, files):
    answer = requests.post(f"{url}/jobs", files=files, timeout=300)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    return f"{url}{answer.headers['location']}", job


def finish(job):
    def ended():
        told = requests.get(job, timeout=60).json()
        return told if told["status"] in FINAL else None

    return wait_until(ended, "the job ends")


@pytest.fixture(scope="module")
def done(url):
    job, _ = start(url, parts(LOGS, DICTIONARY))
    assert finish(job)["status"] == "done"
    return job


def test_events_tell_of_a_job_until_it_has_ended(url):
    job, told = start(url, parts(LOGS))
    with requests.get(f"{job}/events", stream=True, timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        answer.encoding = "utf-8"
        heard = list(events(answer))
    assert {event for event, _, _ in heard} == {"job"}
    last = heard[-1][2]
    assert last["id"] == told["id"] and last["status"] == "done"
    assert all(job["status"] not in FINAL for _, _, job in heard[:-1])
    assert last == requests.get(job, timeout=60).json()


def test_a_summary_tells_what_was_read(done):
    summary = requests.get(done, timeout=60).json()["summary"]
    assert summary["link_count"] == len(expected())
    assert summary["dictionary"] == {"name": DICTIONARY.name, "pairs": 358, "own": True}
    assert sorted(file["name"] for file in summary["files"]) == [log.name for log in LOGS]


def test_the_result_is_had_in_every_format(url, done):
    def result(asked):
        answer = requests.get(f"{done}/result", params={"format": asked}, timeout=60)
        assert answer.status_code == 200
        return answer.content

    assert handles(of_csv(result("csv"))) == expected()
    assert handles(values(of_xlsx(result("xlsx")))) == expected()
    direct = requests.post(f"{url}/analyze-logs/?format=json", files=parts(LOGS, DICTIONARY), timeout=300)
    assert json.loads(result("json")) == direct.json()


def test_links_are_paged_in_their_order_and_opened_to_their_evidence(done):
    numbers, times = [], []
    for offset in range(0, 21, 7):
        page = requests.get(f"{done}/links", params={"limit": 7, "offset": offset}, timeout=60).json()
        assert (page["total"], page["matching"], page["complete"]) == (19, 19, True)
        numbers += [link["number"] for link in page["links"]]
        times += [link["problem"]["event"]["time"] for link in page["links"]]
    assert sorted(numbers) == list(range(19)) and times == sorted(times)
    for number in numbers:
        evidence = requests.get(f"{done}/links/{number}", timeout=60).json()
        for side in ("anomaly", "problem"):
            event, context = evidence["link"][side]["event"], evidence[f"{side}_context"]
            assert context["line"] == event["line"]
            assert context["lines"][context["line"] - context["first"]] == event["raw"]


def test_timeline_and_lags_tell_of_all_links(done):
    timeline = requests.get(f"{done}/timeline", params={"by": "file"}, timeout=60).json()
    assert timeline["total_links"] == 19 and not timeline["grouped"]
    assert sum(link["count"] for link in timeline["links"]) == 19
    lags = requests.get(f"{done}/lags", timeout=60).json()
    assert sum(bin["count"] for bin in lags["bins"]) == lags["total"] == 19


def test_a_job_that_is_removed_is_gone(url):
    job, _ = start(url, parts(LOGS))
    assert requests.delete(job, timeout=60).status_code == 204
    for path in ("", "/result", "/links", "/events"):
        answer = requests.get(f"{job}{path}", timeout=60)
        assert answer.status_code == 404 and answer.json()["detail"]


def test_a_job_that_failed_says_why_and_has_no_result(url):
    job, _ = start(url, [("log_files", ("a.log", b"hello\n"))])
    told = finish(job)
    assert (told["status"], told["error"]["status"]) == ("failed", 400)
    assert "no event" in told["error"]["detail"]
    assert requests.get(f"{job}/result", timeout=60).status_code == 409
