"""E-mail over SMTP: one message in one envelope, and the meaning of each refusal.

A login is never sent over an unencrypted connection, and certificates are checked. Errors of smtplib may quote what was
sent, so they do not leave this module: a new error is raised after the `except` block, with masked text.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import re
import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from typing import Any, TypeVar
from urllib.parse import urlsplit

from metrics_platform.channel_settings import MailServer
from metrics_platform.notifications.channel import (
    CONNECT_TIMEOUT,
    Channel,
    DeliveryContext,
    DeliveryError,
    RetryPolicy,
    Step,
    retry,
)
from metrics_platform.notifications.message import (
    Details,
    Message,
    Picture,
    Preformatted,
    Table,
    clean,
    is_label,
    lines_of,
    text_of,
)
from metrics_platform.notifications.writer import page
from metrics_platform.redaction import mask

Result = TypeVar("Result")
# A server may scan for viruses before it answers. The 10 minutes of RFC 5321 are longer than a run waits.
ANSWER_TIMEOUT = 60.0
_GOODBYE_TIMEOUT = 3.0
_CHECK_URL = "Check the host and port in SMTP_URL."
_LOGIN = (
    "user and password in SMTP_URL, percent-encoded (some providers require an app password), or leave them out if the "
    "server offers no login"
)
_NO_STARTTLS = (
    "The mail server does not offer STARTTLS, so the login would cross the network unencrypted. It was not sent. Use "
    "smtps://…:465 in SMTP_URL, or a server with STARTTLS. Without user and password, mail may go unencrypted."
)
# What to correct after a permanent refusal, by the error that smtplib raises for it; otherwise SMTP_URL.
_SETTINGS_TO_CORRECT: dict[type[Exception], str] = {
    smtplib.SMTPAuthenticationError: _LOGIN,
    smtplib.SMTPSenderRefused: "EMAIL_FROM (this login may not send as it), or put a login into SMTP_URL",
    smtplib.SMTPRecipientsRefused: "EMAIL_TO",
}
_TOO_LARGE = 552


class _TrackedConnection:
    """A connection that records whether it has sent the last line of a message. Before that, nothing can arrive."""

    handed_over = False

    def send(self, s: Any) -> None:
        super().send(s)  # type: ignore[misc]
        self.handed_over = self.handed_over or (isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"))


class _PlainConnection(_TrackedConnection, smtplib.SMTP):
    pass


class _EncryptedConnection(_TrackedConnection, smtplib.SMTP_SSL):
    pass


@dataclass
class EmailChannel(Channel):
    """Messages to one list of receivers."""

    server: MailServer
    sender: str
    receivers: tuple[str, ...]
    policy: RetryPolicy = field(default_factory=RetryPolicy, repr=False)
    # Of connecting, and of each answer.
    timeouts: tuple[float, float] = (CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    # The certificate of a private authority.
    ca_file: str | None = None
    now: Callable[[], datetime.datetime] = field(default=lambda: datetime.datetime.now(datetime.UTC), repr=False)
    name = "email"
    title = "E-mail"

    def steps(self, message: Message, context: DeliveryContext) -> list[Step]:
        return [lambda _: self._send(message, context)]

    def _send(self, message: Message, context: DeliveryContext) -> dict[str, Any]:
        """Send the message. If it is refused with its pictures, send it without them."""
        refused = None
        try:
            return self._send_mail(message, tuple(context.pictures), context)
        except DeliveryError as caught:
            if caught.reason != "refused" or not context.pictures:
                raise
            refused = str(caught)
        note = f"The mail server did not accept the message with its pictures, so it was sent without them: {refused}"
        return self._send_mail(message, (), context, notes=(note,))

    def check(self) -> str:

        def probe(connection: smtplib.SMTP) -> None:
            connection.noop()
            code, answer = connection.mail(envelope_address(self.sender))
            if code != 250:
                raise smtplib.SMTPSenderRefused(code, answer, self.sender)
            replies = {address: connection.rcpt(address) for address in self._addresses}
            connection.rset()
            if refused := {address: reply for address, reply in replies.items() if reply[0] not in (250, 251)}:
                raise smtplib.SMTPRecipientsRefused(refused)

        retry(self.policy, lambda: self._session(probe), repeat_unknown=True)
        return "the mail server answers"

    def _send_mail(
        self, message: Message, pictures: tuple[Picture, ...], context: DeliveryContext, notes: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        mail = email_of(
            message, pictures, sender=self.sender, receivers=self.receivers, thread=context.thread, date=self.now()
        )
        content, sender = mail.as_bytes(policy=POLICY), envelope_address(self.sender)
        refused = retry(
            self.policy,
            lambda: self._session(lambda connection: connection.sendmail(sender, self._addresses, content)),
            repeat_unknown=context.repeat_unknown,
        )
        if refused:
            is_permanent = any(code >= 500 for code, _ in refused.values())
            remedy = "Correct EMAIL_TO." if is_permanent else "This is temporary, but they do not get this message."
            notes = (*notes, f"The mail server refused receivers: {self._format_refusals(refused)}. {remedy}")
        return {
            "address": ", ".join(address for address in self._addresses if address not in refused),
            "message_ids": (str(mail["Message-ID"]),),
            "carrier": "text",
            "notes": notes,
        }

    @property
    def _addresses(self) -> list[str]:
        return [envelope_address(address) for address in self.receivers]

    def _session(self, work: Callable[[smtplib.SMTP], Result]) -> Result:
        """Call `work` with a connection that is encrypted and logged in, as far as the server is configured for it."""
        connection: _PlainConnection | _EncryptedConnection | None = None
        try:
            connection = self._connect()
            self._log_in(connection)
            return work(connection)
        except DeliveryError as caught:
            error = caught
        except (smtplib.SMTPException, OSError, ValueError) as caught:
            error = self._delivery_error(caught, connection)
        finally:
            if connection is not None:
                _close(connection)
        raise error

    def _connect(self) -> _PlainConnection | _EncryptedConnection:
        host, port, timeout = self.server.host, self.server.port, self.timeouts[0]
        if self.server.tls:
            context = ssl.create_default_context(cafile=self.ca_file)
            return _EncryptedConnection(host, port, timeout=timeout, context=context)
        return _PlainConnection(host, port, timeout=timeout)

    def _log_in(self, connection: smtplib.SMTP) -> None:
        """Encrypt the connection, then log in. Never in the other order."""
        server = self.server
        connection.ehlo_or_helo_if_needed()
        if not server.tls and connection.has_extn("starttls"):
            connection.starttls(context=ssl.create_default_context(cafile=self.ca_file))
            connection.ehlo_or_helo_if_needed()
        elif not server.tls and server.user is not None:
            raise DeliveryError("misconfigured", _NO_STARTTLS)
        if server.user is not None:
            connection.login(server.user, server.password or "")
        assert connection.sock is not None
        connection.sock.settimeout(self.timeouts[1])

    # --- errors ------------------------------------------------------------------------------------------------------

    def _delivery_error(  # noqa: PLR0911  (one case per kind of error reads best)
        self, caught: Exception, connection: _TrackedConnection | None
    ) -> DeliveryError:
        server, reason = f"The mail server {self.server.host}", self._mask_login(str(caught))
        match caught:
            case smtplib.SMTPRecipientsRefused():
                # If one receiver may be accepted later, retry for all of them.
                return self._refusal_error(caught, min(code for code, _ in caught.recipients.values()))
            case smtplib.SMTPResponseException():
                return self._refusal_error(caught, caught.smtp_code)
            case smtplib.SMTPException() if not isinstance(caught, smtplib.SMTPServerDisconnected):
                # The server offers no login, or no method that smtplib supports.
                return DeliveryError("misconfigured", f"{server}: {reason} Correct {_LOGIN}.")
            case ssl.SSLCertVerificationError():
                text = f"The certificate of {server.lower()} is not valid: {caught.verify_message}. Name the server in "
                text += "SMTP_URL as its certificate does, or add its authority to the system's."
                return DeliveryError("misconfigured", text)
            case ssl.SSLError() if not isinstance(caught, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                text = f"{server}: no encrypted connection ({reason}). For STARTTLS, write smtp://…:587 in SMTP_URL."
                return DeliveryError("misconfigured", text)
            case ValueError() if not isinstance(caught, OSError):  # its text may hold the login
                text = "The host, the login or the addresses have characters that SMTP cannot carry. Use ASCII only."
                return DeliveryError("misconfigured", text)
        if connection is None:
            return DeliveryError("unreachable", f"{server} cannot be reached: {reason}. {_CHECK_URL}")
        if connection.handed_over:
            text = f"{server} got the message, but its answer was lost: {reason}"
            return DeliveryError("unknown", text)
        return DeliveryError("unreachable", f"The connection to {server.lower()} broke: {reason}.")

    def _refusal_error(self, caught: smtplib.SMTPException, code: int) -> DeliveryError:
        """The error for a negative answer. `code`: its code, or the lowest of several."""
        if isinstance(caught, smtplib.SMTPRecipientsRefused):
            reply = self._format_refusals(caught.recipients)
        else:
            assert isinstance(caught, smtplib.SMTPResponseException)
            reply = f"{code} {self._reply_text(caught.smtp_error)}"
        text = f"The mail server {self.server.host} answered {reply[:300]}".rstrip(". ")
        if code < 500:
            return DeliveryError("unreachable", f"{text}. This is temporary.")
        is_too_large = code == _TOO_LARGE and isinstance(caught, smtplib.SMTPSenderRefused)
        if is_too_large or isinstance(caught, smtplib.SMTPDataError):
            return DeliveryError("refused", f"{text}: it does not accept this message.")
        return DeliveryError("misconfigured", f"{text}. Correct {_SETTINGS_TO_CORRECT.get(type(caught), 'SMTP_URL')}.")

    def _format_refusals(self, refused: dict[str, tuple[int, bytes]]) -> str:
        replies = (f"{address} ({code} {self._reply_text(reply)[:200]})" for address, (code, reply) in refused.items())
        return "; ".join(replies)

    def _reply_text(self, answer: bytes | str) -> str:
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        return self._mask_login(" ".join(text.split()))

    def _mask_login(self, text: str) -> str:
        """`text` without the login, neither plain nor as SMTP encodes it."""
        user, password = self.server.user or "", self.server.password or ""
        forms = (password, f"\0{user}\0{password}") if password else ()
        return mask(text, (password, *(base64.b64encode(form.encode()).decode() for form in forms)))


def _close(connection: smtplib.SMTP) -> None:
    """End the session. Errors no longer matter: the work is done."""
    with contextlib.suppress(smtplib.SMTPException, OSError):
        if connection.sock is not None:
            connection.sock.settimeout(_GOODBYE_TIMEOUT)
            connection.quit()
    connection.close()


# --- the mail: its headers, its text, and its HTML with the charts inside ---------------------------------------------

# Always 7-bit, whatever the server supports. Line ends follow RFC 5321.
POLICY = SMTP.clone(cte_type="7bit", refold_source="none")
_SUBJECT = 200
_TEXT_COLUMNS = 72


def email_of(
    message: Message,
    pictures: Sequence[Picture],
    *,
    sender: str,
    receivers: Sequence[str],
    thread: str | None,
    date: datetime.datetime,
) -> EmailMessage:
    """The e-mail for `message`. `thread` is the key of the message that it replies to."""
    domain = domain_of(sender)
    mail = EmailMessage(policy=POLICY)
    # Folded here: EmailMessage of Python 3.11 loses spaces between encoded words when it folds.
    mail.set_raw("From", _format_address(sender))
    mail.set_raw("To", ",\r\n ".join(_format_address(receiver) for receiver in receivers))
    mail.set_raw("Subject", _encode_header(subject_of(message)))
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = message_id(message.key, domain)
    if thread:
        mail["In-Reply-To"] = mail["References"] = message_id(thread, domain)
    # Prevent out-of-office replies.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.severity in ("critical", "failed") and not message.silent:
        mail["X-Priority"], mail["Importance"] = "1", "high"
    names = [f"{number}.{message_id(message.key, domain)[1:-1]}" for number in range(len(pictures))]
    mail.set_content(text_body(message))
    mail.add_alternative(html_body(message, list(zip(names, pictures, strict=True))), subtype="html")
    alternative = list(mail.iter_parts())[1]
    assert isinstance(alternative, EmailMessage)
    for name, picture in zip(names, pictures, strict=True):
        file = f"{picture.name}.png"
        alternative.add_related(picture.png, "image", "png", cid=f"<{name}>", filename=file, disposition="inline")
    return mail


def subject_of(message: Message) -> str:
    """The headline as a header's value: one line, without anything that a mail client would decode."""
    text = re.sub("[^\\S\u00a0\u202f]+", " ", text_of(message.headline)).strip()
    text = text.replace("=?", "= ?")
    return text if len(text) <= _SUBJECT else text[: _SUBJECT - 1] + "…"


def message_id(key: str, domain: str) -> str:
    """The Message-ID of the notification with this key. It never changes, so that replies can refer to it."""
    # An id allows fewer characters than a key. The digest keeps ids unique after characters were replaced.
    readable = re.sub(r"[^A-Za-z0-9]+", "-", key)[:40].strip("-")
    return f"<{readable}.{hashlib.sha256(key.encode()).hexdigest()[:16]}@{domain}>"


def domain_of(address: str) -> str:
    """The domain of an address, encoded for DNS."""
    domain = parseaddr(address)[1].rpartition("@")[2]
    try:
        return domain.encode("idna").decode().lower()
    except UnicodeError:
        return "localhost"


def envelope_address(address: str) -> str:
    """The address for SMTP, without a name, its domain encoded for DNS.

    Raises:
        DeliveryError: the part before the @ is not ASCII, which not every mail server accepts.
    """
    local = parseaddr(address)[1].rpartition("@")[0]
    if not local.isascii():
        text = f"{address}: mail servers take only ASCII before the @. Correct EMAIL_FROM or EMAIL_TO."
        raise DeliveryError("misconfigured", text)
    return f"{local}@{domain_of(address)}"


def _format_address(address: str) -> str:
    name, mailbox = clean(parseaddr(address)[0]).replace("\n", " "), envelope_address(address)
    return formataddr((name, mailbox)) if name.isascii() else f"{_encode_header(name)} <{mailbox}>"


def _encode_header(text: str) -> str:
    """A header's value in lines of ASCII."""
    # `Subject` is the longest name of these headers, so every line stays within 76 characters.
    header = Header(text, "us-ascii" if text.isascii() else "utf-8", maxlinelen=76, header_name="Subject")
    return header.encode(linesep="\r\n")


def text_body(message: Message) -> str:
    """The text alternative."""
    parts = [text_of(message.headline).strip()]
    for block in message.blocks:
        indent = "    " if isinstance(block, Preformatted) else "  " if isinstance(block, Details) else ""
        lines = (text_of(line) for line in lines_of(block, _TEXT_COLUMNS))
        # A table's header begins with blanks, which align its columns with the numbers.
        keeps_blanks = indent or isinstance(block, Table)
        parts.append("\n".join(indent + (line if keeps_blanks else line.strip()) for line in lines))
    parts.append("\n".join(f"{link.label}: {link.url}" for link in message.links))
    text = "\n\n".join(part for part in parts if part.strip())
    return f"{text}\n\n-- \n{text_of(message.footer).strip()}\n" if message.footer else f"{text}\n"


def html_body(message: Message, pictures: Sequence[tuple[str, Picture]]) -> str:
    """The HTML alternative. `pictures` are pairs of content id and picture.

    A single picture follows the main block: the first one, or the one below the first label. Several pictures come
    last, because no one scrolls past them for a number.
    """
    # An inbox shows this after the subject.
    texts = [text_of(line) for block in message.blocks if not isinstance(block, Table) for line in lines_of(block)]
    return page(
        "email.html.j2",
        message=message,
        blocks=[(type(block).__name__, block) for block in message.blocks],
        answer=2 if message.blocks and is_label(message.blocks[0]) else 1,
        pictures=pictures,
        links=[(link, _is_web(link.url)) for link in message.links],
        subject=subject_of(message),
        preview=" · ".join(text.strip() for text in texts[:3])[:160],
    )


def _is_web(url: str) -> bool:
    """Whether `url` may be a link. A `javascript:` URL in data never is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and clean(url) == url
