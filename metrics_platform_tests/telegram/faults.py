"""Faults on demand: what the local Bot API server does to a call instead of, or after, doing what it was asked.

A rule waits for calls it fits and is used up by them, first come first served; so a test says "the second sendPhoto
is lost after it was done" and nothing else changes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

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
    when: Callable[[str, dict[str, str]], bool]
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
        when: Callable[[str, dict[str, str]], bool] | None = None,
    ) -> None:
        """From the `nth` call (from now) that fits, `times` calls get `fault`.

        A call fits where it is of `method` and `when(method, parameters)` says so.
        """
        with self._lock:
            self._rules.append(_Rule(fault, method, when or (lambda *_: True), nth - 1, times))

    def clear(self) -> None:
        """All is well again; what hangs already goes on hanging."""
        with self._lock:
            self._rules.clear()

    @property
    def waiting(self) -> int:
        """How many calls are still to get a fault: zero at the end of a test means that all of them happened."""
        with self._lock:
            return sum(rule.left for rule in self._rules)

    def take(self, method: str, parameters: dict[str, str]) -> Fault | None:
        """The fault for this call, if any; counts it."""
        with self._lock:
            for rule in self._rules:
                if not rule.left or rule.method not in {None, method} or not rule.when(method, parameters):
                    continue
                if rule.passing:
                    rule.passing -= 1
                    continue
                rule.left -= 1
                return rule.fault
        return None
