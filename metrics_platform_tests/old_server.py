"""An old ClickHouse behind HTTP: the engine of an old `chdb` wheel, which has no HTTP interface of its own.

python metrics_platform_tests/old_server.py WHEEL_DIRECTORY DATA_DIRECTORY    (prints its port)

It does what the platform's queries need: parameters, settings, inserts in any format, error codes, and how many rows an
INSERT wrote. Everybody may log in, and one statement runs at a time. These engines do not survive an error, so the
engine is a process of its own, which ends with its first error.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is run as a program
from metrics_platform_tests.request_handler import RequestHandler

_TRANSPORT = {
    "query", "database", "default_format", "query_id", "session_id", "compress", "enable_http_compression", "role",
    "client_protocol_version", "send_progress_in_http_headers", "http_headers_progress_interval_ms",
    "wait_end_of_query", "cancel_http_readonly_queries_on_client_close", "user", "password", "quota_key",
}  # fmt: skip
_INSERTED = re.compile(rb"\s*(INSERT INTO (\S+) (\([^()]*\)))\s+FORMAT (\w+)\s*\n", re.IGNORECASE)
_INSERT = re.compile(r"\s*INSERT INTO (\S+)", re.IGNORECASE)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _answer(session: Any, data: str, parameters: dict[str, str], body: bytes) -> tuple[bytes, int]:
    """The bytes of a statement's answer, and how many rows it wrote."""

    def run(sql: str, kind: str = "TabSeparated") -> bytes:
        for remembered in ("set_statements", "default_database"):  # of the statement before; 24.8 cannot read them
            (Path(data) / remembered).unlink(missing_ok=True)
        return bytes(session.query(before + sql, kind).bytes() or b"")

    settings = [(name, value) for name, value in parameters.items() if name not in _TRANSPORT and value]
    before = "".join(f"SET {name} = {_text(value)};\n" for name, value in settings)
    if "database" in parameters:
        before = f"USE {parameters['database']};\n{before}"
    sql = (parameters.get("query", "").encode() + b"\n" + body).strip()
    with tempfile.NamedTemporaryFile() as file:
        if inserted := _INSERTED.match(sql + b"\n"):
            file.write(sql[inserted.end() :])
            file.flush()
            insert, table, columns, kind = (group.decode() for group in inserted.groups())
            statement = f"{insert} SELECT {columns[1:-1]} FROM file({_text(file.name)}, {kind})"
        else:
            statement = sql.decode().removesuffix(" SYNC")  # 24.8 ends after each statement, before a drop is done
            table = found[1] if (found := _INSERT.match(statement)) else ""
        kind = parameters.get("default_format", "TabSeparated")
        if found := _FORMAT.search(statement):
            kind, statement = found[1], statement[: found.start()]
        rows = -int(run(f"SELECT count() FROM {table}")) if table else 0
        result = run(statement, kind)
        return result, rows + int(run(f"SELECT count() FROM {table}")) if table else 0


def _serve_engine(wheel: str, data: str) -> None:
    """Answer pickled requests on standard input until one fails."""
    sys.path.insert(0, wheel)
    from chdb.session import Session

    session = Session(data)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the engine prints
    problem = ""
    while not problem:
        request = pickle.load(sys.stdin.buffer)
        try:
            answer, written = _answer(session, data, *request)
        except Exception as error:  # noqa: BLE001  (the client gets every error)
            answer, written, problem = b"", 0, str(error)
        pickle.dump((answer, written, problem), answers)
        answers.flush()
    os._exit(0)


class _Engine:
    """The process with the engine, started when it is needed."""

    def __init__(self, *arguments: str) -> None:
        self.command = [sys.executable, __file__, "--engine", *arguments]
        self.process: subprocess.Popen[bytes] | None = None
        self.turn = threading.Lock()

    def ask(self, parameters: dict[str, str], body: bytes) -> tuple[bytes, int, str]:
        """The answer, the number of rows written, and what went wrong."""
        with self.turn:
            if self.process is None:
                self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert self.process.stdin is not None and self.process.stdout is not None
            pickle.dump((parameters, body), self.process.stdin)
            self.process.stdin.flush()
            answer, written, problem = pickle.load(self.process.stdout)
            if problem:
                self.process.wait()
                self.process = None
            return answer, written, problem


class _Handler(RequestHandler):
    engine: _Engine

    def respond(self, body: bytes) -> None:
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        answer, written, problem = self.engine.ask(parameters, body)
        headers = {"X-ClickHouse-Summary": json.dumps({"written_rows": str(written), "read_rows": "0"})}
        if problem:
            code = re.search(r"Code:\s*(\d+)", problem)
            headers["X-ClickHouse-Exception-Code"] = code[1] if code else "1002"
            answer = problem.encode()
        self.reply(500 if problem else 200, headers.items(), answer)


if __name__ == "__main__":
    if sys.argv[1] == "--engine":
        _serve_engine(*sys.argv[2:])
    _Handler.engine = _Engine(*sys.argv[1:])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)  # noqa: T201
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # ends with its parent
