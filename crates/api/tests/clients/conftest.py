"""A real server for the clients: `foreshock live` on a port of its own, with a history of its own."""

import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[4]
DATA = ROOT / "data"
DICTIONARY = DATA / "anomalies_problems.csv"
LOGS = sorted((DATA / "logs").glob("*.txt"))

# How long the server may take to say where it listens; the model may have to be fetched first.
PATIENCE = 300


def binary() -> Path:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = ROOT / target / "release" / "foreshock"
    assert path.exists(), f"{path} is not there: cargo build --release"
    return path


class Server:
    """A process that serves the API until it is closed."""

    def __init__(self, folder: Path, **settings: str):
        environment = os.environ | {
            "LINKS_DB": str(folder / "links.db"),
            "LOG_DIR": str(DATA / "logs"),
            "ANOMALIES_CSV_PATH": str(DICTIONARY),
            "HTTP_PORT": "0",
            "FRONTEND_PORT": "0",
            # Jobs that are asked for stay, however many are started.
            "JOBS_KEPT": "10000",
            **settings,
        }
        self.lines = []
        self.process = subprocess.Popen(
            [binary(), "live"],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found = queue.Queue()
        threading.Thread(target=self._listen, args=(found,), daemon=True).start()
        try:
            self.url = found.get(timeout=PATIENCE)
        except queue.Empty:
            self.close()
            raise AssertionError("no address was told:\n" + "".join(self.lines)) from None

    def _listen(self, found: queue.Queue):
        for line in self.process.stdout:
            self.lines.append(line)
            if told := re.search(r"API (http://\S+)/docs", line):
                found.put(told[1])

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def wait_until(done, what: str):
    """Asks again and again until `done` answers something true, which is returned."""
    end = time.monotonic() + PATIENCE
    while not (answer := done()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def url(server) -> str:
    """The address of the API, once the links of data/ are in its history."""

    def all_found():
        links = requests.get(f"{server.url}/links", timeout=60).json()["links"]
        return len(links) >= 19

    wait_until(all_found, "the links of data/logs are found")
    return server.url


def parts(logs, dictionary=None):
    """The parts of an upload, as the clients of the original send them."""
    files = [("log_files", (log.name, log.read_bytes(), "text/plain")) for log in logs]
    if dictionary:
        files.insert(0, ("anomalies_file", (dictionary.name, dictionary.read_bytes(), "text/csv")))
    return files
