"""A catalogue file: its YAML, merged on top of another one, with the placeholders filled in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metrics_platform.catalog_entries import PLACEHOLDER, CatalogFile
from metrics_platform.catalog_problems import CatalogError
from metrics_platform.settings import Settings, is_secret, setting_name
from metrics_platform.suggestions import near


def read_file(file: Path) -> dict[str, Any]:
    """Read a file: section → name → entry.

    Raises:
        CatalogError: it cannot be read, or is not of this form.
    """
    import yaml  # noqa: PLC0415  (on use only)

    where = f"METRICS_CATALOG = {file}"
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _loader())  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(where, [" ".join(str(error).replace('in "<unicode string>", ', "at ").split())]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        sections = ", ".join(CatalogFile.model_fields)
        raise CatalogError(where, [f"write one or more of the sections {sections}, with their entries"])
    if problems := list(_form_problems(content)):
        raise CatalogError(where, problems)
    return {section: entries or {} for section, entries in content.items()}


def _form_problems(content: Mapping[Any, Any]) -> Iterator[str]:
    sections = list(CatalogFile.model_fields)
    for section, entries in content.items():
        if section not in sections:
            yield f"{section}: is not a section{near(str(section), sections)}"
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

    def found(name: str) -> Any:
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
        return found(match[1])
    return PLACEHOLDER.sub(lambda match: str(found(match[1])), value)
