"""E-mail over SMTP: one message in one envelope, and what each refusal means.

A login never leaves over an unencrypted connection, and certificates are checked. What smtplib raises may quote what
was sent: it ends here, and what is raised instead is made after the `except` block, from masked text.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import re
import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from metrics_platform.channel_settings import ChannelSettings, MailServer, parse_smtp_url
from metrics_platform.notifications.channel import Dispatch
from metrics_platform.notifications.email_content import POLICY, email_of, envelope_address
from metrics_platform.notifications.email_errors import Stage, explained, refused_by
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture
from metrics_platform.notifications.patiently import patiently
from metrics_platform.notifications.transport import CONNECT_TIMEOUT, Patience
from metrics_platform.redaction import mask

Result = TypeVar("Result")
# A server may look for viruses before it answers; 10 minutes, as RFC 5321 would have it, is longer than a run waits.
ANSWER_TIMEOUT = 60.0
_GOODBYE_TIMEOUT = 3.0
_NO_STARTTLS = (
    "The mail server does not offer STARTTLS, and the login would cross the network readable: it is not sent. Use "
    "smtps://…:465 in SMTP_URL, or a server with STARTTLS; without user and password, mail may go unencrypted."
)


@dataclass
class EmailChannel:
    """Messages to one list of receivers."""

    server: MailServer
    sender: str
    receivers: tuple[str, ...]
    patience: Patience = field(default_factory=Patience, repr=False)
    # Connecting; each answer.
    timeouts: tuple[float, float] = (CONNECT_TIMEOUT, ANSWER_TIMEOUT)
    # For a certificate of the house's own authority; it must check certificates.
    ca_file: str | None = None
    now: Callable[[], datetime.datetime] = field(default=lambda: datetime.datetime.now(datetime.UTC), repr=False)
    warn: Callable[[str], None] = field(default=lambda _: None, repr=False)
    name: str = "email"

    @classmethod
    def for_settings(
        cls,
        settings: ChannelSettings,
        *,
        patience: Patience | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> EmailChannel:
        """The channel of SMTP_URL, EMAIL_FROM and EMAIL_TO, which must be set."""
        assert settings.smtp_url is not None
        assert settings.email_from is not None
        server = parse_smtp_url(settings.smtp_url.get_secret_value())
        return cls(server, settings.email_from, settings.email_to, patience=patience or Patience(), warn=warn)

    def deliver(self, message: Message, dispatch: Dispatch) -> None:
        """See `Channel`. A message that is refused with its pictures goes again without them."""
        if 0 in dispatch.done:
            return
        dispatch.sending(0)
        refused = None
        try:
            sent = self._deliver(message, tuple(dispatch.pictures), dispatch)
        except DeliveryError as caught:
            if caught.reason != "refused" or not dispatch.pictures:
                raise
            refused = str(caught)
        if refused is not None:
            note = f"The mail server did not accept the message with its pictures, it went without: {refused}"
            sent = self._deliver(message, (), dispatch, notes=(note,))
        for note in sent.notes:
            self.warn(note)
        dispatch.sent(sent)

    def edit(self, message: Message, original: Sent, pictures: Sequence[Picture] = ()) -> bool:
        """False: what is in a mailbox stays as it is."""
        return False

    def check(self) -> None:
        """Connect, log in and name sender and receivers to the server, without sending anything.

        Raises:
            DeliveryError: a message would not go out to all of the receivers.
        """

        def ask(connection: smtplib.SMTP, stage: Stage) -> None:
            connection.noop()
            refused = self._address(connection, stage)
            connection.rset()
            if refused:
                text = f"The mail server refuses receivers: {_listed(refused)}. Correct EMAIL_TO."
                raise DeliveryError("misconfigured", text)

        patiently(self.patience, lambda: self._session(ask), repeat_unknown=True)

    def _deliver(
        self, message: Message, pictures: tuple[Picture, ...], dispatch: Dispatch, notes: tuple[str, ...] = ()
    ) -> Sent:
        mail = email_of(
            message,
            pictures,
            sender=self.sender,
            receivers=self.receivers,
            thread=dispatch.thread,
            date=self.now(),
        )
        content = mail.as_bytes(policy=POLICY)

        def send(connection: smtplib.SMTP, stage: Stage) -> dict[str, str]:
            refused = self._address(connection, stage, len(content))
            self._send_content(connection, stage, content)
            return refused

        refused = patiently(self.patience, lambda: self._session(send), repeat_unknown=dispatch.repeat_unknown)
        if refused:
            notes = (*notes, f"The mail server refused receivers: {_listed(refused)}. Correct EMAIL_TO.")
        return Sent(
            channel=self.name,
            step=0,
            steps=1,
            address=", ".join(each for each in map(envelope_address, self.receivers) if each not in refused),
            message_ids=(str(mail["Message-ID"]),),
            carrier="text",
            notes=notes,
        )

    def _session(self, work: Callable[[smtplib.SMTP, Stage], Result]) -> Result:
        """The result of `work` with a connection that is encrypted and logged in, as far as the server is set up so."""
        stage = Stage(self.server.host)
        connection: smtplib.SMTP | None = None
        error = None
        try:
            connection = self._connected(stage)
            result = work(connection, stage)
        except DeliveryError as caught:
            error = caught
        except (smtplib.SMTPException, OSError, ValueError) as caught:
            error = explained(caught, stage, self._masked)
        finally:
            _leave(connection)
        if error is not None:
            raise error
        return result

    def _connected(self, stage: Stage) -> smtplib.SMTP:
        server, (to_connect, to_answer) = self.server, self.timeouts
        connection: smtplib.SMTP
        if server.tls:
            connection = smtplib.SMTP_SSL(server.host, server.port, timeout=to_connect, context=self._tls())
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=to_connect)
        try:
            self._greet(connection, stage)
        except BaseException:
            connection.close()
            raise
        assert connection.sock is not None
        connection.sock.settimeout(to_answer)
        return connection

    def _greet(self, connection: smtplib.SMTP, stage: Stage) -> None:
        """Encrypt what is not encrypted yet, then log in: never the other way round."""
        server = self.server
        stage.name = "greeting"
        connection.ehlo_or_helo_if_needed()
        if not server.tls and connection.has_extn("starttls"):
            stage.name = "tls"
            self._accepted(connection.starttls(context=self._tls()), stage, 220)
            connection.ehlo_or_helo_if_needed()
        elif not server.tls and server.user is not None:
            raise DeliveryError("misconfigured", _NO_STARTTLS)
        if server.user is not None:
            stage.name = "login"
            connection.login(server.user, server.password or "")

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def _address(self, connection: smtplib.SMTP, stage: Stage, size: int | None = None) -> dict[str, str]:
        """Name the sender and the receivers; those that are refused, with what the server said, if not all are."""
        stage.name = "sender"
        options = [f"SIZE={size}"] if size is not None and connection.has_extn("size") else []
        self._accepted(connection.mail(envelope_address(self.sender), options), stage, 250)
        stage.name = "receivers"
        refused: dict[str, str] = {}
        codes = []
        for address in map(envelope_address, self.receivers):
            code, answer = connection.rcpt(address)
            if code in (421, -1):
                raise refused_by(stage, code, self._said(answer))
            if code not in (250, 251, 252):
                codes.append(code)
                refused[address] = f"{code} {self._said(answer)[:200]}"
        if len(codes) == len(self.receivers):
            # Where one of them may be taken later, later is better than never.
            raise refused_by(stage, min(codes), _listed(refused))
        return refused

    def _send_content(self, connection: smtplib.SMTP, stage: Stage, content: bytes) -> None:
        """DATA by hand: smtplib does not tell whether a connection was lost before or after the last line."""
        stage.name = "content"
        self._accepted(connection.docmd("DATA"), stage, 354)
        connection.send(re.sub(rb"(?m)^\.", b"..", content).rstrip(b"\r\n") + b"\r\n.\r\n")
        stage.name = "answer"
        self._accepted(connection.getreply(), stage, 250)

    def _accepted(self, answer: tuple[int, bytes], stage: Stage, code: int) -> None:
        if answer[0] != code:
            raise refused_by(stage, answer[0], self._said(answer[1]))

    def _said(self, answer: bytes) -> str:
        return self._masked(" ".join(answer.decode(errors="replace").split()))

    def _masked(self, text: str) -> str:
        """`text` without the login, also as SMTP encodes it."""
        user, password = self.server.user or "", self.server.password or ""
        secrets = [password] if password else []
        if password:
            forms = (password, f"\0{user}\0{password}")
            secrets += [base64.b64encode(form.encode()).decode() for form in forms]
        return mask(text, secrets)


def _leave(connection: smtplib.SMTP | None) -> None:
    """Say goodbye; what was done is done, whatever comes back."""
    if connection is None:
        return
    with contextlib.suppress(smtplib.SMTPException, OSError):
        if connection.sock is not None:
            connection.sock.settimeout(_GOODBYE_TIMEOUT)
            connection.quit()
    connection.close()


def _listed(refused: dict[str, str]) -> str:
    return "; ".join(f"{address} ({said})" for address, said in refused.items())
