"""What messages say: every example and variant in both languages, as Telegram shows it, compared with `golden/`.

The golden texts are for people to read: they show every change of wording, also of what pictures say. To write them
again: `python -m metrics_platform_tests.notifications.test_templates`.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from metrics_platform.catalog import builtin_catalog
from metrics_platform.charts.model import Chart, HeatMap
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import kinds
from metrics_platform.notifications import writer as writer_module
from metrics_platform.notifications.composer import render
from metrics_platform.notifications.message import Details, Message, Paragraph, Table, lines_of, table_lines
from metrics_platform.notifications.telegram_calls import CAPTION_UNITS, parts_of
from metrics_platform.notifications.writer import Writer
from metrics_platform_tests.notifications.examples import (
    DAY,
    EXAMPLES,
    NOON,
    SLOT,
    ZONE,
    anomaly,
    history,
    parts_of_example,
    seen,
    shown,
    told,
    writer,
)
from metrics_platform_tests.notifications.test_template_limits import with_name

GOLDEN = Path(__file__).parent / "golden"
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?")


# --- what depends on the facts --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """An event of whose text the examples show another form; `delay` after it, or with the incident `over`."""

    event: kinds.Event
    delay: datetime.timedelta = datetime.timedelta(0)
    over: kinds.AnomalyResolved | None = None

    def writer(self, language: Language, **settings: Any) -> Writer:
        return writer(language, self.event.occurred_at + self.delay, **settings)


def _opened(*anomalies: kinds.Anomaly, **facts: Any) -> Variant:
    return Variant(kinds.AnomalyOpened(key="a", occurred_at=NOON, anomalies=anomalies, **facts))


def _of_views(**facts: Any) -> Variant:
    return _opened(anomaly(**facts))


def _changed(key: str, **facts: Any) -> Variant:
    return Variant(EXAMPLES[key].model_copy(update=facts))


def _resolved(*spans: tuple[int, int], **facts: Any) -> kinds.AnomalyResolved:
    """Incidents that were open between these slots after 10:45."""
    resolved = tuple(
        kinds.ResolvedAnomaly(
            incident=f"A{number}",
            metric="views",
            unit="count",
            opened_at=NOON + first * SLOT,
            resolved_at=NOON + last * SLOT,
            **facts,
        )
        for number, (first, last) in enumerate(spans)
    )
    return kinds.AnomalyResolved(key="r", occurred_at=NOON + 7 * SLOT, resolved=resolved)


def _part(dimension: str, value: str, change: float | None, share: float | None = None) -> dict[str, Any]:
    return {"dimension": dimension, "value": value, "change": change, "share_of_change": share}


CITIES = ("Москва", "Казань", "Самара", "Уфа", "Омск", "Пермь", "Тула")
_LATE = anomaly(slot_start=NOON, slot_end=NOON + SLOT)
_IN_CITIES = [anomaly(dimension="city", dimension_value=city, history=history()) for city in CITIES]
_MANY = [anomaly(incident=f"A{number}", dimension="city", dimension_value=f"City {number}") for number in range(200)]
_INCIDENT = kinds.DayIncident(metric="views", unit="count", opened_at=NOON)
_NO_BOUNDS = dict.fromkeys(("expected", "lower", "upper", "day_before"))
_LASTING = _resolved((2, 4), new_normal=True, value=4800)
_VOLUME = "volume-message_actions-2026-11-20"
_REASONS: list[dict[str, Any]] = [
    {"score": 7}, {"reason": "last_hour"}, {"reason": "last_two_hours"}, {"reason": "no_data", "value": 0},
    {"reason": "new_code"}, {"reason": "", "score": None}, {"reason": "from_zero", "score": None},
    {"detector": "day_over_day"}, {"detector": "iqr"}, {"detector": "new"}, {"reason": "with_sibling"},
]  # fmt: skip
VARIANTS: dict[str, Variant] = {
    "rise": _of_views(value=16320, score=4.9, contributions=[_part("os", "iOS", 3.0, 0.9)]),
    "rise-from-zero": _of_views(value=4812, expected=0, score=4.9, contributions=[_part("os", "iOS", None, 1)]),
    "many-times": _of_views(value=4812, expected=100, score=4.9),
    "nothing-to-compare-with": _opened(anomaly().model_copy(update=_NO_BOUNDS)),
    "slices-called-by-numbers": _of_views(contributions=[_part("age", "25", -0.68), _part("source", "ads", -1)]),
    "whole-numbers": _of_views(value=3, expected=68.4, day_before=70.25),
    "complete": _opened(_LATE, fresh_at=NOON + SLOT),
    "not-complete": _opened(_LATE, fresh_at=NOON + SLOT / 2),
    "picture-of-two-metrics": _opened(
        anomaly(history=history()), anomaly("ctr", value=None, expected=0.2, unit="share", history=history())
    ),
    "picture-of-seven-cities": _opened(*_IN_CITIES),
    "picture-of-an-all-clear": Variant(_resolved((-9, -2), history=history())),
    "many-cities": _opened(*_MANY, moved_with=("likes",) * 200),
    "many-cities-still-open": Variant(
        kinds.AnomalyStillOpen(key="k", occurred_at=NOON, anomalies=_MANY, opened_at=NOON)
    ),
    "many-cities-resolved": Variant(_resolved(*[(2, 4)] * 200)),
    "resolved-after-three-days": Variant(_resolved((-290, -289), worst_change=-0.5, worst_at=NOON - 290 * SLOT)),
    "fall-that-became-a-rise": Variant(_resolved((-9, -2), turned="up", value=31200, history=history())),
    "one-of-two-became-a-rise": Variant(
        kinds.AnomalyResolved(
            key="r",
            occurred_at=NOON + 7 * SLOT,
            resolved=(*_resolved((2, 4), turned="up", value=31200).resolved, *_resolved((2, 4), value=810).resolved),
        )
    ),
    "rise-that-became-a-fall": Variant(_resolved((2, 4), turned="down", value=31)),
    "report-many-incidents": _changed("report-2026-11-21", day_incidents=(_INCIDENT,) * 40),
    **{f"reason-{number}": _of_views(**facts) for number, facts in enumerate(_REASONS)},
    **{
        f"over-{key}": Variant(EXAMPLES[key], over=_resolved((2, 4), (1, 3), (3, 5)))
        for key in ("anomaly-A7K2Q", "anomaly-no-data", "anomaly-several", "anomaly-A7K2Q-2")
    },
    "over-and-lasting": Variant(EXAMPLES["anomaly-A7K2Q"], over=_LASTING),
    "new-normal": Variant(_LASTING),
    "digest-whose-parts-are-gone": Variant(
        kinds.Digest(key="digest-2", occurred_at=NOON, notifications=("anomaly-1", "run-2"))
    ),
    "stale-still": _changed("stale-feed_actions-1", still=True),
    "stale-yesterday": Variant(EXAMPLES["stale-feed_actions-1"], delay=datetime.timedelta(days=1)),
    "volume-from-zero": _changed(_VOLUME, expected=0, lower=0, upper=0),
    "volume-of-a-slot": _changed(_VOLUME, period_start=NOON, period_end=NOON + SLOT, rows=1),
    "volume-of-two-days": _changed(_VOLUME, period_start=NOON, period_end=NOON + datetime.timedelta(days=1)),
    "report-failed-checks": _changed("report-2026-11-21", problem="failed_checks"),
    # Its partition was dropped after it had been computed.
    "report-dropped": _changed("report-2026-11-21", problem="missing", parts=(), highlights=None),
    "report-partial": _changed("report-2026-11-21", problem="partial", not_computed=("users",)),
    **{
        f"failed-{name.replace(' ', '-')}": Variant(
            kinds.FailedTick(key="k", occurred_at=NOON, automation=name, name="a", cause="")  # type: ignore[arg-type]
        )
        for name in ("schedule", "sensor", "code location")
    },
    "check-of-the-catalogue": Variant(
        kinds.FailedCheck(
            key="k",
            occurred_at=NOON,
            asset="slot_metrics",
            check="catalog_is_valid",
            description="metrics.views.knd: no such key.\n\nmetrics.rate: its numerator is not usable.",
        )
    ),
    "error-with-modules": _changed("run-killed", cause="a.b.WarehouseError: c.d.E: x\nurllib.HTTPError: y"),
}


# --- golden texts ---------------------------------------------------------------------------------------------------


def _messages(language: Language) -> Iterator[tuple[str, Message]]:
    yield from ((key, told(language, key)) for key in EXAMPLES)
    for key, variant in VARIANTS.items():
        yield key, render(variant.event, variant.writer(language), resolution=variant.over)


def _drawn(chart: Chart | HeatMap) -> Iterator[str]:
    """What a picture says, line by line."""
    yield f"[{chart.name}] {chart.title} · {chart.subtitle}"
    for panel in chart.panels if isinstance(chart, Chart) else ():
        marked = f"{chart.labels.marked} {' to '.join(map(str, panel.marked))}" if panel.marked else ""
        yield "  " + " | ".join(filter(None, (panel.title, panel.finding, panel.note, marked)))


def as_golden(language: Language) -> Iterator[tuple[str, str]]:
    for key, message in _messages(language):
        buttons = " ".join(f"[{link.label}]" for link in message.links)
        sound = "" if message.silent else "with sound · "
        pictures = [line for make in message.charts for line in _drawn(make())]  # type: ignore[arg-type]
        parts = "" if len(parts_of(message)) == 1 else f"{len(parts_of(message))} messages · "
        yield key, "\n".join([shown(message), f"({sound}{parts}pictures: {len(message.charts)}) {buttons}", *pictures])


def golden(language: Language) -> dict[str, str]:
    """The texts of the file `messages.<language>.txt`, by the example's key."""
    text = (GOLDEN / f"messages.{language}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^=== (\S+) =+\n", text, flags=re.MULTILINE)
    return {key: body.rstrip("\n") for key, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_reads_as_its_golden_text(language: Language) -> None:
    expected = golden(language)
    assert list(expected) == [*EXAMPLES, *VARIANTS]
    for key, text in as_golden(language):
        assert text == expected[key]


# --- every example --------------------------------------------------------------------------------------------------


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(event) for event in EXAMPLES.values()} == set(_all_kinds(kinds.Event))


def _all_kinds(base: type[kinds.Event]) -> Iterator[type[kinds.Event]]:
    for kind in base.__subclasses__():
        if isinstance(kind.model_fields["kind"].default, str):
            yield kind
        yield from _all_kinds(kind)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", EXAMPLES)
def test_telegram_accepts_every_example_as_one_text_as_it_was_meant(language: Language, key: str) -> None:
    message = told(language, key)
    (part,), (parsed,) = parts_of(message), seen(message)
    assert parsed.text == part.plain.strip()
    assert parsed.accidental == []
    assert 1 <= len(message.links) <= 3
    assert all(link.label and link.url.startswith("https://") for link in message.links)
    seen(message, CAPTION_UNITS)
    assert re.fullmatch(r"production · team:metrics · id .+", parsed.text.split("\n")[-1])
    assert _EMOJI.match(parsed.text)
    for found in _EMOJI.finditer(parsed.text):  # an emoji never appears without its word
        assert re.match(r" \w", parsed.text[found.end() :])
    for lines in (table_lines(block) for block in message.blocks if isinstance(block, Table)):
        assert max(map(len, lines)) <= 34  # of a phone
        assert not any("…" in line for line in lines)
    charts = [make() for make in message.charts]
    assert all(isinstance(chart, Chart | HeatMap) and chart.language == language for chart in charts)
    assert len({chart.name for chart in charts}) == len(charts)


@pytest.mark.parametrize("key", ["anomaly-A7K2Q", "report-2026-11-20"])
def test_a_message_with_one_picture_fits_its_caption(key: str) -> None:
    for language in LANGUAGES:
        message = told(language, key)
        assert len(message.charts) == 1
        assert len(parts_of(message, CAPTION_UNITS)) == 1


@pytest.mark.parametrize(("language", "said"), [("en", "⏰ Delayed by 3 h"), ("ru", "⏰ С опозданием на 3 ч")])
def test_a_message_that_leaves_late_says_so_below_its_first_line(language: Language, said: str) -> None:
    for key, event in EXAMPLES.items():
        moment = event.occurred_at + datetime.timedelta(hours=3)
        late = shown(render(event, writer(language, moment), parts_of_example(event)))
        lines = late.replace("\N{NO-BREAK SPACE}", " ").split("\n")
        assert lines[2].startswith(said)
        assert f"{event.occurred_at:%H:%M}" in lines[2] or f"{event.occurred_at.astimezone(ZONE):%H:%M}" in lines[2]
        assert said not in shown(told(language, key)).replace("\N{NO-BREAK SPACE}", " ")


def test_a_volume_names_its_day_also_when_that_has_25_hours() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    start, end = (datetime.datetime(2026, 10, day, tzinfo=berlin) for day in (25, 26))
    day = EXAMPLES[_VOLUME].model_copy(update={"period_start": start, "period_end": end})
    assert "rows on Sun 25 Oct 2026, expected" in shown(render(day, writer(timezone="Europe/Berlin")))


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


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for language in LANGUAGES:
        texts = "".join(f"=== {key} {'=' * (75 - len(key))}\n{text}\n\n" for key, text in as_golden(language))
        (GOLDEN / f"messages.{language}.txt").write_text(texts, encoding="utf-8")


# --- both languages ---------------------------------------------------------------------------------------------------


FOLDER = Path(writer_module.__file__).parent / "templates"
_MACRO = re.compile(r"{% macro (\w+)\(")


@cache
def rendered(language: Language) -> list[Message]:
    """Every kind in every form, about things that are named in the language."""
    name = {"en": "name", "ru": "имя"}[language]
    variants = [Variant(event) for word in (name, f"{name} " * 99) for event in with_name(word)]
    variants += [variant for key, variant in VARIANTS.items() if "cities" not in key]
    variants += map(Variant, EXAMPLES.values())
    return [
        render(
            variant.event,
            variant.writer(language, environment=name, owner=name),
            parts_of_example(variant.event),
            variant.over,
        )
        for variant in variants
    ]


def texts(message: Message) -> Iterator[str]:
    """All that is said, without identifiers and what others wrote, such as errors."""
    lines = [message.headline, message.footer]
    for block in message.blocks:
        lines += lines_of(block) if isinstance(block, Paragraph | Details) else ()
    yield from (span.text for line in lines for span in line if span.style != "code")
    yield from (link.label for link in message.links)


def drawn_texts(message: Message) -> Iterator[str]:
    """The texts of the pictures."""
    for make in message.charts:
        chart = make()
        yield chart.title
        yield chart.subtitle
        if isinstance(chart, HeatMap):
            yield from (chart.corner, *chart.rows, *chart.columns)
        else:
            yield from (text for panel in chart.panels for text in (panel.title, panel.finding, panel.note))
            yield from dataclasses.astuple(chart.labels)


def test_no_english_is_in_a_russian_message() -> None:
    catalog = builtin_catalog()
    metrics = [*catalog.metrics, *catalog.daily]
    titles = " ".join(str(catalog.title(name, "ru", short=short)) for name in metrics for short in (False, True))
    # Names of products and of the zone, and the slices of the examples.
    names = {"Dagster", "Telegram", "Europe", "Moscow", "Android", "iOS", "ads"}
    allowed = names | set(re.findall("[A-Za-z0-9]+", titles))
    for message in rendered("ru"):
        for text in (*texts(message), *drawn_texts(message)):
            words = re.findall(r"[A-Za-z][A-Za-z0-9]*", re.sub(r" id .*", "", text))
            assert set(words) <= allowed, (message.kind, text)


def test_no_russian_is_in_an_english_message() -> None:
    for message in rendered("en"):
        for text in (*texts(message), *drawn_texts(message)):
            assert not re.search("[А-Яа-яЁё]", text), (message.kind, text)


def test_every_language_has_the_same_templates_and_phrases() -> None:
    first, *others = ({path.name for path in (FOLDER / language).iterdir()} for language in LANGUAGES)
    assert others
    assert all(names == first for names in others)
    phrases = [_MACRO.findall((FOLDER / language / "phrases.j2").read_text("utf-8")) for language in LANGUAGES]
    assert all(names == phrases[0] for names in phrases)


def test_every_template_is_used() -> None:
    rendered = {event.kind for event in EXAMPLES.values()} - {"anomaly_updated", "anomaly_still_open"}
    assert {path.stem for path in (FOLDER / "en").iterdir()} == rendered | {"phrases"}


def test_every_phrase_is_used() -> None:
    sources = [*FOLDER.parent.glob("*.py"), *(FOLDER / "en").iterdir()]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    for name in _MACRO.findall((FOLDER / "en" / "phrases.j2").read_text("utf-8")):
        found = re.findall(rf"\b{name}\b", text)
        assert len(found) > 1, name


@pytest.mark.parametrize("reason", ["this_slot", "last_hour", "last_two_hours", "no_data", "from_zero", "with_sibling"])
def test_every_reason_of_an_anomaly_is_said_in_words(reason: str) -> None:
    variant = _of_views(reason=reason)
    for language in ("en", "ru"):
        assert reason not in shown(render(variant.event, variant.writer(language)))


def test_counts_choose_the_form_of_their_noun() -> None:
    assert [writer("en").phrase("pictures", count=count, in_telegram=False) for count in (1, 2)] == [
        "🖼 1 picture in Dagster",
        "🖼 2 pictures in Dagster",
    ]
    counts = (1, 2, 5, 11, 21, 1002)
    assert [writer("ru").phrase("pictures", count=count, in_telegram=True).split(" в ")[0] for count in counts] == [
        "🖼 1 картинка",
        "🖼 2 картинки",
        "🖼 5 картинок",
        "🖼 11 картинок",
        "🖼 21 картинка",
        "🖼 1\N{NO-BREAK SPACE}002 картинки",
    ]


def test_the_short_name_of_every_metric_fits_a_table_on_a_phone() -> None:
    catalog = builtin_catalog()
    for language in LANGUAGES:
        shorts = [catalog.title(name, language, short=True) or "" for name in (*catalog.metrics, *catalog.daily)]
        assert [short for short in shorts if not 1 <= len(short) <= 13] == []
