"""Settings of the platform's own health: when data are stale, which failures are reported, and how severe they are."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from metrics_platform.channel_settings import Severity
from metrics_platform.setting_errors import nearest
from metrics_platform.setting_types import SettingsPart, split_list

OFF = "off"
# A year. A number too large for a duration would fail only when the sensor runs.
_MOST_HOURS = 366 * 24
# The severities that a kind can have. Data problems are warnings or critical; failures of code are always `failed`.
SETTABLE: dict[str, tuple[str, ...]] = {
    "stale_data": ("warning", "critical", OFF),
    "odd_volume": ("warning", "critical", OFF),
    "failed_check": ("warning", "critical", OFF),
    "failed_run": (OFF,),
    "report_not_delivered": (OFF,),
}


class HealthSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    feed_stale_hours: Annotated[tuple[float, ...], NoDecode] = Field(
        (1.0, 3.0),
        description="After how many hours without a new feed event, counting only hours of the week that usually have "
        "events, the data are stale: a warning, and critical, comma-separated. Limits of 24 or more count every hour.",
    )
    messages_stale_hours: Annotated[tuple[float, ...], NoDecode] = Field(
        (1.0, 3.0), description="The same for messages: a warning, and critical."
    )
    severities: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Severity by kind, comma-separated: odd_volume=critical, stale_data=warning, failed_check=off, "
        "failed_run=off (also for ticks), report_not_delivered=off.",
    )
    tell_success: bool = Field(
        False, description="true: send a message when the nightly load succeeds, with the number of its warnings."
    )
    report_grace_minutes: int = Field(
        15, ge=1, le=720, description="Minutes after its time until an undelivered report raises an alert."
    )

    @field_validator("feed_stale_hours", "messages_stale_hours", "severities", mode="before")
    @classmethod
    def _split_health(cls, value: Any) -> Any:
        return split_list(value)

    @field_validator("feed_stale_hours", "messages_stale_hours")
    @classmethod
    def _check_stale_hours(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        ascends = len(value) == 2 and all(map(math.isfinite, value)) and 0 < value[0] <= value[1]
        if not ascends:
            raise ValueError("write two numbers of hours, for a warning and for a critical alert, such as 1,3")
        if value[1] > _MOST_HOURS:
            raise ValueError(f"write at most {_MOST_HOURS} hours, which is a year")
        return value

    @field_validator("severities")
    @classmethod
    def _check_severities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = []
        for entry in value:
            kind, severity = _kind_and_severity(entry)
            if kind not in SETTABLE:
                near = nearest(kind, SETTABLE)
                hint = f"; did you mean {near}?" if near else ""
                raise ValueError(f"{entry!r}: write kind=severity, the kind one of {', '.join(SETTABLE)}{hint}")
            if severity not in SETTABLE[kind]:
                raise ValueError(f"{entry!r}: set {kind} to {' or '.join(SETTABLE[kind])}")
            names.append(kind)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"name each kind only once: {', '.join(twice)}")
        return value

    def severity_of(self, kind: str, usual: Severity) -> Severity | None:
        """The severity of a kind; None: it is not reported."""
        named = dict(map(_kind_and_severity, self.severities))
        wanted: Any = named.get(kind, usual)
        return None if wanted == OFF else wanted


def _kind_and_severity(text: str) -> tuple[str, str]:
    kind, _, severity = text.partition("=")
    return kind.strip(), severity.strip()
