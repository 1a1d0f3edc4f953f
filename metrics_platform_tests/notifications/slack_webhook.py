"""A webhook of Slack's on loopback over real HTTP, with faults on demand, and what its tests share."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from slack_sdk.models.blocks import Block as SlackBlock

from metrics_platform.notifications.message import units
from metrics_platform.notifications.slack import SlackChannel
from metrics_platform.notifications.slack_blocks import BLOCKS
from metrics_platform_tests.notifications.clock import Clock

SECRET = "T0SECRET1/B0SECRET2/s3cr3tS3cr3tS3cr3t"
OK = (200, "ok", {})


@dataclass
class Slack:
    """A webhook that answers as it is told to: (status, body, headers), `drop` or `hang`; «ok» when all is said."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    payloads: list[dict[str, Any]] = field(default_factory=list)

    def texts(self) -> str:
        return json.dumps(self.payloads, ensure_ascii=False)


@contextmanager
def running() -> Iterator[Slack]:
    fake = Slack()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fake.payloads.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = fake.answers.pop(0) if fake.answers else OK
            if answer == "hang":
                time.sleep(0.5)
                answer = "drop"
            if answer == "drop":
                self.connection.close()
                return
            status, body, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError, ValueError):  # a dropped connection has nothing to flush
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    with closing(server.socket):
        yield fake
        server.shutdown()


def channel_to(url: str, clock: Clock, **more: Any) -> SlackChannel:
    return SlackChannel(url, policy=clock.policy, timeouts=(2.0, 0.2), **more)


def check_payload(payload: dict[str, Any]) -> None:
    """What Slack's own models and documented limits say."""
    assert units(payload["text"]) <= 3000
    blocks = payload["blocks"]
    assert 1 <= len(blocks) <= BLOCKS
    for each in blocks:
        model = SlackBlock.parse(each)
        assert model is not None
        model.validate_json()
        assert model.to_dict() == each
        if each["type"] == "rich_text":
            (element,) = each["elements"]
            texts = [part["text"] for part in element["elements"]]
            assert all(texts)
            assert 1 <= units("".join(texts).strip()) <= units("".join(texts)) <= 3000
        if each["type"] == "header":
            assert 1 <= units(each["text"]["text"]) <= 150
        if each["type"] == "context":
            assert 1 <= len(each["elements"]) <= 10
            assert all(1 <= units(element["text"]) <= 3000 for element in each["elements"])
        if each["type"] == "actions":
            assert 1 <= len(each["elements"]) <= 25
            assert all(
                1 <= units(button["text"]["text"]) <= 75 and units(button["url"]) <= 3000 for button in each["elements"]
            )


def types_of(payload: dict[str, Any]) -> list[str]:
    return [each["type"] for each in payload["blocks"]]


def texts_of(payload: dict[str, Any]) -> list[str]:
    """The texts of the blocks between the header and the buttons."""
    blocks = [block for block in payload["blocks"] if block["type"] == "rich_text"]
    return ["".join(part["text"] for part in block["elements"][0]["elements"]) for block in blocks]
