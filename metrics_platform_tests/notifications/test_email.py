"""E-mail against a real SMTP server: how it is delivered, what each fault becomes, where the password is not."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.channel_settings import MailServer as Server
from metrics_platform.notifications.email import EmailChannel
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Message, Paragraph, Picture, line
from metrics_platform_tests.notifications.clock import Clock, everything_in, failure, message
from metrics_platform_tests.notifications.clock import delivered as delivered_over
from metrics_platform_tests.notifications.mail_server import (
    ENCODED,
    PASSWORD,
    USER,
    MailServer,
    make_certificate,
    running,
)
from metrics_platform_tests.notifications.telegram_chat import raw_server, silent

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
SENDER, RECEIVERS = "Metrics desk <desk@example.com>", ("a@example.org", "b@example.org")
NOW = datetime.datetime(2026, 11, 21, 11, tzinfo=datetime.UTC)
TOLD = message(Paragraph((line("text"),)), key="run-1")
PICTURE = Picture("views", "Views", b"\x89PNG\r\n\x1a\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def mail_server(certificate: tuple[Path, Path]) -> Iterator[MailServer]:
    """With STARTTLS, and only with a login."""
    with running(certificate) as server:
        yield server


def channel_to(
    server: MailServer | int,
    clock: Clock,
    *,
    tls: bool = False,
    user: str | None = USER,
    password: str | None = PASSWORD,
    host: str = "localhost",
    **more: Any,
) -> EmailChannel:
    port, ca_file = (server, None) if isinstance(server, int) else (server.port, server.ca_file)
    options = {"ca_file": ca_file, "timeouts": (2.0, 0.3), "now": lambda: NOW, **more}
    return EmailChannel(Server(host, port, tls, user, password), SENDER, RECEIVERS, policy=clock.policy, **options)


def delivered(channel: EmailChannel, told: Message = TOLD, **context: Any) -> list[Sent]:
    return delivered_over(channel, told, **context)


# --- delivery --------------------------------------------------------------------------------------------------------


def test_a_message_goes_encrypted_and_logged_in_to_all_receivers(mail_server: MailServer, clock: Clock) -> None:
    began: list[int] = []
    (sent,) = delivered(channel_to(mail_server, clock), sending=began.append)
    (mail,) = mail_server.mails
    assert mail["Subject"] == "❌ FAILED · job daily_etl"
    assert mail["From"] == SENDER
    assert mail["To"] == "a@example.org, b@example.org"
    assert mail["Date"] == "Sat, 21 Nov 2026 11:00:00 +0000"
    assert mail_server.receivers == [list(RECEIVERS)]
    assert mail_server.encrypted == [True]
    assert len(mail_server.logins) == 1
    assert began == [0]
    assert (sent.step, sent.steps, sent.address) == (0, 1, "a@example.org, b@example.org")
    assert sent.message_ids == (mail["Message-ID"],)
    assert sent.notes == ()


def test_tls_from_the_start_works_too(certificate: tuple[Path, Path], clock: Clock) -> None:
    with running(certificate, tls="from the start") as server:
        assert len(delivered(channel_to(server, clock, tls=True))) == 1
        assert server.encrypted == [True]


def test_without_a_login_a_server_without_encryption_will_do(certificate: tuple[Path, Path], clock: Clock) -> None:
    with running(certificate, tls="none", login=False) as server:
        assert len(delivered(channel_to(server, clock, user=None, password=None))) == 1
        assert server.encrypted == [False]


def test_a_receiver_that_is_refused_is_named_and_the_others_get_it(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"b@example.org": ["550 5.1.1 no such user"]}
    (sent,) = delivered(channel_to(mail_server, clock))
    assert sent.address == "a@example.org"
    assert "b@example.org (550 5.1.1 no such user)" in sent.notes[0]
    assert mail_server.receivers == [["a@example.org"]]


def test_a_mail_refused_with_its_pictures_is_sent_without_them(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"DATA": ["552 too big"]}
    (sent,) = delivered(channel_to(mail_server, clock), pictures=(PICTURE,))
    assert "without" in sent.notes[0]
    assert "image/png" not in [part.get_content_type() for part in mail_server.mails[0].walk()]


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "answer", "tries"),
    [("MAIL", "451 later", 4), ("RCPT", "450 greylisted", 4), ("DATA", "451 later", 4), ("MAIL", "421 closing", 4),
     ("MAIL", "drop", 4), ("RCPT", "drop", 4)],
)  # fmt: skip
def test_what_passes_is_tried_again(
    mail_server: MailServer, clock: Clock, command: str, answer: str, tries: int
) -> None:
    channel = channel_to(mail_server, clock)
    mail_server.answers = {command: [answer] * 2 * (2 if command == "RCPT" and answer != "drop" else 1)}
    assert len(delivered(channel)) == 1
    assert clock.waits == [1.0, 2.0]
    mail_server.answers = {command: [answer] * 20}
    assert failure(lambda: delivered(channel)).reason == "unreachable"
    assert len(clock.waits) == 2 + tries - 1


@pytest.mark.parametrize(
    ("command", "answer", "expected"),
    [
        ("MAIL", "550 5.7.1 not your address", ("misconfigured", "EMAIL_FROM")),
        ("MAIL", "530 5.7.0 authentication required", ("misconfigured", "SMTP_URL")),
        ("MAIL", "552 too big", ("refused", "552")),
        ("RCPT", "550 no such user", ("misconfigured", "EMAIL_TO")),
        ("RCPT", "552 mailbox full", ("misconfigured", "EMAIL_TO")),
        ("DATA", "552 too big", ("refused", "552")),
        ("DATA", "554 looks like spam", ("refused", "spam")),
        ("DATA", "550 looks like spam", ("refused", "spam")),
    ],
)
def test_a_permanent_refusal_is_reported_once(
    mail_server: MailServer, clock: Clock, command: str, answer: str, expected: tuple[str, str]
) -> None:
    mail_server.answers = {command: [answer] * 2}
    error = failure(lambda: delivered(channel_to(mail_server, clock)))
    reason, said = expected
    assert (error.reason, clock.waits) == (reason, [])
    assert error.code == int(answer[:3])
    assert said in str(error)


def test_where_one_receiver_may_be_taken_later_all_refused_passes(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"a@example.org": ["550 no"] * 9, "b@example.org": ["450 later"]}
    (sent,) = delivered(channel_to(mail_server, clock))
    assert sent.address == "b@example.org"


def test_an_answer_lost_after_the_mail_is_repeated_only_for_alerts(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"DATA": ["drop"]}
    error = failure(lambda: delivered(channel_to(mail_server, clock), repeat_unknown=False))
    assert (error.reason, clock.waits, mail_server.mails) == ("unknown", [], [])
    mail_server.answers = {"DATA": ["drop"]}
    assert len(delivered(channel_to(mail_server, clock), repeat_unknown=True)) == 1


def test_a_wrong_password_is_reported_once_with_the_remedy(mail_server: MailServer, clock: Clock) -> None:
    error = failure(lambda: delivered(channel_to(mail_server, clock, password="wr0ng-S3CRET")))
    assert (error.reason, error.code, clock.waits) == ("misconfigured", 535, [])
    assert "SMTP_URL" in str(error)


def test_a_login_never_crosses_the_network_unencrypted(certificate: tuple[Path, Path], clock: Clock) -> None:
    with running(certificate, tls="none") as server:
        error = failure(lambda: delivered(channel_to(server, clock)))
        assert (error.reason, server.logins, clock.waits) == ("misconfigured", [], [])
        assert "STARTTLS" in str(error)


def test_a_bad_certificate_stops_before_login(
    mail_server: MailServer, certificate: tuple[Path, Path], clock: Clock
) -> None:
    for channel in (channel_to(mail_server, clock, ca_file=None), channel_to(mail_server, clock, host="127.0.0.1")):
        error = failure(lambda channel=channel: delivered(channel))  # type: ignore[misc]
        assert error.reason == "misconfigured"
        assert "certificate" in str(error)
    assert (mail_server.logins, clock.waits) == ([], [])


def test_tls_from_the_start_where_the_server_speaks_none_says_which_url(mail_server: MailServer, clock: Clock) -> None:
    error = failure(lambda: delivered(channel_to(mail_server, clock, tls=True)))
    assert (error.reason, "smtp://" in str(error)) == ("misconfigured", True)


def test_a_server_without_login_says_to_leave_it_out(certificate: tuple[Path, Path], clock: Clock) -> None:
    with running(certificate, tls="from the start", login=False) as server:
        error = failure(lambda: delivered(channel_to(server, clock, tls=True)))
        assert error.reason == "misconfigured"
        assert "SMTP_URL" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_no_server_is_unreachable(clock: Clock, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if host.endswith(".invalid"):

        def unknown(*_: Any, **__: Any) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = failure(lambda: delivered(channel_to(9, clock, host=host)))
    assert (error.reason, len(clock.waits)) == ("unreachable", 3)
    assert "SMTP_URL" in str(error)


@pytest.mark.parametrize(("greeting", "reason"), [(b"", "unreachable"), (b"421 busy\r\n", "unreachable"),
                                                  (b"554 go away\r\n", "misconfigured")])  # fmt: skip
def test_a_server_that_does_not_greet(clock: Clock, greeting: bytes, reason: str) -> None:
    def speak(connection: socket.socket) -> None:
        connection.sendall(greeting)
        silent(connection)

    with raw_server(speak) as address:
        port = int(address.partition(":")[2])
        error = failure(lambda: delivered(channel_to(port, clock, host="127.0.0.1", timeouts=(0.1, 0.1))))
    assert error.reason == reason


@pytest.mark.parametrize("fault", ["wrong password", "echo", "not ascii", "drop", "none"])
def test_the_password_is_in_no_error_log_or_repr(
    mail_server: MailServer, clock: Clock, fault: str, logged: pytest.LogCaptureFixture, capfd: Any
) -> None:
    password = {"wrong password": "wr0ng-S3CRET", "not ascii": "wr0ng-S3CRET-я"}.get(fault, PASSWORD)
    channel = channel_to(mail_server, clock, password=password)
    told = [repr(channel), str(channel)]
    if fault == "none":
        delivered(channel)
    else:
        echoes = " ".join((PASSWORD, *ENCODED[:2]))
        mail_server.answers = {"MAIL": ["drop" if fault == "drop" else f"550 you said {echoes}"] * 9}
        told += everything_in(failure(lambda: delivered(channel)))
    told += [str(record.__dict__) for record in logged.records if not record.name.startswith("mail.log")]
    told += list(capfd.readouterr())
    for secret in (password, PASSWORD, *ENCODED):
        assert not any(secret in each for each in told)


# --- the check -------------------------------------------------------------------------------------------------------


def test_the_check_goes_as_far_as_the_receivers_and_sends_nothing(mail_server: MailServer, clock: Clock) -> None:
    channel_to(mail_server, clock).check()
    expected = ["NOOP", "MAIL desk@example.com", "RCPT a@example.org", "RCPT b@example.org", "RSET"]
    assert (mail_server.commands, mail_server.mails) == (expected, [])


@pytest.mark.parametrize(
    ("command", "answer", "said"),
    [("MAIL", "550 no", "EMAIL_FROM"), ("RCPT", "550 no", "EMAIL_TO"), ("b@example.org", "550 no", "b@example.org")],
)
def test_the_check_names_what_is_bad(
    mail_server: MailServer, clock: Clock, command: str, answer: str, said: str
) -> None:
    mail_server.answers = {command: [answer] * 2}
    error = failure(channel_to(mail_server, clock).check)
    assert (error.reason, said in str(error)) == ("misconfigured", True)


def test_the_channel_is_made_from_settings(clock: Clock) -> None:
    settings = ChannelSettings(
        SMTP_URL="smtps://u%40x:p%2Fw@mail.example.com", EMAIL_FROM="d@example.com", EMAIL_TO="a@b.org, c@d.org"
    )
    channel = EmailChannel.for_settings(settings, clock.policy)
    assert channel.server == Server("mail.example.com", 465, True, "u@x", "p/w")
    assert (channel.sender, channel.receivers) == ("d@example.com", ("a@b.org", "c@d.org"))
    assert "p/w" not in repr(channel)
