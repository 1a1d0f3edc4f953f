"""A webhook of Slack's on loopback over real HTTP, with faults on demand, and what its tests share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.models.blocks import Block as SlackBlock

from metrics_platform.notifications.message import units
from metrics_platform.notifications.slack import BLOCKS, SlackChannel
from metrics_platform_tests.notifications.clock import Clock
from metrics_platform_tests.telegram.http_server import Answer, LoopbackServer, Request

SECRET = "T0SECRET1/B0SECRET2/s3cr3tS3cr3tS3cr3t"
OK = (200, "ok", {})


@dataclass
class Slack:
    """A webhook that gives these answers: (status, body, headers), `drop` or `hang`; then "ok"."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    payloads: list[dict[str, Any]] = field(default_factory=list)

    def texts(self) -> str:
        return json.dumps(self.payloads, ensure_ascii=False)


@contextmanager
def running() -> Iterator[Slack]:
    fake = Slack()

    def answer(request: Request) -> Answer:
        fake.payloads.append(json.loads(request.body))
        given = fake.answers.pop(0) if fake.answers else OK
        if isinstance(given, str):
            return Answer(hang_up=given == "drop", hang=given == "hang")
        status, body, headers = given
        return Answer(status, body.encode(), headers)

    server = LoopbackServer(answer)
    fake.url = f"http://127.0.0.1:{server.port}/services/{SECRET}"
    try:
        yield fake
    finally:
        server.stop()


def channel_to(url: str, clock: Clock, **more: Any) -> SlackChannel:
    return SlackChannel(url, policy=clock.policy, **{"timeouts": (2.0, 10.0), **more})


def check_payload(payload: dict[str, Any]) -> None:
    """What Slack's own models and documented limits say."""
    assert units(payload["text"]) <= 3000
    blocks = payload["blocks"]
    assert 1 <= len(blocks) <= BLOCKS
    for block in blocks:
        model = SlackBlock.parse(block)
        model.validate_json()
        assert model.to_dict() == block
        if block["type"] == "rich_text":
            (element,) = block["elements"]
            texts = [part["text"] for part in element["elements"]]
            assert all(texts)
            assert 1 <= units("".join(texts).strip()) <= units("".join(texts)) <= 3000
        if block["type"] == "header":
            assert 1 <= units(block["text"]["text"]) <= 150
        if block["type"] == "context":
            assert 1 <= len(block["elements"]) <= 10
            assert all(1 <= units(element["text"]) <= 3000 for element in block["elements"])
        if block["type"] == "actions":
            assert 1 <= len(block["elements"]) <= 25
            assert all(
                1 <= units(button["text"]["text"]) <= 75 and units(button["url"]) <= 3000
                for button in block["elements"]
            )


def types_of(payload: dict[str, Any]) -> list[str]:
    return [block["type"] for block in payload["blocks"]]


def texts_of(payload: dict[str, Any]) -> list[str]:
    """The texts of the blocks between the header and the buttons."""
    blocks = [block for block in payload["blocks"] if block["type"] == "rich_text"]
    return ["".join(part["text"] for part in block["elements"][0]["elements"]) for block in blocks]
