"""What the demo prints: steps into a pipe, new messages, and a failure and its end once each."""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console

from metrics_platform.local.demo.command import Attempts
from metrics_platform.local.demo.output import Output, Steps
from metrics_platform.settings import load_settings


def test_a_pipe_gets_lines_when_a_step_begins_and_ends() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as read, os.fdopen(writer, "w") as write:
        console = Console(file=write)
        with Steps(console) as steps:
            with steps.step("Making events") as progress:
                assert read.read(200).decode() == "Making events …\n"
                progress(1)
            assert read.read(200).decode() == "Making events: done in 0 s\n"


def test_new_pages_of_the_outbox_are_printed_once_with_their_headline(tmp_path: Path) -> None:
    written = io.StringIO()
    settings = load_settings(env_file=None, data_dir=tmp_path)
    settings.outbox.mkdir()
    (settings.outbox / "old.html").write_text("<title>of an earlier start</title>")
    output = Output(Console(file=written, width=200), settings)
    (settings.outbox / "1.html").write_text("<title>Views &amp; likes [down]</title>")
    (settings.outbox / "index.html").write_text("<title>Outbox</title>")
    output.new_messages()
    output.new_messages()
    (line,) = written.getvalue().splitlines()
    assert line.endswith(f"✉  Views & likes [down]  {settings.outbox / '1.html'}")


def test_a_failure_and_its_end_are_reported_once_each() -> None:
    reports: list[str] = []
    outcomes = iter([TimeoutError("no answer within 30 s"), RuntimeError(), None, None, RuntimeError()])

    def write() -> None:
        if error := next(outcomes):
            raise error

    attempts = Attempts(reports.append)
    for _ in range(5):
        attempts.attempt("Writing events", write)
        attempts.attempt("Reading messages", lambda: None)
    assert reports == [
        "Writing events failed: no answer within 30 s. Trying again.",
        "Writing events works again.",
        "Writing events failed: RuntimeError. Trying again.",
    ]
