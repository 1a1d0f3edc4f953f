"""What the tests of the embedded ClickHouse share: the command as a child process, and one request to a server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import requests

COMMAND = [sys.executable, "-m", "metrics_platform.cli", "clickhouse"]
PREFIX = "metrics-platform clickhouse: "
# Seconds that no process takes that does not hang, however busy the machine is.
HANGS = 600.0


class Answer(NamedTuple):
    status: int
    text: str
    headers: dict[str, str]


def ask(url: str, query: str, *, method: str = "POST", headers: dict[str, str] | None = None, **params: str) -> Answer:
    """One request as the user in `url`, or without a user when it names none."""
    parts = urlsplit(url)
    auth = (parts.username, parts.password or "") if parts.username else None
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            method,
            f"http://127.0.0.1:{parts.port}/",
            data=query,
            auth=auth,
            headers=headers,
            params=params,
            timeout=HANGS,
        )
    return Answer(answer.status_code, answer.text.strip(), dict(answer.headers))


def rows(url: str, query: str) -> list[str]:
    answer = ask(url, query)
    assert answer.status == 200, answer.text
    return answer.text.splitlines()


@contextmanager
def started(path: Path, *options: str, command: list[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The command as a child of this process, after its first line on standard output."""
    process = subprocess.Popen(
        [*(command or COMMAND), f"--path={path}", "--port=0", *options],
        stdin=subprocess.PIPE,  # open and full of what the engine would take for data
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdin.write("1,2\n")
        process.stdin.flush()
        ready = process.stdout.readline()
        assert ready.startswith("READY http://127.0.0.1:"), process.communicate()
        yield process
    finally:
        process.kill()
        process.wait()


def url_of(path: Path) -> str:
    return (path / "url").read_text().strip()


def wait_until(condition: Callable[[], bool], seconds: float = HANGS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
