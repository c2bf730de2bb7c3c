"""The clients of the original, unchanged: curl, and Python with requests."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest
import requests
from conftest import DATA, DICTIONARY, LOGS, parts

COLUMNS = ["anomaly_id", "anomaly_text", "problem_id", "problem_text", "file_name", "line_number", "log"]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def expected():
    """Ids, file and line of each row that the logs of data/ have."""
    with open(DATA / "expected_links.csv", encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        return sorted(
            (int(row["anomaly_id"]), int(row["problem_id"]), row["problem_file"], int(row["problem_line"]))
            for row in rows
        )


def of_csv(content: bytes):
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert rows[0] == COLUMNS
    return rows[1:]


def of_xlsx(content: bytes):
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    rows = [list(row) for row in sheet.iter_rows()]
    assert [cell.value for cell in rows[0]] == COLUMNS
    return rows[1:]


def handles(rows):
    return sorted((int(row[0]), int(row[2]), row[4], int(row[5])) for row in rows)


def values(rows):
    return [[cell.value for cell in row] for row in rows]


def analyze(url, files, **asked):
    answer = requests.post(f"{url}/analyze-logs/", files=files, timeout=300, **asked)
    assert answer.status_code == 200, answer.text
    return answer


def test_curl_as_in_the_original(url, tmp_path):
    forms = [f"anomalies_file=@{DICTIONARY}"] + [f"log_files=@{log}" for log in LOGS]
    command = ["curl", "--silent", "--show-error", "--fail", "-o", "result.csv"]
    for form in forms:
        command += ["-F", form]
    subprocess.run([*command, f"{url}/analyze-logs/"], cwd=tmp_path, check=True)
    assert handles(of_csv((tmp_path / "result.csv").read_bytes())) == expected()


def test_requests_as_in_the_original(url):
    answer = analyze(url, parts(LOGS, DICTIONARY))
    assert answer.headers["content-type"].startswith("text/csv")
    assert "correlation_results.csv" in answer.headers["content-disposition"]
    rows = of_csv(answer.content)
    assert handles(rows) == expected()
    for row in rows:
        log = (DATA / "logs" / row[4]).read_text(encoding="utf-8").splitlines()
        assert log[int(row[5]) - 1] == row[6], "the row holds the line it names"


def test_the_dictionary_of_the_server_is_used_without_one(url):
    assert handles(of_csv(analyze(url, parts(LOGS)).content)) == expected()


@pytest.mark.parametrize("asked", [{"params": {"format": "xlsx"}}, {"headers": {"Accept": XLSX}}])
def test_the_spreadsheet_has_the_rows_of_the_table(url, asked):
    files = parts(LOGS, DICTIONARY)
    answer = analyze(url, files, **asked)
    assert answer.headers["content-type"] == XLSX
    rows = values(of_xlsx(answer.content))
    assert handles(rows) == expected()
    table = of_csv(analyze(url, files).content)
    assert [[str(value) for value in row] for row in rows] == table


@pytest.mark.parametrize("asked", [{"params": {"format": "json"}}, {"headers": {"Accept": "application/json"}}])
def test_the_json_has_the_evidence(url, asked):
    report = analyze(url, parts(LOGS, DICTIONARY), **asked).json()
    found = [
        (link["anomaly"]["id"], link["problem"]["id"], link["problem"]["event"]["file"], link["problem"]["event"]["line"])
        for link in report["links"]
    ]
    assert sorted(found) == expected()
    assert report["link_count"] == len(report["links"])


def test_text_like_a_formula_stays_text(url):
    formula, other = '=HYPERLINK("http://example.com";"x") array lost', "@SUM(1+1) disk slow"
    dictionary = f"anomaly_id;anomaly;problem_id;problem\n1;{other};2;\"{formula.replace(chr(34), chr(34) * 2)}\"\n"
    log = (
        f"2025-10-06T07:00:00 WARNING {other}\n"
        f"2025-10-06T07:42:23 ERROR {formula}\n"
    )
    files = [
        ("anomalies_file", ("pairs.csv", dictionary.encode(), "text/csv")),
        ("log_files", ("=cmd|'x'!A1.log", log.encode(), "text/plain")),
    ]
    [row] = of_csv(analyze(url, files).content)
    assert (row[1], row[3], row[4][:2]) == (f"'{other}", f"'{formula}", "'=")
    [cells] = of_xlsx(analyze(url, files, params={"format": "xlsx"}).content)
    assert (cells[1].value, cells[3].value, cells[4].value[0]) == (other, formula, "=")
    for cell in cells:
        assert cell.data_type in "ns" and cell.hyperlink is None, cell.value


@pytest.mark.parametrize(
    ("status", "word", "files"),
    [
        (422, "log_files", [("other", ("a.log", b"x"))]),
        (400, "a.exe", [("log_files", ("a.exe", b"x"))]),
        (400, "no event", [("log_files", ("a.log", b"hello\n"))]),
        (400, "pairs.csv", [("log_files", ("a.log", b"x")), ("anomalies_file", ("pairs.csv", b"a;b\n1;2\n"))]),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(url, status, word, files):
    answer = requests.post(f"{url}/analyze-logs/", files=files, timeout=60)
    assert answer.status_code == status
    assert list(answer.json()) == ["detail"] and word in answer.json()["detail"]


def test_the_labelled_incident(url, tmp_path):
    folder = os.environ.get("FORESHOCK_TEST_DATA")
    script = Path(folder or "") / "make_case.py"
    if not folder or not script.exists():
        pytest.skip("FORESHOCK_TEST_DATA names no folder with make_case.py")
    subprocess.run([sys.executable, script, tmp_path], check=True)
    logs = sorted((tmp_path / "case2").glob("*.txt"))
    files = parts(logs, tmp_path / "case2" / "anomalies_problems.csv")
    with open(tmp_path / "case2.expected.csv", encoding="utf-8", newline="") as file:
        wanted = sorted(
            (int(row["anomaly_id"]), int(row["problem_id"]), row["file_name"], int(row["line_number"]))
            for row in csv.DictReader(file)
        )
    assert len(wanted) == 3
    assert handles(of_csv(analyze(url, files).content)) == wanted
    assert handles(values(of_xlsx(analyze(url, files, params={"format": "xlsx"}).content))) == wanted
