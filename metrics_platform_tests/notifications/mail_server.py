"""A real SMTP server on loopback (aiosmtpd) with a certificate of its own, and with faults on demand."""

from __future__ import annotations

import base64
import email
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "desk@example.com", "p4ss w0rd/&-S3CRET"
ENCODED = tuple(
    base64.b64encode(text.encode()).decode() for text in (PASSWORD, f"\0{USER}\0{PASSWORD}", f"{USER}\0{PASSWORD}")
)


@dataclass
class MailServer:
    """The faults the server has to make, and what it received."""

    port: int = 0
    ca_file: str = ""
    # Answers by command (MAIL, RCPT, DATA, or an address of RCPT), used up one by one; None: as if nothing was wrong.
    answers: dict[str, list[str | None]] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    def answer(self, name: str) -> str | None:
        told = self.answers.get(name)
        return told.pop(0) if told else None


class _Controller(Controller):
    """Takes any port that is free; aiosmtpd itself would ask port 0 whether the server is there."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


# The names are those that aiosmtpd looks for.
class _Handler:
    def __init__(self, server: MailServer) -> None:
        self.server = server

    async def handle_MAIL(self, smtp: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        self.server.commands.append(f"MAIL {address}")
        self.server.encrypted.append(smtp.transport.get_extra_info("sslcontext") is not None)
        if told := self._told(smtp, "MAIL"):
            return told
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, smtp: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        self.server.commands.append(f"RCPT {address}")
        if told := (self._told(smtp, address) or self._told(smtp, "RCPT")):
            return told
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, smtp: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.server.commands.append("DATA")
        if told := self._told(smtp, "DATA"):
            return told
        self.server.raw.append(envelope.content)
        self.server.mails.append(email.message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
        self.server.receivers.append(list(envelope.rcpt_tos))
        return "250 OK"

    async def handle_RSET(self, smtp: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.server.commands.append("RSET")
        return "250 OK"

    async def handle_NOOP(self, smtp: SMTP, session: Any, envelope: Any, arg: str) -> str:  # noqa: N802
        self.server.commands.append("NOOP")
        return "250 OK"

    def _told(self, smtp: SMTP, name: str) -> str | None:
        told = self.server.answer(name)
        if told == "drop":
            smtp.transport.abort()
        return told


@contextmanager
def running(certificate: tuple[Path, Path], *, tls: str = "starttls", login: bool = True) -> Iterator[MailServer]:
    """A server; `tls` is `starttls`, `from the start` or `none`."""
    server = MailServer(ca_file=str(certificate[0]))

    def authenticate(_: Any, __: Any, ___: Any, mechanism: str, data: Any) -> AuthResult:
        server.logins.append(mechanism)
        right = data.login.decode() == USER and data.password.decode() == PASSWORD
        return AuthResult(success=right, handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": login} if login else {}
    if tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if login and tls != "starttls":
        options |= {"auth_require_tls": False}
    controller = _Controller(
        _Handler(server),
        hostname="127.0.0.1",
        port=0,
        server_hostname="mail.example.com",
        ssl_context=context if tls == "from the start" else None,
        ready_timeout=10,
        **options,
    )
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


def make_certificate(folder: Path, host: str = "localhost") -> tuple[Path, Path]:
    """A certificate for `host` that is its own authority's, the authority beside it, and its key."""
    authority = trustme.CA()
    issued = authority.issue_cert(host)
    certificate, key = folder / f"{host}.pem", folder / f"{host}.key"
    certificate.write_bytes(
        b"".join([*(certificate.bytes() for certificate in issued.cert_chain_pems), authority.cert_pem.bytes()])
    )
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key
