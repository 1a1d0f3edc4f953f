"""Generates `docs/settings.md` and `metrics.schema.json`: run `python -m metrics_platform.generated_files`.

A test fails if one of them is out of date. Editors use the schema to complete and check catalogue files.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from metrics_platform.catalog_entries import NAME, PLACEHOLDER, CatalogFile
from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.monitor_settings import HealthSettings, MonitorSettings
from metrics_platform.settings import Settings, is_secret, meaning_of, setting_name

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
_PARTS: dict[str, tuple[type[BaseSettings], str]] = {
    "Messages": (ChannelSettings, "notifications"),
    "The 15-minute monitor": (MonitorSettings, "monitoring"),
    "The platform's own health": (HealthSettings, "health"),
}


def settings_document() -> str:
    """The document: its head as it is, and a table for each group of settings with each name, default and meaning."""
    head = DOCUMENT.read_text(encoding="utf-8").partition("## ")[0]
    return head + "\n".join(_sections())


def _sections() -> Iterator[str]:
    in_parts = {name for part, _ in _PARTS.values() for name in part.model_fields}
    own = [name for name in Settings.model_fields if name not in in_parts]
    retention = [name for name in own if name.startswith("keep_")]
    yield _section("The product, ClickHouse and the daily load", [name for name in own if name not in retention])
    for title, (part, document) in _PARTS.items():
        yield _section(title, part.model_fields, f"See also [{document}.md]({document}.md).\n\n")
    yield _section("Retention", retention)


def _section(title: str, fields: Iterable[str], note: str = "") -> str:
    rows = "\n".join(map(_row, fields))
    return f"## {title}\n\n{note}| setting | default | meaning |\n|---|---|---|\n{rows}\n"


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    secret = " Secret." if is_secret(name) else ""
    meaning = meaning_of(name).replace("|", "\\|")
    default = _display_default(field.get_default(call_default_factory=True))
    return f"| `{setting_name(name)}` | {default} | {meaning}{secret} |"


def _display_default(default: Any) -> str:
    """The default as written in `.env`; a dash if there is none."""
    if default is None or default in ((), "", {}):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, datetime.time):
        return f"`{default:%H:%M}`"
    if isinstance(default, tuple):
        return f"`{','.join(f'{part:g}' if isinstance(part, float) else str(part) for part in default)}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`"


SCHEMA = Path(__file__).with_name("metrics.schema.json")

Schema = dict[str, Any]
_PLACEHOLDER: Schema = {
    "type": "string",
    "pattern": f"^{PLACEHOLDER.pattern}$",
    "description": "From a setting or the environment.",
}


def catalog_schema() -> Schema:
    """The schema of a catalogue file. A file may hold only the keys that it changes, so no key is required."""
    file: Schema = CatalogFile.model_json_schema(ref_template="#/definitions/{model}")
    definitions: Schema = file.pop("$defs")
    for definition in definitions.values():
        definition.pop("required", None)
        definition["properties"] = {key: _or_placeholder(value) for key, value in definition["properties"].items()}
    for section in file["properties"].values():
        section["type"] = ["object", "null"]
        section["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **file,
        "title": "Catalogue of metrics_platform",
        # Draft 7, which editors support best, uses this name.
        "definitions": definitions,
    }


def catalog_schema_text() -> str:
    """The schema as text, for the file."""
    return json.dumps(catalog_schema(), indent=2, ensure_ascii=False) + "\n"


def _or_placeholder(value: Schema) -> Schema:
    """Also allow a placeholder for a key that is not text."""
    kinds = [value, *value.get("anyOf", ())]
    if any(kind.get("type") in ("string", "object") or "$ref" in kind for kind in kinds):
        return value
    about: Schema = {key: value[key] for key in ("title", "description", "default") if key in value}
    checked = {key: inner for key, inner in value.items() if key not in about}
    return {**about, "anyOf": [*checked.get("anyOf", [checked]), _PLACEHOLDER]}


if __name__ == "__main__":
    DOCUMENT.write_text(settings_document(), encoding="utf-8")
    SCHEMA.write_text(catalog_schema_text(), encoding="utf-8")
