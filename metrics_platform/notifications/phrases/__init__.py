"""The words of messages: `en.ftl` and `ru.ftl` (Project Fluent), and how a phrase is said.

To add a language, add its file here and its code to `formats.LANGUAGES`; the tests tell what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from metrics_platform.formats import Language

Say = Callable[..., str]


class UnknownPhraseError(LookupError):
    """A template asks for a phrase, or leaves out a variable, that the language's file does not have."""


@lru_cache
def phrases(language: Language) -> Say:
    """A function that says a phrase of `language`: `say("anomaly-subject", metric="Views", change="−41%")`."""
    bundle = _bundle(language)

    def say(identifier: str, **variables: str | int) -> str:
        message = bundle.get_message(identifier) if bundle.has_message(identifier) else None
        if message is None or message.value is None:
            raise UnknownPhraseError(f"{language}.ftl has no phrase {identifier!r}")
        text, errors = bundle.format_pattern(message.value, variables)
        if errors:
            raise UnknownPhraseError(f"{language}.ftl, phrase {identifier!r}: {errors[0]}")
        return str(text)

    return say


def metric_title(language: Language, metric: str, *, short: bool = False) -> str | None:
    """A metric's name for people, `short` for tables; None for one that has no phrase."""
    return _title(language, f"metric-{metric}", short=short)


def _title(language: Language, identifier: str, *, short: bool = False) -> str | None:
    bundle = _bundle(language)
    if not bundle.has_message(identifier):
        return None
    message = bundle.get_message(identifier)
    pattern = message.attributes.get("short", message.value) if short else message.value
    return str(bundle.format_pattern(pattern, {})[0])


@lru_cache
def _bundle(language: Language) -> Any:
    from fluent.runtime import FluentBundle, FluentResource  # noqa: PLC0415  (a fifth of a second, on use only)

    bundle = FluentBundle([language], use_isolating=False)  # messengers show isolation marks as boxes
    bundle.add_resource(FluentResource(files(__package__).joinpath(f"{language}.ftl").read_text(encoding="utf-8")))
    return bundle
