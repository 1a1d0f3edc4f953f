"""Generates `docs/settings.md` from the settings: run `python -m metrics_platform.settings_document`.

A test fails if the document is out of date.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from metrics_platform.channel_settings import ChannelSettings
from metrics_platform.health_settings import HealthSettings
from metrics_platform.monitor_settings import MonitorSettings
from metrics_platform.retention_settings import RetentionSettings
from metrics_platform.settings import Settings, setting_name

DOCUMENT = Path("docs/settings.md")
_SECTIONS: tuple[tuple[type[BaseSettings], str, str], ...] = (
    (Settings, "The product, ClickHouse and the daily load", ""),
    (ChannelSettings, "Messages", "More about them: [notifications.md](notifications.md)."),
    (MonitorSettings, "The 15-minute monitor", "More about it: [monitoring.md](monitoring.md)."),
    (HealthSettings, "The platform's own health", "More about it: [health.md](health.md)."),
    (RetentionSettings, "Retention", ""),
)
_HEAD = """\
# Settings

Settings come from the environment, or from `.env` in the folder you run Dagster in. Copy
[`.env.example`](../.env.example) to begin with.

- Set each name in one place. If both have it, the environment wins in `metrics-platform`, and `.env` wins in Dagster's
  own commands (`dagster dev`, `dagster asset materialize` …), which load it themselves.
- An empty value counts as not set. It does not override a value in `.env`.
- An unknown name or an invalid value stops the platform with an error that says how to fix it. `metrics-platform
  doctor` checks all settings at once.

Sources, dimensions and metrics, and how metrics are evaluated (thresholds, detectors, mutes), are not settings. They
are in the YAML file that `METRICS_CATALOG` names: see [catalog.md](catalog.md). Dagster's own settings (its database,
the number of concurrent runs, how long ticks are kept) are in [`dagster.yaml`](../.dagster/dagster.yaml).

This page is generated from `metrics_platform/settings.py` and the files beside it. Run
`python -m metrics_platform.settings_document` to update it.
"""


def settings_document() -> str:
    """The document: a table for each group of settings, with each name, default and meaning."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    grouped = {name for section, *_ in _SECTIONS if section is not Settings for name in section.model_fields}
    for section, title, note in _SECTIONS:
        fields = [name for name in section.model_fields if section is not Settings or name not in grouped]
        rows = [_row(name) for name in fields]
        yield "\n".join(
            [
                f"## {title}",
                *(["", note] if note else []),
                "",
                "| setting | default | meaning |",
                "|---|---|---|",
                *rows,
                "",
            ]
        )


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    secret = " Secret." if field.annotation == (SecretStr | None) else ""
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{setting_name(name)}` | {_shown(field.get_default(call_default_factory=True))} | {meaning}{secret} |"


def _shown(default: Any) -> str:
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


if __name__ == "__main__":
    DOCUMENT.write_text(settings_document(), encoding="utf-8")
