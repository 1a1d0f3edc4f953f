"""Every language has every template, says all of it in its own words, and chooses the right plurals."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from metrics_platform.catalog import builtin_catalog
from metrics_platform.charts.model import HeatMap
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import kinds, templates
from metrics_platform.notifications.message import Details, Message, Paragraph, lines_of
from metrics_platform.notifications.templates import render
from metrics_platform.notifications.templates.writer import phrase
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, anomaly, parts_of_example, writer
from metrics_platform_tests.notifications.test_template_limits import with_name

FOLDER = Path(templates.__file__).parent
# Names of products and of the zone, and the slices of the examples.
_NAMES = {"Dagster", "Telegram", "Europe", "Moscow", "Android", "iOS"}
_MACRO = re.compile(r"{% macro (\w+)\(")


_WORDS: dict[Language, str] = {"en": "name", "ru": "имя"}


def events(word: str) -> Iterator[tuple[kinds.Event, tuple[kinds.Event, ...]]]:
    """Every kind in every form, about things that are called `word`."""
    yield from ((event, parts_of_example(event)) for event in EXAMPLES.values())
    yield from ((event, ()) for name in (word, f"{word} " * 99) for event in with_name(name))
    codes = ("this_slot", "last_hour", "last_two_hours", "no_data", "from_zero", "", "other")
    for detector, reason, score in itertools.product(("seasonal", "day_over_day", "iqr", "other"), codes, (-5, None)):
        found = anomaly(detector=detector, reason=reason, score=score)
        yield kinds.AnomalyOpened(key="k", occurred_at=NOON, anomalies=(found,)), ()
    for found in (anomaly(value=0), anomaly(value=9000), anomaly(dimension="city", dimension_value=word)):
        facts: dict[str, Any] = {"key": "k", "occurred_at": NOON, "anomalies": (found,) * 30}
        yield kinds.AnomalyOpened(**facts, fresh_at=NOON, moved_with=("views",) * 9), ()
        yield kinds.AnomalyStillOpen(**facts, opened_at=NOON), ()
    report = EXAMPLES["report-2026-11-21"]
    for problem in ("missing", "partial", "incomplete", "failed_checks"):
        yield report.model_copy(update={"problem": problem, "not_computed": (word,)}), ()
    for name in ("schedule", "sensor", "code location"):
        yield kinds.FailedTick(key="k", occurred_at=NOON, automation=name, name=word, cause=""), ()  # type: ignore[arg-type]


def messages(language: Language) -> Iterator[Message]:
    """What is sent of them: at once, late, and of an opening that is over."""
    resolved = EXAMPLES["anomaly-A7K2Q-resolved"]
    assert isinstance(resolved, kinds.AnomalyResolved)
    for event, parts in events(_WORDS[language]):
        for delay in (0, 3):
            moment = event.occurred_at + datetime.timedelta(hours=delay)
            here = replace(writer(language, moment), environment=_WORDS[language], owner=_WORDS[language])
            yield render(event, here, parts)
            if isinstance(event, kinds.AnomalyOpened | kinds.AnomalyUpdated):
                yield render(event, here, over=resolved)


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
    allowed = _NAMES | set(re.findall("[A-Za-z0-9]+", titles))
    seen = 0
    for message in messages("ru"):
        for text in (*texts(message), *drawn_texts(message)):
            words = set(re.findall(r"[A-Za-z][A-Za-z0-9]*", re.sub(r" id .*", "", text))) - allowed
            assert words == set(), (message.kind, text)
            seen += 1
    assert seen > 1000


def test_no_russian_is_in_an_english_message() -> None:
    for message in messages("en"):
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
    sources = [*FOLDER.rglob("*.py"), *FOLDER.parent.glob("*.py"), *(FOLDER / "en").iterdir()]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    for name in _MACRO.findall((FOLDER / "en" / "phrases.j2").read_text("utf-8")):
        found = re.findall(rf"\b{name}\b", text)
        assert len(found) > 1, name


def test_counts_choose_the_form_of_their_noun() -> None:
    assert [phrase("en", "pictures", count=count, in_telegram=False) for count in (1, 2)] == [
        "🖼 1 picture in Dagster",
        "🖼 2 pictures in Dagster",
    ]
    counts = (1, 2, 5, 11, 21, 1002)
    assert [phrase("ru", "pictures", count=count, in_telegram=True).split(" в ")[0] for count in counts] == [
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
        assert [short for short in shorts if not 1 <= len(short) <= 10] == []
