"""A catalogue file: its YAML, merged on top of another one, with the placeholders filled in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from metrics_platform.builtin_entries import builtin_entries
from metrics_platform.catalog_entries import NAME, PLACEHOLDER, RESERVED, CatalogFile, MetricEntry
from metrics_platform.expressions import problem_of
from metrics_platform.settings import Settings, is_secret, setting_name
from metrics_platform.suggestions import remedy_of, suggest


def read_file(file: Path) -> dict[str, Any]:
    """Read a file: section → name → entry.

    Raises:
        CatalogError: it cannot be read, or is not of this form.
    """
    import yaml  # noqa: PLC0415  (on use only)

    label = f"METRICS_CATALOG = {file}"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _loader())  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(label, [" ".join(str(error).replace('in "<unicode string>", ', "at ").split())]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        sections = ", ".join(CatalogFile.model_fields)
        raise CatalogError(label, [f"write one or more of the sections {sections}, with their entries"])
    if problems := list(_form_problems(content)):
        raise CatalogError(label, problems)
    return {section: entries or {} for section, entries in content.items()}


def _form_problems(content: Mapping[Any, Any]) -> Iterator[str]:
    sections = list(CatalogFile.model_fields)
    for section, entries in content.items():
        if section not in sections:
            yield f"{section}: is not a section{suggest(str(section), sections)}"
        elif not isinstance(entries or {}, dict):
            yield f"{section} = {entries!r}: write its entries below it, each as a name and its keys"
        else:
            for name, entry in (entries or {}).items():
                if not isinstance(entry, dict):
                    yield f"{section}.{name} = {entry!r}: write its keys below it, as `key: value`"


def _loader() -> Any:
    """A loader that rejects duplicate keys, of which YAML would silently use the last."""
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice; keep one of them", key_node.start_mark
                )
            seen.add(key)
        return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return Loader


def merged(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge `above` into `below`, at any depth."""
    result = dict(below)
    for name, value in above.items():
        inner = result.get(name)
        result[name] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    titles = above.get("title")
    if isinstance(titles, Mapping) and "short" in below and "short" not in above:
        # It shortens a title that is replaced.
        result["short"] = {language: text for language, text in below["short"].items() if language not in titles}
    return result


def fill_placeholders(value: Any, settings: Settings, problems: list[str], path: str = "") -> Any:
    """Replace the placeholders `${NAME}` in `value` by settings and environment variables."""
    if isinstance(value, Mapping):
        return {
            str(name): fill_placeholders(inner, settings, problems, f"{path}.{name}".strip("."))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [fill_placeholders(inner, settings, problems, path) for inner in value]
    if not isinstance(value, str) or not PLACEHOLDER.search(value):
        return value

    def placeholder_value(name: str) -> Any:
        fields = {setting_name(field): field for field in Settings.model_fields}
        given = getattr(settings, fields[name]) if name in fields else os.environ.get(name)
        if name in fields and is_secret(fields[name]):
            problems.append(f"{path} = {value!r}: {name} is a secret, and catalogues are shown in the UI; remove it")
        elif given is None:
            problems.append(f"{path} = {value!r}: {name} is not set; set it in the environment or write a value")
        else:
            return given
        return ""

    if match := PLACEHOLDER.fullmatch(value):
        return placeholder_value(match[1])
    return PLACEHOLDER.sub(lambda match: str(placeholder_value(match[1])), value)


# How pydantic names the alternatives of a key.
_FALSE = "literal[False]"
_ALTERNATIVES = {"ReportEntry", "MonitorEntry", "DetectorConfig"}
_NO_KEYS = {"dict_type", "model_type"}


class CatalogError(ValueError):
    """A catalogue file cannot be read or is not valid; `problems` has one text per problem."""

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{where} is not valid:", *(f"  - {problem}" for problem in self.problems)]))


def problem_texts(error: ValidationError) -> list[str]:
    """Turn Pydantic's errors about a catalogue file into texts with the key, the value and the remedy."""
    details = error.errors()
    # A key that is either false or has keys below it gives two errors. Keep the one about the keys.
    either = {detail["loc"][:-1] for detail in details if detail["loc"][-1:] == (_FALSE,)}
    texts = []
    for detail in details:
        if detail["loc"][-1:] == (_FALSE,):
            continue
        path = [part for part in detail["loc"] if "[" not in str(part) and part not in _ALTERNATIVES]
        or_false = ", or false" if detail["loc"][:-1] in either and detail["type"] in _NO_KEYS else ""
        texts.append(f"{'.'.join(map(str, path))}{_problem_text(detail, _keys(path))}{or_false}")
    return texts


def _problem_text(detail: Any, keys: list[str]) -> str:
    """The problem with a key, as text that follows its path."""
    if detail["type"] == "extra_forbidden":
        return f": no such key{suggest(str(detail['loc'][-1]), keys)}"
    if detail["type"] == "missing":
        return ": is missing; add it"
    value = detail["loc"][-2] if detail["loc"][-1] == "[key]" else detail["input"]
    if detail["type"] == "value_error" and isinstance(value, dict):  # about the whole entry
        return f": {remedy_of(detail)}"
    return f" = {value!r}: {remedy_of(detail)}"


def _keys(path: list[Any]) -> list[str]:
    """The known keys at the place where one was rejected."""
    model: type[BaseModel] = CatalogFile
    for part in path[:-1]:
        if part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def reference_problems(entries: CatalogFile) -> Iterator[str]:
    """Yield the mistakes that no entry shows alone: names, and references between entries."""
    for section in CatalogFile.model_fields:
        for name in getattr(entries, section):
            yield from _name_problems(section, name)
    for name, dimension in entries.dimensions.items():
        if dimension.sql is None and (problem := problem_of(name)):
            yield f"dimensions.{name}.sql = {name!r}: {problem}"
    for name, source in entries.sources.items():
        for missing in source.dimensions if source.enabled else ():
            if missing not in entries.dimensions:
                hint = suggest(missing, entries.dimensions)
                yield f"sources.{name}.dimensions = {missing!r}: no such dimension{hint}"
    for name, metric in entries.metrics.items():
        if metric.enabled:
            yield from _metric_problems(name, metric, entries)


def _name_problems(section: str, name: str) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield f"{section}.{name}: use lower-case letters, digits and _ in a name, beginning with a letter"
    elif name in RESERVED and section in ("dimensions", "metrics"):
        yield f"{section}.{name}: this name is reserved; choose another"
    elif section == "daily" and name not in builtin_entries()["daily"]:
        yield f"daily.{name}: app_daily has no such column{suggest(name, builtin_entries()['daily'])}"


def _metric_problems(name: str, entry: MetricEntry, entries: CatalogFile) -> Iterator[str]:
    at = f"metrics.{name}"
    if entry.source is not None and entry.source not in entries.sources:
        yield f"{at}.source = {entry.source!r}: no such source{suggest(entry.source, entries.sources)}"
    for key, part in (("numerator", entry.numerator), ("denominator", entry.denominator)):
        if part is not None:
            yield from _part_problems(f"{at}.{key}", name, part, entries)
    if entry.was is None:
        return
    if entry.was in entries.metrics and entries.metrics[entry.was].enabled:
        yield f"{at}.was = {entry.was!r}: that metric still exists; remove it, or remove `was`"
    if any(other.was == entry.was and other.enabled for key, other in entries.metrics.items() if key != name):
        yield f"{at}.was = {entry.was!r}: another metric has the same; keep one of them"


def _part_problems(at: str, quotient: str, part: str, entries: CatalogFile) -> Iterator[str]:
    metric = entries.metrics.get(part)
    if metric is None:
        yield f"{at} = {part!r}: no such metric{suggest(part, entries.metrics)}"
    elif not metric.enabled:
        yield f"{at} = {part!r}: that metric is disabled; enable it, or disable {quotient} too"
    elif metric.sql is None or metric.source is None:
        yield f"{at} = {part!r}: is a quotient itself; name a metric with `sql`"
