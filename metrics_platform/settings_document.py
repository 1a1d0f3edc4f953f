"""`docs/settings.md`, from the settings themselves: `python -m metrics_platform.settings_document` writes it.

A test compares the two, so that the document is always of this version.
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
    (RetentionSettings, "What is kept for how long", ""),
)
_HEAD = """\
# Settings

From the environment, or from `.env` in the folder Dagster runs in. Where both name a setting, the environment wins in
`metrics-platform`, and `.env` in Dagster's own commands (`dagster dev`, `dagster asset materialize` …), which load it
themselves: name a setting in one place. An empty value is as none, and takes no value of `.env` back. A name that is no
setting, or a value that makes no sense, is refused with the remedy. `metrics-platform doctor` looks at all of them
together; begin with [`.env.example`](../.env.example).

Sources, dimensions and metrics, and how metrics are evaluated (thresholds, detectors, mutes), are not settings. They
are in a YAML file that `METRICS_CATALOG` names: [catalog.md](catalog.md). Dagster's own settings (its database, how
many runs at once, how long ticks are kept) are in [`dagster.yaml`](../.dagster/dagster.yaml).

Written by `python -m metrics_platform.settings_document` from `metrics_platform/settings.py` and the files beside it;
a test sees to it that it is current.
"""


def settings_document() -> str:
    """The document: a table for each group of settings, with every name, its default and what it means."""
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
                "| setting | default | what it means |",
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
    """The default as one would write it into `.env`; what has none is not set."""
    if default is None or default in ((), "", {}):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, datetime.time):
        return f"`{default:%H:%M}`"
    if isinstance(default, tuple):
        return f"`{','.join(f'{each:g}' if isinstance(each, float) else str(each) for each in default)}`"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`"


if __name__ == "__main__":
    DOCUMENT.write_text(settings_document(), encoding="utf-8")
