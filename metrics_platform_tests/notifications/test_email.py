"""E-mail against a real SMTP server: how it is delivered, what each fault becomes, where the password is not."""

from __future__ import annotations

import datetime
import email
import re
import socket
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses, parseaddr
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from metrics_platform.channel_settings import MailServer as Server
from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.email import (
    POLICY,
    EmailChannel,
    email_of,
    html_body,
    message_id,
    subject_of,
    text_body,
)
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import (
    Details,
    Link,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    Table,
    bold,
    code,
    line,
    text_of,
)
from metrics_platform_tests.notifications.any_message import messages
from metrics_platform_tests.notifications.clock import Clock, everything_in, failure, message
from metrics_platform_tests.notifications.clock import delivered as delivered_over
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.notifications.examples import told as example
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


# --- delivery -------------------------------------------------------------------------------------------------------


def test_a_message_goes_encrypted_and_logged_in_to_all_receivers(mail_server: MailServer, clock: Clock) -> None:
    (sent,) = delivered(channel_to(mail_server, clock))
    (mail,) = mail_server.mails
    assert mail["Subject"] == "❌ FAILED · job daily_etl"
    assert mail["From"] == SENDER
    assert mail["To"] == "a@example.org, b@example.org"
    assert mail["Date"] == "Sat, 21 Nov 2026 11:00:00 +0000"
    assert mail_server.receivers == [list(RECEIVERS)]
    assert mail_server.encrypted == [True]
    assert len(mail_server.logins) == 1
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


def test_a_receiver_refused_for_now_is_not_said_to_be_wrong(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"b@example.org": ["452 4.2.2 mailbox full"]}
    (sent,) = delivered(channel_to(mail_server, clock))
    (note,) = sent.notes
    assert "452 4.2.2 mailbox full" in note and "temporary" in note and "EMAIL_TO" not in note


def test_a_mail_refused_with_its_pictures_is_sent_without_them(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"DATA": ["552 too big"]}
    (sent,) = delivered(channel_to(mail_server, clock), pictures=(PICTURE,))
    assert "without" in sent.notes[0]
    assert "image/png" not in [part.get_content_type() for part in mail_server.mails[0].walk()]


# --- faults ---------------------------------------------------------------------------------------------------------


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
    assert answer[:3] in str(error)
    assert said in str(error)


def test_an_answer_lost_after_the_mail_is_repeated_only_for_alerts(mail_server: MailServer, clock: Clock) -> None:
    mail_server.answers = {"DATA": ["drop"]}
    error = failure(lambda: delivered(channel_to(mail_server, clock), repeat_unknown=False))
    assert (error.reason, clock.waits, mail_server.mails) == ("unknown", [], [])
    mail_server.answers = {"DATA": ["drop"]}
    assert len(delivered(channel_to(mail_server, clock), repeat_unknown=True)) == 1


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
        assert not any(secret in part for part in told)


# --- the check ------------------------------------------------------------------------------------------------------


def test_the_check_goes_as_far_as_the_receivers_and_sends_nothing(mail_server: MailServer, clock: Clock) -> None:
    channel_to(mail_server, clock).check()
    expected = ["NOOP", "MAIL desk@example.com", "RCPT a@example.org", "RCPT b@example.org", "RSET"]
    assert (mail_server.commands, mail_server.mails) == (expected, [])


def test_a_server_without_login_says_to_leave_it_out(certificate: tuple[Path, Path], clock: Clock) -> None:
    with running(certificate, tls="from the start", login=False) as server:
        error = failure(lambda: delivered(channel_to(server, clock, tls=True)))
        assert error.reason == "misconfigured"
        assert "SMTP_URL" in str(error)


# --- the mail itself --------------------------------------------------------------------------------------------------


_VOID = {"meta", "img", "br", "hr"}


class Page(HTMLParser):
    """Reads HTML as mail clients do; an open tag or a script fails."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert tag != "script"
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def mailed(told: Message, pictures: tuple[Picture, ...] = (), **more: Any) -> EmailMessage:
    """The e-mail as a mail client reads it."""
    facts: dict[str, Any] = {"sender": "Desk <desk@example.com>", "receivers": ("a@example.org",), "thread": None}
    mail = email_of(told, pictures, **{**facts, **more}, date=NOW)
    content = mail.as_bytes(policy=POLICY)
    assert content.isascii()
    assert all(len(row) <= 998 for row in content.split(b"\r\n"))
    read = email.message_from_bytes(content, policy=default)  # type: ignore[arg-type]
    assert not read.defects
    return read


def bodies(mail: EmailMessage) -> tuple[str, Page]:
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    return text.get_content().replace("\r\n", "\n"), Page(page.get_content())


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_kind_of_message_says_the_same_in_text_and_html(key: str, language: Any) -> None:
    told = example(language, key)
    pictures = tuple(Picture(f"chart-{number}", f"Chart {number}", b"\x89PNG") for number, _ in enumerate(told.charts))
    mail = mailed(told, pictures)
    text, page = bodies(mail)
    assert mail["Subject"] == text_of(told.headline)
    lines = [told.headline, told.footer]
    for block in told.blocks:
        lines += block.lines if isinstance(block, Paragraph | Details) else ()
        if isinstance(block, Table):
            assert all(cell in page.text for row in block.rows for cell in row)
            assert all(cell in text for row in block.rows for cell in row[1:])
    for text_line in lines:
        assert text_of(text_line).strip() in text
        assert text_of(text_line) in page.text
    assert [link["href"] for link in page.all("a")] == [link.url for link in told.links]
    assert all(link.url in text for link in told.links)
    assert page.all("html") == [{"lang": language}]
    assert len(page.all("img")) == len(pictures)


def test_a_mail_is_text_and_html_with_the_pictures_inside_of_it() -> None:
    pictures = (Picture("views", "Views", b"\x89PNG one"), Picture("likes", 'Likes "<2>"', b"\x89PNG two"))
    mail = mailed(message(Paragraph((line("x"),))), pictures)
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "image/png",
    ]
    images = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    _, page = bodies(mail)
    assert [f"cid:{part['Content-ID'].strip('<>')}" for part in images] == [image["src"] for image in page.all("img")]
    assert [image["alt"] for image in page.all("img")] == ["Views", 'Likes "<2>"']
    assert [part.get_content_disposition() for part in images] == ["inline", "inline"]
    assert [part.get_filename() for part in images] == ["views.png", "likes.png"]
    assert [part.get_content() for part in images] == [picture.png for picture in pictures]


def test_one_picture_follows_the_answer_and_several_come_last() -> None:
    told = message(Paragraph((line("answer"),)), Paragraph((line("explanation"),)))
    one, two = Picture("a", "A", b""), Picture("b", "B", b"")
    places = [html_body(told, [("1", one)]).index(text) for text in (">answer<", "cid:1", ">explanation<")]
    assert places == sorted(places)
    page = html_body(told, [("1", one), ("2", two)])
    places = [page.index(text) for text in (">answer<", ">explanation<", "cid:1", "cid:2")]
    assert places == sorted(places)


def test_the_text_is_complete_without_the_html() -> None:
    told = message(
        Paragraph((line(bold("Where"), "  ", code("os")), line("page"))),
        Preformatted("Error\n  at x"),
        Details((line("How"), line("detector"))),
        links=(Link("Run", "http://localhost:3000/runs/1"),),
    )
    assert text_body(told) == (
        "❌ FAILED · job daily_etl\n\nWhere  os\npage\n\n    Error\n      at x\n\n"
        "  How\n  detector\n\nRun: http://localhost:3000/runs/1\n\n-- \nproduction\n"
    )


@pytest.mark.parametrize(("severity", "is_urgent"), [("critical", True), ("failed", True), ("warning", False),
                                                     ("resolved", False), ("info", False)])  # fmt: skip
def test_only_critical_mails_and_failures_are_urgent_and_none_is_auto_answered(severity: Any, is_urgent: bool) -> None:
    mail = mailed(message(severity=severity))
    assert (mail["Importance"], mail["X-Priority"]) == (("high", "1") if is_urgent else (None, None))
    assert mail["Auto-Submitted"] == "auto-generated"


def test_the_same_notification_has_the_same_id_and_others_have_others() -> None:
    keys = ["a-1", "a:1", "a.1", "a=1", "x" * 151, "x" * 150]
    assert len({message_id(key, "example.com") for key in keys}) == len(keys)
    for key in keys:
        assert message_id(key, "example.com") == message_id(key, "example.com")
        assert re.fullmatch(r"<[A-Za-z0-9-]+\.[0-9a-f]{16}@example\.com>", message_id(key, "example.com"))
    mail = mailed(message(), sender="Метрики <desk@пример.рф>", thread="a:1")
    assert mail["Message-ID"].endswith("@xn--e1afmkfd.xn--p1ai>")
    assert mail["In-Reply-To"] == mail["References"] == message_id("a:1", "xn--e1afmkfd.xn--p1ai")


@pytest.mark.parametrize(
    "text",
    ["x\r\nBcc: evil@example.com", "x\n\nbody", "x\x00\u2028y", "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=", "x " * 900],
)
def test_no_header_can_be_put_in_by_data(text: str) -> None:
    mail = mailed(message(headline=line(text)))
    assert mail["Bcc"] is None
    assert mail["To"] == "a@example.org"
    assert "\n" not in mail["Subject"]
    assert len(mail["Subject"]) <= 200


def test_an_address_that_mail_servers_do_not_take_says_what_to_correct() -> None:
    with pytest.raises(DeliveryError, match="EMAIL_FROM") as caught:
        mailed(message(), sender="почта@example.com")
    assert caught.value.reason == "misconfigured"


def test_many_receivers_with_long_names_read_back_whole() -> None:
    receivers = [f"Дежурная смена метрик {number} <team-{number}@example.org>" for number in range(20)]
    sender = "Стол метрик и наблюдений за продуктом <d@example.com>"
    mail = email_of(message(), (), sender=sender, receivers=receivers, thread=None, date=NOW)
    # As other programs read it: Python's newer parser puts spaces between the encoded words of a name.
    read = email.message_from_bytes(mail.as_bytes(policy=POLICY), policy=compat32)
    addresses = [(str(make_header(decode_header(name))), bare) for name, bare in getaddresses([read["To"]])]
    assert addresses == [(f"Дежурная смена метрик {number}", f"team-{number}@example.org") for number in range(20)]
    assert str(make_header(decode_header(parseaddr(read["From"])[0]))) == "Стол метрик и наблюдений за продуктом"
    header = mail.as_bytes(policy=POLICY).split(b"\r\n\r\n")[0]
    assert all(len(row) <= 78 for row in header.split(b"\r\n"))


def test_data_is_never_markup_and_only_web_addresses_are_links() -> None:
    evil = "<script>alert(1)</script>\"'><b>&amp;"
    told = message(
        Paragraph((line(evil, code(evil), bold(evil)),)),
        Table(((evil, evil),), header=(evil, evil)),
        Preformatted(evil),
        Details((line(evil),)),
        links=(
            Link(evil, "javascript:alert(1)"),
            Link("Run", "http://localhost:3000/"),
            Link("x", f"https://a.b/{evil}"),
        ),
    )
    text, page = bodies(mailed(told, (Picture("a", evil, b""),)))
    assert text.count(evil) >= 7
    assert [link["href"] for link in page.all("a")] == ["http://localhost:3000/", f"https://a.b/{evil}"]
    assert page.text.count(evil) >= 8


@given(messages())
def test_any_text_makes_a_mail_that_reads_back(told: Message) -> None:
    mail = mailed(told, (Picture("a", text_of(told.headline), b"\x89PNG"),))
    bodies(mail)
    assert mail["Subject"] == subject_of(told)
