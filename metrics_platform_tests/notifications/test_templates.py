"""What messages say: every example in both languages, as Telegram shows it, against the texts in `golden/`.

The golden texts are for people to read: a change of wording is seen there. To write them anew:
`python -m metrics_platform_tests.notifications.test_templates`.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.charts.model import Chart
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications.message import Message, Table, table_lines, text_of
from metrics_platform.notifications.telegram.html import CAPTION_UNITS, TEXT_UNITS, parts_of
from metrics_platform.notifications.templates import write
from metrics_platform.notifications.templates.anomalies import headline_when_over
from metrics_platform_tests.notifications.examples import (
    DAY,
    EXAMPLES,
    NOON,
    SLOT,
    ZONE,
    anomaly,
    history,
    told,
    writer,
)
from metrics_platform_tests.telegram.parsing import parse_html

GOLDEN = Path(__file__).parent / "golden"
EACH = [(language, key) for language in LANGUAGES for key in EXAMPLES]
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?")
_MINUS = "\u2212"


def shown(message: Message) -> str:
    """The whole message as a person reads it in Telegram."""
    return "\n".join(parse_html(part.html).text for part in parts_of(message))


def as_golden(language: Language) -> Iterator[tuple[str, str]]:
    for key in EXAMPLES:
        message = told(language, key)
        buttons = " ".join(f"[{link.label}]" for link in message.links)
        sound = "" if message.silent else "with sound · "
        yield key, f"{shown(message)}\n({sound}pictures: {len(message.charts)}) {buttons}"


def golden(language: Language) -> dict[str, str]:
    """The texts of the file `messages.<language>.txt`, by the example's key."""
    text = (GOLDEN / f"messages.{language}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^=== (\S+) =+\n", text, flags=re.MULTILINE)
    return {key: body.rstrip("\n") for key, body in zip(parts[1::2], parts[2::2], strict=True)}


# --- every example ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_example_reads_as_its_golden_text(language: Language) -> None:
    expected = golden(language)
    assert list(expected) == list(EXAMPLES)
    for key, text in as_golden(language):
        assert text == expected[key]


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(event) for event in EXAMPLES.values()} == set(_all_kinds(kinds.Event))


def _all_kinds(base: type[kinds.Event]) -> Iterator[type[kinds.Event]]:
    for each in base.__subclasses__():
        if "kind" in each.model_fields:
            yield each
        yield from _all_kinds(each)


@pytest.mark.parametrize(("language", "key"), EACH)
def test_telegram_accepts_every_message_as_one_text_with_its_links_and_no_others(language: Language, key: str) -> None:
    message = told(language, key)
    (part,) = parts_of(message)
    parsed = parse_html(part.html)
    assert parsed.text == part.plain.strip()
    assert parsed.length <= TEXT_UNITS
    assert parsed.accidental == []
    assert 1 <= len(message.links) <= 3
    assert all(link.label and link.url.startswith("https://") for link in message.links)


@pytest.mark.parametrize(("language", "key"), EACH)
def test_the_last_line_is_environment_owner_and_id(language: Language, key: str) -> None:
    last = shown(told(language, key)).split("\n")[-1]
    assert re.fullmatch(r"production · team:metrics · id \S+(, \S+)*", last)


@pytest.mark.parametrize(("language", "key"), EACH)
def test_an_emoji_never_stands_without_its_word(language: Language, key: str) -> None:
    text = shown(told(language, key))
    assert _EMOJI.match(text)
    for found in _EMOJI.finditer(text):
        assert re.match(r" \w", text[found.end() :]), text[found.start() : found.end() + 10]


@pytest.mark.parametrize(("language", "key"), EACH)
def test_a_table_fits_the_34_columns_of_a_phone_with_every_name_whole(language: Language, key: str) -> None:
    for block in told(language, key).blocks:
        if isinstance(block, Table):
            lines = table_lines(block)
            assert max(map(len, lines)) <= 34
            assert not any("…" in line for line in lines)


@pytest.mark.parametrize(("language", "key"), EACH)
def test_lines_open_with_a_capital_a_figure_or_an_emoji_and_no_text_has_two_spaces_but_behind_a_label(
    language: Language, key: str
) -> None:
    message = told(language, key)
    for block in message.blocks:
        if isinstance(block, Table) or not hasattr(block, "lines"):
            continue
        for spans in block.lines:
            text = text_of(spans)
            first = text.split(" ")[0]
            assert not first[0].islower() or spans[0].style == "code" or first in ("detector", "детектор"), text
            rest = text_of(spans[1:]).removeprefix("  ") if spans[0].style == "bold" else text
            assert "  " not in rest


_PREVIEWS = {
    "report-2026-11-21": ("Daily report", "21", "Отчёт за день"),
    "anomaly-A7K2Q": ("CRITICAL · Views", f"{_MINUS}41%", "КРИТИЧНО · Просмотры"),
    "anomaly-several": ("CRITICAL · 4 metrics: Views", f"{_MINUS}41%", "КРИТИЧНО · 4 метрики: Просмотры"),
    "anomaly-A7K2Q-reminder-1": ("CRITICAL · Views", f"{_MINUS}35%", "КРИТИЧНО · Просмотры"),
    "anomaly-A7K2Q-resolved": ("RESOLVED · Views", "", "РЕШЕНО · Просмотры"),
    "run-7d1c3a55": ("FAILED · job daily_etl", "", "СБОЙ · задание daily_etl"),
    "check-dimension_metrics-2026-11-21": (
        "CRITICAL · check agrees_with_source",
        "",
        "КРИТИЧНО · проверка agrees_with_source",
    ),
    "stale-feed_actions-1": ("WARNING · Stale data: feed_actions", "", "ВНИМАНИЕ · Данные устарели: feed_actions"),
    "volume-message_actions-2026-11-20": ("WARNING · Volume", f"{_MINUS}37%", "ВНИМАНИЕ · Объём"),
    "digest-1": ("DIGEST · 20 messages", "6", "СВОДКА · 20 сообщений"),
}


@pytest.mark.parametrize("key", _PREVIEWS)
def test_the_push_preview_has_the_state_the_subject_and_the_number(key: str) -> None:
    english, number, russian = _PREVIEWS[key]
    for language, subject in (("en", english), ("ru", russian)):
        preview = shown(told(language, key))[:60]  # type: ignore[arg-type]
        assert subject in preview
        assert number in preview


# --- pictures and sound ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "key"), EACH)
def test_every_chart_is_valid_and_has_a_file_name_of_its_own(language: Language, key: str) -> None:
    charts = [make() for make in told(language, key).charts]
    assert all(isinstance(chart, Chart) and chart.language == language for chart in charts)
    assert len({chart.name for chart in charts}) == len(charts)


CITIES = ("Москва", "Казань", "Самара", "Уфа", "Омск", "Пермь", "Тула")


def test_several_anomalies_are_panels_of_one_picture_as_many_as_a_phone_can_show() -> None:
    slices = [
        anomaly(dimension="city", dimension_value=city, history=history(), incident=f"A{city}") for city in CITIES
    ]
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=tuple(slices))
    (chart,) = [make() for make in write(event, writer()).charts]
    assert chart.name == "views-city-and-6"
    assert chart.title == f"{', '.join(f'Views (city {city}) −41%' for city in CITIES[:3])} and 4 more at\u00a010:45"
    assert [panel.title for panel in chart.panels] == [f"Views (city {city}) −41%" for city in CITIES[:6]]


def test_where_nothing_has_come_since_the_slot_the_last_event_is_told_and_not_that_data_are_complete() -> None:
    late = anomaly(slot_start=NOON, slot_end=NOON + SLOT)
    fresh = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(late,), fresh_at=NOON + SLOT)
    assert "complete, fresh at" in shown(write(fresh, writer()))
    stale = fresh.model_copy(update={"fresh_at": NOON + SLOT / 2})
    assert "complete" not in shown(write(stale, writer()))
    assert "the last event is of" in shown(write(stale, writer()))


def test_the_picture_of_an_alert_marks_its_slot_and_says_what_happened() -> None:
    fell = anomaly(history=history())
    silent = anomaly("ctr", value=None, unit="share", history=history())
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(fell, silent))
    (chart,) = [make() for make in write(event, writer("ru")).charts]
    assert chart.title == "Просмотры −41%, CTR: нет данных в\u00a010:45"
    assert chart.subtitle == "Каждые 15 минут · сб 21 нояб. 2026"
    assert [(panel.title, panel.note, panel.marked) for panel in chart.panels] == [
        ("Просмотры −41%", "4\u00a0812", (NOON, NOON)),
        ("CTR: нет данных", "нет данных", (NOON, NOON)),
    ]


def test_the_picture_of_the_all_clear_marks_the_incident_from_its_first_to_its_last_slot() -> None:
    over = kinds.ResolvedAnomaly(
        incident="A7K2Q", metric="views", unit="count", opened_at=NOON - 9 * SLOT, resolved_at=NOON - 2 * SLOT,
        history=history(),
    )  # fmt: skip
    event = kinds.AnomalyResolved(key="a", occurred_at=NOON, resolved=(over,))
    (chart,) = [make() for make in write(event, writer()).charts]
    assert chart.title == "Views back to normal"
    assert chart.labels.marked == "incident"
    assert chart.panels[0].marked == (NOON - 9 * SLOT, NOON - 3 * SLOT)


@pytest.mark.parametrize("key", ["anomaly-A7K2Q", "report-2026-11-20"])
def test_what_has_one_picture_fits_its_caption(key: str) -> None:
    for language in LANGUAGES:
        message = told(language, key)
        assert len(message.charts) == 1
        assert len(parts_of(message, CAPTION_UNITS)) == 1


def test_sound_is_for_what_is_critical_or_failed() -> None:
    loud = {key for key in EXAMPLES if not told("en", key).silent}
    assert loud == {
        "anomaly-A7K2Q",
        "anomaly-no-data",
        "anomaly-several",
        "anomaly-A7K2Q-2",  # an edit: makes no sound anyway
        "anomaly-A7K2Q-reminder-1",
        "stale-feed_actions-2",
        "run-7d1c3a55",
        "run-killed",
        "run-never-started",
        "tick-4711-1763721000000",
        "tick-4712-1763721000000",
        "failures-2026-11-21T103000",
        "check-dimension_metrics-2026-11-21",
        "no-report-2026-11-21",
        "digest-1",
    }


def test_failed_is_said_of_code_and_warning_and_critical_of_data() -> None:
    titles: dict[str, set[str]] = {}
    for language in LANGUAGES:
        for key in EXAMPLES:
            if EXAMPLES[key].severity in ("failed", "critical", "warning"):
                state, _, subject = text_of(told(language, key).headline).partition(" · ")
                titles.setdefault(subject, set()).add(state)
                of_code = isinstance(
                    EXAMPLES[key], kinds.FailedRun | kinds.FailedTick | kinds.FailedRuns | kinds.ReportNotDelivered
                )
                assert (state in ("❌ FAILED", "❌ СБОЙ")) == of_code
    assert all(len(states) == 1 for states in titles.values())


# --- what depends on the moment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("en", "⏰ Delayed by 3 h"), ("ru", "⏰ С опозданием на 3 ч")])
@pytest.mark.parametrize("key", [key for key in EXAMPLES if not key.startswith("digest")])
def test_a_message_that_leaves_late_says_so_below_its_first_line(key: str, language: Any, said: str) -> None:
    event = EXAMPLES[key]
    late = write(event, writer(language, event.occurred_at + datetime.timedelta(hours=3)))
    lines = shown(late).replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert lines[2].startswith(said)
    assert f"{event.occurred_at:%H:%M}" in lines[2]
    assert said not in shown(told(language, key)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_message_of_yesterday_names_the_day() -> None:
    event = EXAMPLES["stale-feed_actions-1"]
    text = shown(write(event, writer("en", event.occurred_at + datetime.timedelta(days=1))))
    assert "from 21 Nov 11:15" in text
    assert "Last event 21 Nov 05:25" in text


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "✅ RESOLVED · Views −41%, over after 1 h"),
        ("ru", "✅ РЕШЕНО · Просмотры −41%, длилось 1 ч"),
    ],
)
def test_the_first_line_of_what_is_over_says_what_it_was_and_how_long(language: Any, said: str) -> None:
    opening = EXAMPLES["anomaly-A7K2Q"]
    assert isinstance(opening, kinds.AnomalyOpened)
    parts = [
        kinds.ResolvedAnomaly(
            incident="A", metric="views", unit="count", opened_at=NOON + first * SLOT, resolved_at=NOON + end * SLOT
        )
        for first, end in ((2, 4), (1, 3), (3, 5))
    ]
    over = kinds.AnomalyResolved(key="r", occurred_at=NOON + 7 * SLOT, resolved=tuple(parts))
    headline = headline_when_over(opening, over, writer(language))
    assert text_of(headline).replace("\N{NO-BREAK SPACE}", " ") == said


def test_a_digest_is_ordered_by_loudness_then_time_and_says_when_each_happened() -> None:
    lines = re.findall(r"^((?:\d+ \w+ )?\d\d:\d\d) (\S+) [A-Z]{4,} · ", shown(told("en", "digest-1")), re.MULTILINE)
    assert len(lines) == 20
    marks = "".join(mark for _, mark in lines)
    assert re.fullmatch("🔴*❌*🟠*✅*", marks)
    assert [moment for moment, mark in lines if mark == "✅"] == ["11:15", "11:15", "11:45", "11:45", "11:45", "12:15"]


def test_a_digest_whose_parts_are_gone_names_their_keys() -> None:
    event = kinds.Digest(key="digest-2", occurred_at=NOON, notifications=("anomaly-1", "run-2"))
    text = shown(write(event, writer()))
    assert text.startswith("🗂️ DIGEST · 2 messages\n")
    assert "\nanomaly-1\nrun-2\n" in text


# --- what an anomaly is ----------------------------------------------------------------------------------------------


def _opened(**facts: Any) -> str:
    return shown(write(kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(anomaly(**facts),)), writer()))


def test_a_rise_is_not_called_a_drop() -> None:
    part = {"dimension": "os", "value": "iOS", "change": 3.0, "share_of_change": 0.9}
    text = _opened(value=16320, contributions=[part])
    assert text.startswith("🔴 CRITICAL · Views +100%")
    assert "iOS +300% (90% of the rise)" in text
    assert "a campaign, bots" in text


def test_from_nothing_it_is_the_value_that_is_told() -> None:
    part = {"dimension": "os", "value": "iOS", "change": None, "share_of_change": 1}
    text = _opened(value=4812, expected=0, contributions=[part])
    assert text.startswith("🔴 CRITICAL · Views 0 → 4,812")
    assert "iOS n/a (100% of the rise)" in text


def test_what_nobody_expected_anything_of_is_told_by_its_value() -> None:
    assert _opened(value=4812, expected=100).startswith("🔴 CRITICAL · Views ×48")
    event = anomaly().model_copy(update={"expected": None, "lower": None, "upper": None})
    text = shown(write(kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(event,)), writer()))
    assert text.startswith("🔴 CRITICAL · Views 4,812\n")
    assert "expected n/a" in text


def test_a_slice_whose_value_says_nothing_is_told_with_its_dimension() -> None:
    parts = [
        {"dimension": "age", "value": "25", "change": -0.68},
        {"dimension": "source", "value": "ads", "change": -1},
    ]
    assert f"age 25 {_MINUS}68%, ads {_MINUS}100%" in _opened(contributions=parts)


def test_expected_counts_are_whole_numbers() -> None:
    text = _opened(value=3, expected=68.4, day_before=70.25)
    assert "3 at 10:45–11:00, expected 64–75 (yesterday 70)" in text


def test_a_reminder_of_stale_data_says_for_how_long() -> None:
    event = EXAMPLES["stale-feed_actions-1"].model_copy(update={"still": True})
    message = write(event, writer("en", event.occurred_at))
    assert shown(message).startswith("🟠 WARNING · Stale data: feed_actions, still after 5\N{NO-BREAK SPACE}h")
    assert message.silent


def test_a_volume_where_nothing_was_expected_tells_the_rows() -> None:
    facts = EXAMPLES["volume-message_actions-2026-11-20"].model_dump()
    text = shown(write(kinds.OddVolume(**{**facts, "expected": 0, "lower": 0, "upper": 0}), writer()))
    assert text.startswith("🟠 WARNING · Volume 0 → 8,121: message_actions")


def test_a_volume_names_its_day_also_one_of_25_hours_or_its_slot() -> None:
    facts = EXAMPLES["volume-message_actions-2026-11-20"].model_dump()
    slot = kinds.OddVolume(**{**facts, "period_start": NOON, "period_end": NOON + SLOT, "rows": 1})
    assert "1 row on Sat 21 Nov 2026 10:45–11:00, expected" in shown(write(slot, writer()))
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    start, end = (datetime.datetime(2026, 10, day, tzinfo=berlin) for day in (25, 26))
    day = kinds.OddVolume(**{**facts, "period_start": start, "period_end": end})
    assert "rows on Sun 25 Oct 2026, expected" in shown(write(day, replace(writer(), zone=berlin)))
    two_days = kinds.OddVolume(**{**facts, "period_start": NOON, "period_end": NOON + datetime.timedelta(days=1)})
    assert "rows on 21 Nov 10:45–22 Nov 10:45, expected" in shown(write(two_days, writer()))


def test_a_daily_incident_of_the_report_needs_no_times() -> None:
    report = EXAMPLES["report-2026-11-21"]
    assert isinstance(report, kinds.DailyReport)
    whole_day = anomaly("likes", value=74_000, expected=125_000, slot_start=report.period_start,
                        slot_end=report.period_end)  # fmt: skip
    text = shown(write(report.model_copy(update={"incidents": (whole_day,)}), writer()))
    assert f"🔴 Likes {_MINUS}41% vs expected 116,000–136,000\n" in text


def test_a_report_of_a_day_whose_checks_failed_says_so_first() -> None:
    report = EXAMPLES["report-2026-11-21"].model_copy(update={"problem": "failed_checks"})
    text = shown(write(report, writer("en", datetime.datetime(2026, 11, 22, 11, 1, tzinfo=ZONE))))
    assert text.startswith(f"⚠️ Daily report · {DAY:%a %-d %b %Y} · CHECKS FAILED\n")


def test_a_report_of_a_day_that_is_not_whole_says_so_first_and_names_what_is_missing() -> None:
    report = EXAMPLES["report-2026-11-21"].model_copy(update={"problem": "partial", "not_computed": ("users",)})
    text = shown(write(report, writer("en", datetime.datetime(2026, 11, 22, 11, 1, tzinfo=ZONE))))
    assert text.startswith(f"⚠️ Daily report · {DAY:%a %-d %b %Y} · PARTIAL DATA\n")
    assert "users not computed for this day. Materialise daily_etl for 2026-11-21" in text


@pytest.mark.parametrize("secret", ["hunter2hunter2", "123456789:AAExampleExampleExampleExample01"])
def test_secrets_in_causes_are_masked(secret: str) -> None:
    cause = f"OperationalError: clickhouse://desk:{secret}@db:9000 refused; password={secret}, token: {secret}"
    events = [
        kinds.FailedRun(key="k", occurred_at=NOON, job="j", cause=f"{'x ' * 5000}{cause}"),
        kinds.FailedRun(key="k", occurred_at=NOON, job="j", cause=f"{cause}{' x' * 5000}"),
        kinds.FailedCheck(key="k", occurred_at=NOON, asset="a", check="c", description=cause, numbers=(("n", cause),)),
        kinds.ReportNotDelivered(key="k", occurred_at=NOON, date=DAY, due_at=NOON, reason=cause),
    ]
    for event in events:
        text = shown(write(event, writer()))
        assert secret not in text
        assert "***" in text


def test_an_errors_class_is_told_without_its_modules() -> None:
    event = kinds.FailedRun(
        key="k", occurred_at=NOON, job="j", cause="a.b.WarehouseError: c.d.E: x\nurllib.HTTPError: y"
    )
    assert "\nWarehouseError: c.d.E: x\nHTTPError: y\n" in shown(write(event, writer()))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in LANGUAGES:
        texts = "".join(f"=== {key} {'=' * (75 - len(key))}\n{text}\n\n" for key, text in as_golden(each))
        (GOLDEN / f"messages.{each}.txt").write_text(texts, encoding="utf-8")
