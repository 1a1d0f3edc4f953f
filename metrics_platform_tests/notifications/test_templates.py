"""What messages say: every example in both languages, as Telegram shows it, compared with the texts in `golden/`.

The golden texts are for people to read: they show every change of wording. To write them again:
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

from metrics_platform.charts.model import Chart, HeatMap
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications.message import Message, Table, lines_of, table_lines, text_of
from metrics_platform.notifications.telegram.rendering import CAPTION_UNITS, TEXT_UNITS, parts_of
from metrics_platform.notifications.templates import render
from metrics_platform_tests.notifications.examples import (
    DAY,
    EXAMPLES,
    NOON,
    SLOT,
    ZONE,
    anomaly,
    history,
    parts_of_example,
    told,
    writer,
)
from metrics_platform_tests.telegram.parsing import parse_html

GOLDEN = Path(__file__).parent / "golden"
EACH = [(language, key) for language in LANGUAGES for key in EXAMPLES]
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?")
_MINUS = "\u2212"


def texts_of(message: Message, limit: int) -> list[str]:
    return [parse_html(part.html).text for part in parts_of(message, limit)]


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
    for kind in base.__subclasses__():
        if isinstance(kind.model_fields["kind"].default, str):
            yield kind
        yield from _all_kinds(kind)


@pytest.mark.parametrize(("language", "key"), EACH)
def test_telegram_accepts_every_example_as_one_text_as_it_was_meant(language: Language, key: str) -> None:
    message = told(language, key)
    (part,) = parts_of(message)
    parsed = parse_html(part.html)
    assert parsed.text == part.plain.strip()
    assert parsed.length <= TEXT_UNITS
    assert parsed.accidental == []
    assert 1 <= len(message.links) <= 3
    assert all(link.label and link.url.startswith("https://") for link in message.links)
    texts_of(message, CAPTION_UNITS)
    assert re.fullmatch(r"production · team:metrics · id .+", parsed.text.split("\n")[-1])
    assert _EMOJI.match(parsed.text)
    for found in _EMOJI.finditer(parsed.text):  # an emoji never appears without its word
        assert re.match(r" \w", parsed.text[found.end() :])


@pytest.mark.parametrize(("language", "key"), EACH)
def test_tables_fit_34_columns_with_every_name_whole(language: Language, key: str) -> None:
    for block in told(language, key).blocks:
        if isinstance(block, Table):
            lines = table_lines(block)
            assert max(map(len, lines)) <= 34
            assert not any("…" in line for line in lines)


# --- pictures and sound ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "key"), EACH)
def test_every_chart_is_valid_and_has_a_file_name_of_its_own(language: Language, key: str) -> None:
    charts = [make() for make in told(language, key).charts]
    assert all(isinstance(chart, Chart | HeatMap) and chart.language == language for chart in charts)
    assert len({chart.name for chart in charts}) == len(charts)


CITIES = ("Москва", "Казань", "Самара", "Уфа", "Омск", "Пермь", "Тула")


def test_several_anomalies_are_panels_of_one_picture() -> None:
    slices = [
        anomaly(dimension="city", dimension_value=city, history=history(), incident=f"A{city}") for city in CITIES
    ]
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=tuple(slices))
    (chart,) = [make() for make in render(event, writer()).charts]
    assert chart.name == "views-city-and-6"
    assert chart.title == f"{', '.join(f'Views (city {city}) −41%' for city in CITIES[:3])} and 4 more at\u00a010:45"
    assert [panel.title for panel in chart.panels] == [f"Views (city {city}) −41%" for city in CITIES[:6]]


def test_data_without_events_since_the_slot_are_not_called_complete() -> None:
    late = anomaly(slot_start=NOON, slot_end=NOON + SLOT)
    fresh = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(late,), fresh_at=NOON + SLOT)
    assert "data complete at" in shown(render(fresh, writer()))
    stale = fresh.model_copy(update={"fresh_at": NOON + SLOT / 2})
    assert "complete" not in shown(render(stale, writer()))
    assert "last event at" in shown(render(stale, writer()))


def test_the_picture_of_an_alert_marks_its_slot_and_says_what_happened() -> None:
    fell = anomaly(history=history())
    silent = anomaly("ctr", value=None, unit="share", history=history())
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(fell, silent))
    (chart,) = [make() for make in render(event, writer("ru")).charts]
    assert chart.title == "Просмотры −41% и CTR: нет данных в\u00a010:45"
    assert chart.subtitle == "Каждые 15 минут · сб 21 нояб. 2026"
    assert [(panel.title, panel.note, panel.marked) for panel in chart.panels] == [
        ("Просмотры −41%", "4\u00a0812", (NOON, NOON)),
        ("CTR: нет данных", "нет данных", (NOON, NOON)),
    ]


def test_the_picture_of_the_all_clear_marks_the_whole_incident() -> None:
    over = kinds.ResolvedAnomaly(
        incident="A7K2Q", metric="views", unit="count", opened_at=NOON - 9 * SLOT, resolved_at=NOON - 2 * SLOT,
        history=history(),
    )  # fmt: skip
    event = kinds.AnomalyResolved(key="a", occurred_at=NOON, resolved=(over,))
    (chart,) = [make() for make in render(event, writer()).charts]
    assert chart.title == "Views back to normal"
    assert chart.labels.marked == "incident"
    assert chart.panels[0].marked == (NOON - 9 * SLOT, NOON - 3 * SLOT)


@pytest.mark.parametrize("key", ["anomaly-A7K2Q", "report-2026-11-20"])
def test_a_message_with_one_picture_fits_its_caption(key: str) -> None:
    for language in LANGUAGES:
        message = told(language, key)
        assert len(message.charts) == 1
        assert len(parts_of(message, CAPTION_UNITS)) == 1


# --- what depends on the moment --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("en", "⏰ Delayed by 3 h"), ("ru", "⏰ С опозданием на 3 ч")])
def test_a_message_that_leaves_late_says_so_below_its_first_line(language: Language, said: str) -> None:
    for key, event in EXAMPLES.items():
        moment = event.occurred_at + datetime.timedelta(hours=3)
        late = shown(render(event, writer(language, moment), parts_of_example(event)))
        lines = late.replace("\N{NO-BREAK SPACE}", " ").split("\n")
        assert lines[2].startswith(said)
        assert f"{event.occurred_at:%H:%M}" in lines[2] or f"{event.occurred_at.astimezone(ZONE):%H:%M}" in lines[2]
        assert said not in shown(told(language, key)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_message_of_yesterday_names_the_day() -> None:
    event = EXAMPLES["stale-feed_actions-1"]
    text = shown(render(event, writer("en", event.occurred_at + datetime.timedelta(days=1))))
    assert "from 21 Nov 11:15" in text
    assert "Last event 21 Nov 05:25" in text


# --- an opening that is over ----------------------------------------------------------------------------------------


def _over(*spans: tuple[int, int]) -> kinds.AnomalyResolved:
    """Incidents that were open between these slots after 10:45."""
    facts = {"metric": "views", "unit": "count"}
    resolved = [
        kinds.ResolvedAnomaly(
            **facts, incident=f"A{number}", opened_at=NOON + first * SLOT, resolved_at=NOON + last * SLOT
        )
        for number, (first, last) in enumerate(spans)
    ]
    return kinds.AnomalyResolved(key="r", occurred_at=NOON + 7 * SLOT, resolved=tuple(resolved))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", ["anomaly-A7K2Q", "anomaly-no-data", "anomaly-several", "anomaly-A7K2Q-2"])
def test_an_opening_that_is_over_is_rendered_as_resolved_throughout(key: str, language: Language) -> None:
    event = EXAMPLES[key]
    assert isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated)
    before = render(event, writer(language, event.occurred_at))
    over = render(event, writer(language, event.occurred_at), over=_over((2, 4), (1, 3), (3, 5)))
    assert over.silent
    assert (over.key, over.kind, over.severity) == (before.key, before.kind, before.severity)
    state, alert, next_, lasted = {
        "en": ("RESOLVED", "At the alert", "Next", "over after 1 h"),
        "ru": ("РЕШЕНО", "В момент сигнала", "Проверьте", "длилось 1 ч"),
    }[language]
    text = shown(over).replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith(f"✅ {state} · ")
    assert text.split("\n")[0].endswith(f", {lasted}")
    assert text.split("\n")[2].startswith(alert)
    assert next_ not in text
    assert next_ in shown(before)
    assert not re.search("🔴|🟠|CRITICAL|WARNING|КРИТИЧНО|ВНИМАНИЕ", text)
    # The numbers and the pictures are those of the alert.
    assert [block for block in over.blocks if isinstance(block, Table)] == [
        block for block in before.blocks if isinstance(block, Table)
    ]
    assert [make() for make in over.charts] == [make() for make in before.charts]


@pytest.mark.parametrize(
    ("language", "opening", "all_clear", "line"),
    [
        ("en", "Views −41%, settled at a new level", "Views settled at a new level", " · expected from now on"),
        ("ru", "Просмотры −41%, новый обычный уровень", "Просмотры: новый обычный уровень", " · теперь это норма"),
    ],
)
def test_a_lasting_change_is_resolved_as_the_new_normal(
    language: Language, opening: str, all_clear: str, line: str
) -> None:
    over = _over((2, 4))
    lasting = tuple(found.model_copy(update={"new_normal": True, "value": 4800}) for found in over.resolved)
    over = over.model_copy(update={"resolved": lasting})
    message = render(over, writer(language))
    assert text_of(message.headline).endswith(f" · {all_clear}")
    (block,) = message.blocks
    assert text_of(lines_of(block)[0]).endswith(line)
    event = EXAMPLES["anomaly-A7K2Q"]
    assert text_of(render(event, writer(language), over=over).headline).endswith(f" · {opening}")


@pytest.mark.parametrize("key", ["anomaly-A7K2Q", "anomaly-several", "anomaly-A7K2Q-2"])
def test_headline_text_and_picture_name_the_same_metrics(key: str) -> None:
    event = EXAMPLES[key]
    assert isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated)
    message = told("en", key)
    worst_first = sorted(event.anomalies, key=lambda anomaly: anomaly.severity != "critical")
    names = [writer().plain(writer().series(anomaly)) for anomaly in worst_first]
    headline, text = text_of(message.headline), shown(message).partition("\n")[2]
    assert [name for name in names[:3] if name not in headline] == []
    if len(names) > 1:
        assert all(re.search(rf"\n{re.escape(name)}(?: \(warning\))?: ", text) for name in names)
    (chart,) = [make() for make in message.charts]
    assert all(panel.title.startswith(tuple(names)) for panel in chart.panels)


# --- what depends on the facts ---------------------------------------------------------------------------------------


def test_a_digest_is_ordered_by_loudness_then_time_and_says_when_each_happened() -> None:
    lines = re.findall(r"^((?:\d+ \w+ )?\d\d:\d\d) (\S+) [A-Z]{4,} · ", shown(told("en", "digest-1")), re.MULTILINE)
    assert len(lines) == 20
    marks = "".join(mark for _, mark in lines)
    assert re.fullmatch("🔴*❌*🟠*✅*", marks)
    assert [moment for moment, mark in lines if mark == "✅"] == ["11:15", "11:15", "11:45", "11:45", "11:45", "12:15"]


def test_a_digest_whose_parts_are_gone_names_their_keys() -> None:
    event = kinds.Digest(key="digest-2", occurred_at=NOON, notifications=("anomaly-1", "run-2"))
    text = shown(render(event, writer()))
    assert text.startswith("🗂️ DIGEST · 2 messages\n")
    assert "\nanomaly-1\nrun-2\n" in text


# --- what an anomaly is ----------------------------------------------------------------------------------------------


def _opened(**facts: Any) -> str:
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(anomaly(**facts),))
    return shown(render(event, writer())).replace("\N{NO-BREAK SPACE}", " ")


def test_a_rise_is_not_called_a_drop() -> None:
    part = {"dimension": "os", "value": "iOS", "change": 3.0, "share_of_change": 0.9}
    text = _opened(value=16320, contributions=[part])
    assert text.startswith("🔴 CRITICAL · Views +100%")
    assert "iOS +300% (90% of the rise)" in text
    assert "a campaign, bots" in text


def test_a_rise_from_zero_shows_the_value() -> None:
    part = {"dimension": "os", "value": "iOS", "change": None, "share_of_change": 1}
    text = _opened(value=4812, expected=0, contributions=[part])
    assert text.startswith("🔴 CRITICAL · Views 0 → 4,812")
    assert "iOS (100% of the rise)" in text


def test_a_value_with_nothing_to_compare_it_with_is_shown_alone() -> None:
    assert _opened(value=4812, expected=100).startswith("🔴 CRITICAL · Views ×48")
    event = anomaly().model_copy(update={"expected": None, "lower": None, "upper": None, "day_before": None})
    text = shown(render(kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(event,)), writer()))
    assert text.startswith("🔴 CRITICAL · Views 4,812\n")
    assert "\n4,812 at 10:45–11:00\n" in text


@pytest.mark.parametrize(
    ("facts", "english", "russian"),
    [
        ({}, "4.9σ below the usual Saturday 10:45", "на 4,9σ ниже обычного (суббота 10:45)"),
        ({"score": 7}, "7.0σ above the usual Saturday 10:45", "на 7,0σ выше обычного (суббота 10:45)"),
        ({"reason": "last_hour"}, "the last hour is 4.9σ below usual", "последний час на 4,9σ ниже обычного"),
        ({"reason": "last_two_hours"}, "the last two hours are 4.9σ below", "последние два часа на 4,9σ ниже"),
        ({"reason": "no_data", "value": 0}, "nothing arrived; 8,160 is usual", "ничего не пришло, а обычно 8 160"),
        ({"reason": "new_code"}, "4.9σ below usual (new_code)", "на 4,9σ ниже обычного (new_code)"),
        ({"reason": "", "score": None}, "outside the expected range", "вне ожидаемого диапазона"),
        ({"reason": "from_zero", "score": None}, "there was nothing at this time", "сутки назад в это время был ноль"),
        ({"detector": "day_over_day"}, "4.9 times the change allowed", "изменение за сутки в 4,9 раза больше"),
        ({"detector": "iqr"}, "4.9 interquartile ranges below the", "на 4,9 межквартильного размаха ниже"),
        ({"detector": "new"}, "deviation −4.9, detector new", "отклонение −4,9, детектор new"),
    ],
)
def test_the_reason_is_explained_also_of_detectors_and_codes_not_known_yet(
    facts: dict[str, Any], english: str, russian: str
) -> None:
    event = kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=(anomaly(**facts),))
    for language, why, text in (("en", "Why", english), ("ru", "Почему", russian)):
        assert f"\n{why}: {text}" in shown(render(event, writer(language))).replace("\N{NO-BREAK SPACE}", " ")  # type: ignore[arg-type]


def test_a_slice_called_by_a_number_is_shown_with_its_dimension() -> None:
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
    message = render(event, writer("en", event.occurred_at))
    assert shown(message).startswith("🟠 WARNING · Stale data: feed_actions, still after 5\N{NO-BREAK SPACE}h")
    assert message.silent


def test_a_volume_from_zero_shows_the_rows() -> None:
    facts = EXAMPLES["volume-message_actions-2026-11-20"].model_dump()
    text = shown(render(kinds.OddVolume(**{**facts, "expected": 0, "lower": 0, "upper": 0}), writer()))
    assert text.startswith("🟠 WARNING · Volume 0 → 8,121: message_actions")


def test_a_volume_names_its_day_or_its_slot() -> None:
    facts = EXAMPLES["volume-message_actions-2026-11-20"].model_dump()
    slot = kinds.OddVolume(**{**facts, "period_start": NOON, "period_end": NOON + SLOT, "rows": 1})
    assert "1 row on Sat 21 Nov 2026 10:45–11:00, expected" in shown(render(slot, writer()))
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    start, end = (datetime.datetime(2026, 10, day, tzinfo=berlin) for day in (25, 26))
    day = kinds.OddVolume(**{**facts, "period_start": start, "period_end": end})
    assert "rows on Sun 25 Oct 2026, expected" in shown(render(day, replace(writer(), zone=berlin)))
    two_days = kinds.OddVolume(**{**facts, "period_start": NOON, "period_end": NOON + datetime.timedelta(days=1)})
    assert "rows on 21 Nov 10:45–22 Nov 10:45, expected" in shown(render(two_days, writer()))


def test_a_report_of_a_day_whose_checks_failed_says_so_first() -> None:
    report = EXAMPLES["report-2026-11-21"].model_copy(update={"problem": "failed_checks"})
    text = shown(render(report, writer("en", datetime.datetime(2026, 11, 22, 11, 1, tzinfo=ZONE))))
    assert text.startswith(f"⚠️ {DAY:%a %-d %b} · CHECKS FAILED\n")


def test_a_report_of_a_partial_day_says_so_first_and_names_the_missing_tables() -> None:
    report = EXAMPLES["report-2026-11-21"].model_copy(update={"problem": "partial", "not_computed": ("users",)})
    text = shown(render(report, writer("en", datetime.datetime(2026, 11, 22, 11, 1, tzinfo=ZONE))))
    assert text.startswith(f"⚠️ {DAY:%a %-d %b} · PARTIAL DATA\n")
    assert "Not computed for this day: users. Materialise daily_etl for 2026-11-21" in text


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
        text = shown(render(event, writer()))
        assert secret not in text
        assert "***" in text


def test_an_error_is_shown_without_its_modules() -> None:
    event = kinds.FailedRun(
        key="k", occurred_at=NOON, job="j", cause="a.b.WarehouseError: c.d.E: x\nurllib.HTTPError: y"
    )
    assert "\nWarehouseError: c.d.E: x\nHTTPError: y\n" in shown(render(event, writer()))


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in LANGUAGES:
        texts = "".join(f"=== {key} {'=' * (75 - len(key))}\n{text}\n\n" for key, text in as_golden(each))
        (GOLDEN / f"messages.{each}.txt").write_text(texts, encoding="utf-8")
