"""Every language has every template, says all of it in its own words, and chooses the right plurals."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from metrics_platform.catalog import builtin_catalog
from metrics_platform.charts.model import HeatMap
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import templates
from metrics_platform.notifications.message import Details, Message, Paragraph, lines_of
from metrics_platform.notifications.templates import render
from metrics_platform.notifications.templates.writer import phrase
from metrics_platform_tests.notifications.examples import EXAMPLES, parts_of_example
from metrics_platform_tests.notifications.test_template_limits import with_name
from metrics_platform_tests.notifications.test_templates import VARIANTS, Variant

FOLDER = Path(templates.__file__).parent
_MACRO = re.compile(r"{% macro (\w+)\(")


@cache
def rendered(language: Language) -> list[Message]:
    """Every kind in every form, about things that are named in the language."""
    name = {"en": "name", "ru": "имя"}[language]
    variants = [Variant(event) for word in (name, f"{name} " * 99) for event in with_name(word)]
    variants += [variant for key, variant in VARIANTS.items() if "cities" not in key]
    variants += map(Variant, EXAMPLES.values())
    here = {"environment": name, "owner": name}
    return [
        render(each.event, replace(each.writer(language), **here), parts_of_example(each.event), over=each.over)
        for each in variants
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
        assert [short for short in shorts if not 1 <= len(short) <= 13] == []
