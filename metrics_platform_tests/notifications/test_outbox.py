"""The dry run: pages that a browser shows as a chat would, whole at any moment, with nothing fetched from elsewhere."""

from __future__ import annotations

import re
import stat
import threading
import zoneinfo
from pathlib import Path
from typing import Any

import pytest
import time_machine

from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.history import Sent
from metrics_platform.notifications.message import Link, Message, Paragraph, Picture, Preformatted, bold, line
from metrics_platform.notifications.outbox import OutboxChannel
from metrics_platform_tests.notifications.clock import delivered as delivered_over
from metrics_platform_tests.notifications.clock import message as message_of
from metrics_platform_tests.notifications.examples import EXAMPLES, shown, told
from metrics_platform_tests.notifications.test_email import Page

# What Telegram takes as a photo is read from the first bytes: a PNG of 640 × 360.
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x80\x00\x00\x01\x68"
EVIL = "<script>alert(1)</script>\"'></div><!--/message--><pre>&amp;"


@pytest.fixture
def channel(tmp_path: Path) -> OutboxChannel:
    return OutboxChannel(tmp_path / "data" / "outbox", zoneinfo.ZoneInfo("Europe/Moscow"))


def message(text: str = "x", **more: Any) -> Message:
    given: dict[str, Any] = {
        "headline": line("❌ ", bold("FAILED"), f" · {text}"),
        "blocks": (Paragraph((line(text),)),),
        **more,
    }
    return message_of(*given.pop("blocks"), **given)


def delivered(channel: OutboxChannel, told_as: Message, *pictures: Picture, reply_to: Sent | None = None) -> Sent:
    (sent,) = delivered_over(channel, told_as, pictures=pictures, reply_to=reply_to)
    return sent


def page_of(channel: OutboxChannel, sent: Sent) -> Page:
    return Page((channel.directory / sent.message_ids[0]).read_text(encoding="utf-8"))


def index_of(channel: OutboxChannel) -> Page:
    return Page((channel.directory / "index.html").read_text(encoding="utf-8"))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_example_is_a_page_with_its_pictures_and_buttons(channel: OutboxChannel, key: str, language: Any) -> None:
    sent_as = told(language, key)
    pictures = [Picture(f"chart-{number}", f"Chart {number}", PNG) for number, _ in enumerate(sent_as.charts)]
    page = page_of(channel, delivered(channel, sent_as, *pictures))
    assert squeezed(shown(sent_as)) in squeezed(page.text)
    assert len(page.all("img")) == len(pictures)
    links = [link["href"] for link in page.all("a") if link["href"] not in [image["src"] for image in page.all("img")]]
    assert links == [link.url for link in sent_as.links]
    assert page.all("html") == [{"lang": language}]
    assert page.text.count("🔕" if sent_as.silent else "🔔") == 1


def test_only_its_owner_reads_the_outbox(channel: OutboxChannel) -> None:
    sent = delivered(channel, message(), Picture("views", "Views", PNG))
    channel.edit(message(), sent)
    assert stat.S_IMODE(channel.directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in channel.directory.iterdir()}
    assert len(modes) == 4 and set(modes.values()) == {0o600}


def test_nothing_is_fetched_from_elsewhere_and_no_data_is_markup(channel: OutboxChannel) -> None:
    evil = message(EVIL, blocks=(Preformatted(EVIL), Paragraph((line(EVIL),))), links=(Link(EVIL, "https://a.b/x"),))
    sent = delivered(channel, evil, Picture("views", EVIL, PNG))
    for path in (channel.directory / sent.message_ids[0], channel.directory / "index.html"):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert page.text.count(EVIL) >= 3
        assert not re.search(r"url\(|@import|<link|<script|<iframe", text)
        assert all(not re.match(r"\w+:|//", str(image["src"])) for image in page.all("img"))


def test_a_reply_quotes_the_first_line_of_what_it_answers(channel: OutboxChannel) -> None:
    opening = delivered(channel, told("en", "anomaly-A7K2Q"))
    page = page_of(channel, delivered(channel, told("en", "anomaly-A7K2Q-resolved"), reply_to=opening))
    assert page.text.strip().startswith("🔴 CRITICAL · Views −41%✅ RESOLVED")


def test_an_edit_changes_the_text_and_keeps_pictures_in_their_order_and_the_quote(channel: OutboxChannel) -> None:
    first = delivered(channel, message("opening", key="a"))
    pictures = [Picture("z", "Last & <first>", PNG), Picture("a", "A", PNG + b"2")]
    sent = delivered(channel, message("reply", key="b"), *pictures, reply_to=first)
    before = page_of(channel, sent)
    assert channel.edit(message("now over", key="b"), sent)
    after = page_of(channel, sent)
    assert "now over" in after.text
    assert "edited · " in after.text
    assert "reply" not in after.text
    assert "FAILED · opening" in after.text
    assert after.all("img") == before.all("img")
    assert "now over" in index_of(channel).text
    # Once more, of what is an edit already.
    assert channel.edit(message("still over", key="b"), sent)
    assert page_of(channel, sent).all("img") == before.all("img")


def test_the_time_below_a_message_is_in_the_zone_of_the_product(channel: OutboxChannel) -> None:
    with time_machine.travel("2026-11-21T22:30:05Z", tick=False):
        sent = delivered(channel, message())
    assert sent.message_ids[0].startswith("2026-11-21T22-30-05-")
    assert page_of(channel, sent).text.strip().endswith("🔔 2026-11-22 01:30:05 MSK")


def test_the_index_shows_the_newest_first_and_only_the_latest_hundred(channel: OutboxChannel) -> None:
    for number in range(102):
        delivered(channel, message(f"message-{number}.", key=f"key-{number}"))
    told_in_order = re.findall(r"FAILED · message-(\d+)", index_of(channel).text)
    assert told_in_order == [str(number) for number in range(101, 1, -1)]


def test_any_key_is_a_file_name(channel: OutboxChannel) -> None:
    name = delivered(channel, message(key="a:b=c+" + "x" * 140)).message_ids[0]
    assert re.fullmatch(r"[\w.-]+", name)
    assert len(name) < 120


def test_a_folder_that_cannot_be_used_is_an_error_that_names_it_and_the_setting(channel: OutboxChannel) -> None:
    channel.directory.parent.mkdir(parents=True)
    channel.directory.write_text("a file")
    with pytest.raises(DeliveryError, match="METRICS_DATA_DIR") as caught:
        delivered(channel, message())
    assert str(channel.directory) in str(caught.value)
    assert caught.value.reason == "misconfigured"


def test_an_edit_of_a_page_that_is_gone_says_that_it_cannot(channel: OutboxChannel) -> None:
    sent = delivered(channel, message())
    (channel.directory / sent.message_ids[0]).with_suffix(".json").unlink()
    assert not channel.edit(message(), sent)


def test_a_half_written_page_is_never_seen(channel: OutboxChannel) -> None:
    sent = delivered(channel, message())
    path = channel.directory / sent.message_ids[0]
    ended, broken = threading.Event(), []

    def look() -> None:
        while not ended.is_set():
            for page_path in (path, channel.directory / "index.html"):
                if not page_path.read_text(encoding="utf-8").endswith("</html>"):
                    broken.append(page_path)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(15):
        channel.edit(message(f"{number} " * 10_000), sent)
    ended.set()
    reader.join()
    assert broken == []
    assert not [file for file in channel.directory.iterdir() if file.name.startswith(".")]
