"""A message as an e-mail: headers, text, HTML with charts inside, and what data cannot do to any of them."""

from __future__ import annotations

import datetime
import email
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses, parseaddr
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given

from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.email_content import POLICY, email_of, html_body, message_id, subject_of, text_body
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
from metrics_platform_tests.notifications.clock import message
from metrics_platform_tests.notifications.examples import EXAMPLES
from metrics_platform_tests.notifications.examples import told as example

NOW = datetime.datetime(2026, 11, 21, 11, tzinfo=datetime.UTC)
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
    assert all(len(each) <= 998 for each in content.split(b"\r\n"))
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
    for each in lines:
        assert text_of(each).strip() in text
        assert text_of(each) in page.text
    assert [each["href"] for each in page.all("a")] == [link.url for link in told.links]
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
    assert [f"cid:{part['Content-ID'].strip('<>')}" for part in images] == [each["src"] for each in page.all("img")]
    assert [each["alt"] for each in page.all("img")] == ["Views", 'Likes "<2>"']
    assert [part.get_content_disposition() for part in images] == ["inline", "inline"]
    assert [part.get_filename() for part in images] == ["views.png", "likes.png"]
    assert [part.get_content() for part in images] == [picture.png for picture in pictures]


def test_one_picture_follows_the_answer_and_several_come_last() -> None:
    told = message(Paragraph((line("answer"),)), Paragraph((line("explanation"),)))
    one, two = Picture("a", "A", b""), Picture("b", "B", b"")
    places = [html_body(told, [("1", one)]).index(each) for each in (">answer<", "cid:1", ">explanation<")]
    assert places == sorted(places)
    page = html_body(told, [("1", one), ("2", two)])
    places = [page.index(each) for each in (">answer<", ">explanation<", "cid:1", "cid:2")]
    assert places == sorted(places)


def test_a_table_is_a_table_with_its_numbers_to_the_right() -> None:
    _, page = bodies(mailed(message(Table((("Views", "617,487", "−4%"),), header=("metric", "value", "1d")))))
    assert [each["align"] for each in page.all("th")] == ["left", "right", "right"]
    assert [each["scope"] for each in page.all("th")] == ["col"] * 3
    cells = [each for each in page.all("td") if "cell" in (each.get("class") or "")]
    assert [each["align"] for each in cells] == ["left", "right", "right"]


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


def test_columns_of_a_table_in_the_text_are_below_their_headers() -> None:
    told = message(Table((("Views", "576,471", "+2%"),), header=("", "value", "vs Fri")))
    assert "\n\n        value vs Fri\nViews 576,471    +2%\n" in text_body(told)


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
    assert all(len(each) <= 78 for each in mail.as_bytes(policy=POLICY).split(b"\r\n\r\n")[0].split(b"\r\n"))


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
    assert [each["href"] for each in page.all("a")] == ["http://localhost:3000/", f"https://a.b/{evil}"]
    assert page.text.count(evil) >= 8


def test_nothing_is_fetched_from_elsewhere() -> None:
    told = example("en", "report-2026-11-21")
    page = html_body(told, [("1", Picture("a", "A", b""))])
    assert "url(" not in page
    assert "@import" not in page
    assert [each["src"] for each in Page(page).all("img")] == ["cid:1"]


@given(messages())
def test_any_text_makes_a_mail_that_reads_back(told: Message) -> None:
    mail = mailed(told, (Picture("a", text_of(told.headline), b"\x89PNG"),))
    bodies(mail)
    assert mail["Subject"] == subject_of(told)
