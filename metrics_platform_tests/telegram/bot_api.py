"""A strict Bot API server on loopback: `with bot_api_server() as api`, and what a test sees of it.

It speaks real HTTP, refuses what Telegram refuses in Telegram's words (and typing mistakes in its own), keeps what
a person would see in each chat, records every call, and misbehaves on demand. That it speaks the Bot API is shown
by two clients which others wrote, in `test_real_clients.py`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import unquote

from metrics_platform_tests.telegram.http_server import (
    Answer,
    LoopbackServer,
    Request,
    Sent,
    UploadedFile,
    read_request,
)
from metrics_platform_tests.telegram.methods import Methods, RateLimits
from metrics_platform_tests.telegram.parsing import ApiError, parse
from metrics_platform_tests.telegram.state import Chat, Message, World, unix_time

TOKEN = "123456789:AAF0_made-up_for_tests_of_alerts_00"
_TOKEN_FORM = re.compile(r"[1-9]\d{5,15}:[A-Za-z0-9_-]{35}")
_PATH = re.compile(r"/bot(?P<token>[^/]*)/(?P<method>[^/]*)")


@dataclass
class Call:
    """One HTTP call. `status` is None until it is answered, and stays None where it never is."""

    method: str
    parameters: dict[str, str]
    files: dict[str, UploadedFile]  # by field; each has `name`, `size` and `content`
    time: float  # seconds by the server's clock
    status: int | None = None
    description: str = ""  # of a refusal
    fault: Fault | None = None

    @property
    def ok(self) -> bool:
        """Whether the caller got an answer that it is done."""
        return self.status == 200 and self.fault is None


@dataclass
class BotApi:
    """The server as tests use it. Its chats at first: Anna's, a group, a forum with two topics, a channel."""

    base: str
    token: str
    faults: Faults
    limits: RateLimits
    _world: World
    _server: LoopbackServer
    _calls: list[Call] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    private: int = 700_000_001
    group: int = -4_001_234_567
    forum: int = -1_002_123_456_789
    topic: int = 2  # "Alerts" in the forum
    other_topic: int = 5  # "Reports" in the forum
    supergroup: int = -1_002_555_000_111
    channel: int = -1_001_987_654_321
    channel_name: str = "@metrics_channel"

    @property
    def settings(self) -> dict[str, str]:
        """Settings by which messages go to the supergroup."""
        return {
            "telegram_bot_token": self.token,
            "telegram_chat_id": str(self.supergroup),
            "telegram_api_base": self.base,
        }

    @property
    def bot_id(self) -> int:
        """The bot's own id: the first part of its token."""
        return self._world.bot_id

    @property
    def calls(self) -> list[Call]:
        """Every call that reached the server, oldest first."""
        with self._lock:
            return list(self._calls)

    def calls_of(self, *methods: str) -> list[Call]:
        """The calls of some methods: `calls_of("getUpdates", "setWebhook", "deleteWebhook") == []`."""
        return [call for call in self.calls if call.method in methods]

    def messages(self, chat_id: int) -> list[Message]:
        """What a person would see in a chat now, oldest first."""
        with self._lock:
            chat = self._world.chats[chat_id]
            return [chat.messages[message_id] for message_id in sorted(chat.messages)]

    def chat(self, chat_id: int) -> Chat:
        """A chat, to look at or to change: `api.chat(api.group).standing = Standing.KICKED`."""
        return self._world.chats[chat_id]

    def add_chat(self, chat_id: int, kind: Any, title: str, **more: Any) -> Chat:
        """One more chat."""
        with self._lock:
            chat = self._world.chats[chat_id] = Chat(chat_id, kind, title, **more)
            return chat

    def remove_chat(self, chat_id: int) -> None:
        """From now on: chat not found."""
        with self._lock:
            del self._world.chats[chat_id]

    def upgrade_group(self, chat_id: int) -> int:
        """Turn a group into a supergroup, as Telegram does; returns its new id."""
        with self._lock:
            old = self._world.chats[chat_id]
            new = -1_003_000_000_000 - abs(chat_id) % 1_000_000_000
            self.add_chat(new, "supergroup", old.title)
            old.migrated_to = new
            return new

    def person_writes(self, chat_id: int, text: str) -> int:
        """A message of a person, which the bot can answer but not edit; its id."""
        with self._lock:
            chat = self._world.chats[chat_id]
            message_id = chat.next_id()
            chat.messages[message_id] = Message(
                chat_id, message_id, unix_time(), parse(text), source=text, from_bot=False
            )
            return message_id

    def down(self) -> None:
        """Every connection is refused, and those there are are cut."""
        self._server.close()

    def up(self) -> None:
        """Back, on the same port."""
        self._server.open()


@contextmanager
def bot_api_server(
    *, token: str = TOKEN, rate_limits: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[BotApi]:
    """A server with one bot, gone at the end; raises there if it made a mistake of its own.

    With `rate_limits` it answers 429 as Telegram would by `clock` (seconds); `api.limits.enabled` switches later.
    """
    world = World(int(token.split(":", 1)[0]))
    limits = RateLimits(clock)
    limits.enabled = rate_limits
    methods = Methods(world, limits)
    server = LoopbackServer(lambda request: _answer(api, methods, clock, request))
    api = BotApi(f"http://127.0.0.1:{server.port}", token, Faults(), limits, world, server)
    api.add_chat(api.private, "private", "Anna", username="anna_metrics")
    api.add_chat(api.group, "group", "Metrics, the group")
    topics = {api.topic: "Alerts", api.other_topic: "Reports"}
    api.add_chat(api.forum, "supergroup", "Metrics, the forum", topics=topics)
    api.add_chat(api.supergroup, "supergroup", "Metrics, the supergroup")
    api.add_chat(api.channel, "channel", "Metrics, the channel", username=api.channel_name[1:])
    try:
        yield api
    finally:
        server.stop()
    if server.failures:
        raise AssertionError(f"the test server failed: {server.failures[0]!r}") from server.failures[0]


def _answer(api: BotApi, methods: Methods, clock: Callable[[], float], request: Request) -> Answer:
    path = _PATH.fullmatch(request.path)
    call = Call(path["method"] if path else "", {}, {}, clock())
    with api._lock:
        api._calls.append(call)
        try:
            sent = _sent(api, path, call, request)
        except ApiError as refusal:
            return _refused(call, refusal)
        call.fault = api.faults.take(call.method)
        if call.fault is not None and not call.fault.processed:
            return _faulty(call, call.fault)
        try:
            result = methods.call(call.method, sent)
        except ApiError as refusal:
            answer = _refused(call, refusal)
        else:
            call.status = 200
            answer = _json(200, {"ok": True, "result": result})
        return _faulty(call, call.fault) if call.fault else answer


def _sent(api: BotApi, path: re.Match[str] | None, call: Call, request: Request) -> Sent:
    token = unquote(path["token"]) if path else ""
    if not _TOKEN_FORM.fullmatch(token):
        raise ApiError(404, "Not Found")
    if token != api.token:
        raise ApiError(401, "Unauthorized")
    sent = read_request(request.query, request.media_type, request.body)
    call.parameters, call.files = sent.parameters, sent.files
    return sent


def _refused(call: Call, refusal: ApiError) -> Answer:
    call.status, call.description = refusal.status, refusal.description
    seconds = refusal.parameters.get("retry_after")
    return _json(refusal.status, refusal.body(), {"Retry-After": str(seconds)} if seconds is not None else {})


def _faulty(call: Call, fault: Fault) -> Answer:
    answered = fault.way == "answer"
    call.status = fault.status if answered else None
    return Answer(fault.status, fault.body, fault.headers, hang_up=fault.way == "hang up", hang=fault.way == "hang")


def _json(status: int, answer: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    body = json.dumps(answer).encode()
    return Answer(status, body, {"Content-Type": "application/json"} | (headers or {}))


# --- faults -----------------------------------------------------------------------------------------------------------


_GATEWAY = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n<center><h1>{status} {reason}</h1></center>"
    "\r\n<hr><center>nginx/1.18.0</center>\r\n</body>\r\n</html>\r\n"
)
_REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Temporarily Unavailable", 302: "Found"}


@dataclass(frozen=True)
class Fault:
    """What happens to one call. `processed`: the work is done and recorded before the answer goes wrong."""

    name: str
    way: Literal["answer", "hang up", "hang"]
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    processed: bool = False

    def after_processing(self) -> Fault:
        """The same, but the message is there: the answer alone is lost."""
        return replace(self, name=f"{self.name}, processed", processed=True)

    @staticmethod
    def too_many_requests(retry_after: int, *, where: Literal["body", "header", "both"] = "both") -> Fault:
        """429 that says for how many seconds in the body, in the header `Retry-After`, or in both as Telegram does."""
        answer = {"ok": False, "error_code": 429, "description": f"Too Many Requests: retry after {retry_after}"}
        if where == "header":
            answer["description"] = "Too Many Requests"
        else:
            answer["parameters"] = {"retry_after": retry_after}
        headers = {"Retry-After": str(retry_after)} if where != "body" else {}
        return Fault("429", "answer", 429, json.dumps(answer).encode(), {"Content-Type": "application/json"} | headers)

    @staticmethod
    def server_error(status: int = 500, *, as_html: bool | None = None) -> Fault:
        """500 with the Bot API's JSON; 502 and 503 with the HTML of the web server before it."""
        reason = _REASONS.get(status, "Error")
        if as_html if as_html is not None else status != 500:
            text, media_type = _GATEWAY.format(status=status, reason=reason), "text/html"
        else:
            text = json.dumps({"ok": False, "error_code": status, "description": reason})
            media_type = "application/json"
        return Fault(str(status), "answer", status, text.encode(), {"Content-Type": media_type})

    @staticmethod
    def refusal(status: int, description: str, **parameters: int) -> Fault:
        """Any refusal of the Bot API's shape."""
        answer: dict[str, object] = {"ok": False, "error_code": status, "description": description}
        answer |= {"parameters": parameters} if parameters else {}
        headers = {"Content-Type": "application/json"}
        return Fault(f"refusal {status}", "answer", status, json.dumps(answer).encode(), headers)

    @staticmethod
    def not_json(body: bytes = b"<html><body>Please log in to the network</body></html>") -> Fault:
        """200 whose body is not JSON: a captive portal, a proxy."""
        return Fault("not JSON", "answer", 200, body, {"Content-Type": "text/html"})

    @staticmethod
    def redirect(location: str) -> Fault:
        """302: following it would carry the token elsewhere."""
        return Fault("302", "answer", 302, b"", {"Location": location})

    @staticmethod
    def dropped(*, processed: bool) -> Fault:
        """Hung up without an answer, before or after the work."""
        return Fault(f"dropped {'after' if processed else 'before'} processing", "hang up", processed=processed)

    @staticmethod
    def hanging(*, processed: bool) -> Fault:
        """Never answered while the server lives, before or after the work."""
        return Fault(f"hanging {'after' if processed else 'before'} processing", "hang", processed=processed)


@dataclass
class _Rule:
    fault: Fault
    method: str | None
    passing: int
    left: int


class Faults:
    """The rules that wait for calls."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        nth: int = 1,
        times: int = 1,
    ) -> None:
        """From the `nth` call of `method` (from now) on, `times` calls get `fault`."""
        with self._lock:
            self._rules.append(_Rule(fault, method, nth - 1, times))

    def clear(self) -> None:
        """All is well again; what hangs already goes on hanging."""
        with self._lock:
            self._rules.clear()

    @property
    def waiting(self) -> int:
        """How many calls are still to get a fault: zero at the end of a test means that all of them happened."""
        with self._lock:
            return sum(rule.left for rule in self._rules)

    def take(self, method: str) -> Fault | None:
        """The fault for this call, if any; counts it."""
        with self._lock:
            for rule in self._rules:
                if not rule.left or rule.method not in {None, method}:
                    continue
                if rule.passing:
                    rule.passing -= 1
                    continue
                rule.left -= 1
                return rule.fault
        return None
