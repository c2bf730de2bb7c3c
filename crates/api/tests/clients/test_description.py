"""What the API says of itself, and whether it is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import requests

ENDPOINTS = {
    ("post", "/analyze-logs/"),
    ("post", "/jobs"),
    ("get", "/jobs/{id}"),
    ("delete", "/jobs/{id}"),
    ("get", "/jobs/{id}/events"),
    ("get", "/jobs/{id}/result"),
    ("get", "/jobs/{id}/links"),
    ("get", "/jobs/{id}/links/{number}"),
    ("get", "/jobs/{id}/timeline"),
    ("get", "/jobs/{id}/lags"),
    ("get", "/links"),
    ("get", "/links/stream"),
    ("get", "/dictionary"),
    ("get", "/dictionary/findings"),
    ("post", "/match"),
    ("get", "/status"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
}


def test_every_endpoint_is_described(url):
    description = requests.get(f"{url}/openapi.json", timeout=60).json()
    operations = {
        (method, path): operation
        for path, item in description["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "delete")
    }
    assert set(operations) == ENDPOINTS
    handles = [operation["operationId"] for operation in operations.values()]
    assert len(handles) == len(set(handles))
    tags = {tag["name"] for tag in description["tags"]}
    for name, operation in operations.items():
        assert operation["summary"] and set(operation["tags"]) <= tags, name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if int(status) >= 400 and name[1] not in ("/health", "/ready", "/metrics"):
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (name, status)


def test_the_page_loads_nothing_from_outside(url):
    page = requests.get(f"{url}/docs", timeout=60)
    assert page.status_code == 200 and page.url == f"{url}/docs/"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) >= 5
    for asset in assets:
        assert not re.match(r"(?:https?:)?//", asset), asset
        assert requests.get(f"{url}/docs/{asset}", timeout=60).status_code == 200, asset
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|<style", page.text), "nothing is inline"
    initializer = requests.get(f"{url}/docs/swagger-initializer.js", timeout=60).text
    assert "/openapi.json" in initializer and '"validatorUrl": "none"' in initializer
    assert "http://" not in initializer and "https://" not in initializer


def test_what_is_nowhere_and_what_cannot_be_asked_is_told_as_json(url):
    answer = requests.get(f"{url}/nowhere", timeout=60)
    assert answer.status_code == 404 and "/nowhere" in answer.json()["detail"]
    answer = requests.delete(f"{url}/match", timeout=60)
    assert answer.status_code == 405 and answer.json()["detail"]
    assert "POST" in answer.headers["allow"]


def test_the_api_is_as_it_is_described(url, tmp_path):
    """Schemathesis asks everything that the description allows, and what it does not."""
    here = Path(__file__).parent
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", here / "schemathesis.toml"]
    command += ["run", f"{url}/openapi.json", "--report", "junit", "--report-dir", "report"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(here / "hooks.py")}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
