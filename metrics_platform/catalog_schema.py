"""Generates `metrics.schema.json` from the catalogue's format: run `python -m metrics_platform.catalog_schema`.

Editors use it to complete and check catalogue files. A test fails if the file is out of date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metrics_platform.catalog_entries import NAME, PLACEHOLDER, CatalogFile

FILE = Path(__file__).with_name("metrics.schema.json")

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
    FILE.write_text(catalog_schema_text(), encoding="utf-8")
