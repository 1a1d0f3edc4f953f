"""The words: the same phrases in every language, every one used, every one that is used there, plurals that agree."""

from __future__ import annotations

import ast
import gc
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fluent.syntax import FluentParser
from fluent.syntax import ast as fluent

import metrics_platform
from metrics_platform.formats import LANGUAGES, Language
from metrics_platform.notifications import phrases as phrases_package
from metrics_platform.notifications.phrases import UnknownPhraseError, metric_title, phrases

PACKAGE = Path(metrics_platform.__file__).parent
# Said by the name of a fact: `metric-…` by metrics, `dimension-…` by dimensions.
NAMED_BY_DATA = ("metric-", "dimension-")


@cache
def parsed(language: Language) -> dict[str, fluent.Message]:
    source = files(phrases_package).joinpath(f"{language}.ftl").read_text(encoding="utf-8")
    entries = FluentParser().parse(source).body
    assert not [entry for entry in entries if isinstance(entry, fluent.Junk)]
    return {entry.id.name: entry for entry in entries if isinstance(entry, fluent.Message)}


def variables(node: Any) -> Iterator[str]:
    if isinstance(node, fluent.VariableReference):
        yield node.id.name
    for value in vars(node).values() if isinstance(node, fluent.BaseNode) else ():
        for each in value if isinstance(value, list) else [value]:
            yield from variables(each)


def attributes(message: fluent.Message) -> set[str]:
    return {attribute.id.name for attribute in message.attributes}


def tree(path: Path) -> ast.AST:
    """The code of a file. CPython 3.11's parser fails now and then where garbage is collected while it works."""
    gc.disable()
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    finally:
        gc.enable()


def names_in_code() -> tuple[set[str], list[re.Pattern[str]]]:
    """The texts that the package's code has, and patterns of those it puts together."""
    texts, patterns = set(), []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [each.value if isinstance(each, ast.Constant) else None for each in node.values]
                if re.fullmatch("[a-z-]{4,}", "".join(map(str, filter(None, parts)))):
                    pattern = "".join("[a-z_-]+" if part is None else re.escape(str(part)) for part in parts)
                    patterns.append(re.compile(pattern))
    return texts, patterns


def asked_in_code() -> Iterator[tuple[str, set[str], str]]:
    """(phrase, its variables, where) of every `say("…", …)` and `tell("…", …)` that names its phrase."""
    for path in PACKAGE.rglob("notifications/**/*.py"):
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if called in ("say", "tell") and isinstance(first, ast.Constant) and isinstance(first.value, str):
                given = {keyword.arg for keyword in node.keywords}
                if None not in given:
                    yield first.value, {name for name in given if name}, f"{path.name}:{node.lineno}"


def test_all_languages_have_the_same_phrases_in_the_same_order() -> None:
    first, *others = (list(parsed(language)) for language in LANGUAGES)
    assert others
    for other in others:
        assert other == first


def test_a_phrase_has_the_same_variables_in_all_languages() -> None:
    for identifier, message in parsed("en").items():
        for language in LANGUAGES:
            # Counts choose a form: a language may say them without a figure.
            found = set(variables(parsed(language)[identifier])) - {"count"}
            assert found == set(variables(message)) - {"count"}, f"{language}: {identifier}"


def test_attributes_are_the_short_names_of_metrics_only() -> None:
    for language in LANGUAGES:
        for identifier, message in parsed(language).items():
            allowed = {"short"} if identifier.startswith("metric-") else set()
            assert attributes(message) <= allowed, f"{language}: {identifier}"


def test_the_short_name_of_every_metric_fits_a_table_on_a_phone() -> None:
    for language in LANGUAGES:
        metrics = [each.removeprefix("metric-") for each in parsed(language) if each.startswith("metric-")]
        shorts = [metric_title(language, metric, short=True) or "" for metric in metrics]
        assert [short for short in shorts if not 1 <= len(short) <= 10] == []


def test_every_phrase_is_used() -> None:
    texts, patterns = names_in_code()
    unused = [
        identifier
        for identifier in parsed("en")
        if identifier not in texts
        and not identifier.startswith(NAMED_BY_DATA)
        and not any(pattern.fullmatch(identifier) for pattern in patterns)
    ]
    assert unused == []


def test_every_phrase_that_is_used_exists_with_all_of_its_variables_and_no_others() -> None:
    asked = list(asked_in_code())
    assert len(asked) > 50
    for language in LANGUAGES:
        known = parsed(language)
        for identifier, given, where in asked:
            assert identifier in known, f"{where}: {language}.ftl has no {identifier}"
            needed = set(variables(known[identifier]))
            assert given - {"count"} == needed - {"count"}, f"{where}: {identifier}"
            assert "count" in given or "count" not in needed, f"{where}: {identifier}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_unknown_phrase_or_a_missing_variable_is_an_error_that_names_it(language: Language) -> None:
    with pytest.raises(UnknownPhraseError, match=f"{language}.ftl has no phrase 'no-such-phrase'"):
        phrases(language)("no-such-phrase")
    with pytest.raises(UnknownPhraseError, match=r"anomaly-subject"):
        phrases(language)("anomaly-subject", metric="Views")


@pytest.mark.parametrize("metric", ["unknown_metric", "", "shop.id", "views.short", "тест", "../x", "subject"])
def test_a_metric_without_a_phrase_has_no_title(metric: str) -> None:
    assert metric_title("en", metric) is None


def test_russian_counts_choose_the_form_of_their_noun() -> None:
    say: Any = phrases("ru")
    assert [say("digest-subject", count=count) for count in (1, 2, 5, 11, 21, 1.5)] == [
        "1 сообщение",
        "2 сообщения",
        "5 сообщений",
        "11 сообщений",
        "21 сообщение",
        "1,5 сообщения",
    ]
    assert [say("success-warnings", count=count) for count in (0, 1, 2, 5, 21)] == [
        "без предупреждений",
        "1 предупреждение",
        "2 предупреждения",
        "5 предупреждений",
        "21 предупреждение",
    ]
    assert [say("anomaly-several", count=count, list="…") for count in (1, 2, 5, 21, 1.5)] == [
        "1 метрика: …",
        "2 метрики: …",
        "5 метрик: …",
        "21 метрика: …",
        "1,5 метрики: …",
    ]
    assert [say("failed-run-impact", count=count) for count in (1, 2, 5, 21)] == [
        "не обновлён 1 ассет:",
        "не обновлены 2 ассета:",
        "не обновлены 5 ассетов:",
        "не обновлён 21 ассет:",
    ]
    assert "ещё 2 раза с" in say("failed-run-repeats", count=2)
    assert "ещё 12 раз с" in say("failed-run-repeats", count=12)


def test_every_russian_choice_by_number_has_all_forms() -> None:
    for identifier, message in parsed("ru").items():
        for node in _choices(message):
            keys = [variant.key.name for variant in node.variants if isinstance(variant.key, fluent.Identifier)]
            numbers = [variant.key.value for variant in node.variants if isinstance(variant.key, fluent.NumberLiteral)]
            # Forms that differ at 1 alone (no figure is said) need no more.
            assert keys == ["one", "few", "many", "other"] or (keys == ["other"] and numbers == ["1"]), identifier


def _choices(node: Any) -> Iterator[fluent.SelectExpression]:
    if isinstance(node, fluent.SelectExpression):
        yield node
    for value in vars(node).values() if isinstance(node, fluent.BaseNode) else ():
        for each in value if isinstance(value, list) else [value]:
            yield from _choices(each)


def test_english_counts_choose_the_form_of_their_noun() -> None:
    say = phrases("en")
    assert [say("digest-subject", count=count) for count in (1, 2, 1234)] == [
        "1 message",
        "2 messages",
        "1,234 messages",
    ]
    assert say("failed-run-step", count=1) == "step"
    assert say("failed-run-step", count=2) == "steps"
