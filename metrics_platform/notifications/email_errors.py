"""What a mail server's refusals and broken connections mean: temporary, a configuration error, or unknown.

The stage decides: a connection lost before the message's last line was sent lost nothing, one lost after it may have
lost only the answer.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from metrics_platform.notifications.errors import DeliveryError

StageName = Literal["connect", "greeting", "tls", "login", "sender", "receivers", "content", "answer"]
_CHECK_HOST = "If it stays so, look at the host and port in SMTP_URL."
_WRONG_LOGIN = "Correct user and password in SMTP_URL, percent-encoded; some providers want an app password."
# What a person has to do where the server says no for good, by stage.
_REMEDIES: dict[StageName, str] = {
    "connect": "It does not take mail from here: look at SMTP_URL.",
    "greeting": "It does not take mail from here: look at SMTP_URL.",
    "tls": "It does not begin TLS: use smtps://…:465 in SMTP_URL, or another server.",
    "login": _WRONG_LOGIN,
    "sender": "Set EMAIL_FROM to an address that this login may send as; where the server wants a login, put user and "
    "password into SMTP_URL.",
    "receivers": "Correct EMAIL_TO.",
}


@dataclass
class Stage:
    """How far a session has come."""

    host: str
    name: StageName = "connect"


def refused_by(stage: Stage, code: int, said: str) -> DeliveryError:
    """The error of an answer that is a no; `said` is masked already."""
    text = f"The mail server {stage.host} answered {code} {said[:300]}".rstrip(". ")
    if code == -1 or 400 <= code < 500:
        return DeliveryError("unreachable", f"{text}. That passes.", code=code)
    if stage.name in ("content", "answer") or (code == 552 and stage.name == "sender"):
        return DeliveryError("refused", f"{text}: it does not accept this message.", code=code)
    return DeliveryError("misconfigured", f"{text}. {_REMEDIES[stage.name]}", code=code)


def explained(  # noqa: PLR0911  (one line per kind of error reads best)
    caught: Exception, stage: Stage, mask: Callable[[str], str]
) -> DeliveryError:
    """The error for an exception of smtplib, ssl or the sockets; `mask` takes the secrets out of a text."""
    if isinstance(caught, smtplib.SMTPResponseException):
        said = caught.smtp_error  # bytes, whatever typeshed says
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return refused_by(stage, caught.smtp_code, mask(" ".join(text.split())))
    if isinstance(caught, smtplib.SMTPServerDisconnected):
        return _lost(stage, mask(str(caught)))
    if isinstance(caught, smtplib.SMTPNotSupportedError):
        text = f"The mail server {stage.host} offers no login; leave user and password out of SMTP_URL."
        return DeliveryError("misconfigured", text)
    if isinstance(caught, smtplib.SMTPException):
        # Of the ways to log in that the server offers, smtplib knows none.
        text = f"The mail server {stage.host}: {mask(str(caught))} {_REMEDIES.get(stage.name, '')}"
        return DeliveryError("misconfigured", text)
    if isinstance(caught, ssl.SSLError):
        return _tls_error(caught, stage, mask(str(caught)))
    if isinstance(caught, ValueError):
        # Its text may hold the login.
        what = "User and password in SMTP_URL" if stage.name == "login" else "The host or the addresses"
        return DeliveryError("misconfigured", f"{what} have characters that SMTP cannot carry: only ASCII goes.")
    if isinstance(caught, socket.gaierror):
        return DeliveryError("unreachable", f"The mail server's name {stage.host} is not known to DNS. {_CHECK_HOST}")
    return _lost(stage, mask(str(caught)))


def _lost(stage: Stage, why: str) -> DeliveryError:
    """The error of a connection that did not come about, or broke."""
    if stage.name == "answer":
        text = f"The mail server {stage.host} got the message and did not say whether it takes it: {why}"
        return DeliveryError("unknown", text)
    if stage.name == "connect":
        return DeliveryError("unreachable", f"The mail server {stage.host} cannot be reached: {why}. {_CHECK_HOST}")
    return DeliveryError("unreachable", f"The connection to the mail server {stage.host} broke: {why}.")


def _tls_error(caught: ssl.SSLError, stage: Stage, masked: str) -> DeliveryError:
    server = f"the mail server {stage.host}"
    if isinstance(caught, ssl.SSLCertVerificationError):
        text = (
            f"The certificate of {server} does not hold: {caught.verify_message}. Name the server in SMTP_URL as its "
            "certificate does, or add its authority to the system's."
        )
        return DeliveryError("misconfigured", text)
    if caught.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        text = f"{server} speaks no TLS from the start: for STARTTLS write smtp://…:587 in SMTP_URL."
        return DeliveryError("misconfigured", text[0].upper() + text[1:])
    if isinstance(caught, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _lost(stage, masked)
    return DeliveryError("misconfigured", f"There is no encrypted connection to {server}: {masked}.")
