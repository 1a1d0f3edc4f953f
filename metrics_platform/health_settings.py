"""Settings of the platform's own health: when data are stale, which failures are reported, and how severe they are."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from metrics_platform.channel_settings import Severity
from metrics_platform.setting_types import SettingsPart, split_list
from metrics_platform.suggestions import nearest

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


def _stale_hours(value: tuple[float, ...]) -> tuple[float, ...]:
    ascends = len(value) == 2 and all(map(math.isfinite, value)) and 0 < value[0] <= value[1]
    if not ascends:
        raise ValueError("write two numbers of hours, for a warning and for a critical alert, such as 1,3")
    if value[1] > _MOST_HOURS:
        raise ValueError(f"write at most {_MOST_HOURS} hours, which is a year")
    return value


def _severities(value: Any) -> dict[str, str]:
    """Kind → severity, of `odd_volume=critical, failed_run=off`."""
    found: dict[str, str] = {}
    for entry in split_list(value):
        kind, _, severity = (part.strip() for part in entry.partition("="))
        if kind not in SETTABLE:
            near = nearest(kind, SETTABLE)
            hint = f"; did you mean {near}?" if near else ""
            raise ValueError(f"{entry!r}: write kind=severity, the kind one of {', '.join(SETTABLE)}{hint}")
        if severity not in SETTABLE[kind]:
            raise ValueError(f"{entry!r}: set {kind} to {' or '.join(SETTABLE[kind])}")
        if kind in found:
            raise ValueError(f"name each kind only once: {kind}")
        found[kind] = severity
    return found


StaleHours = Annotated[tuple[float, ...], NoDecode, BeforeValidator(split_list), AfterValidator(_stale_hours)]


class HealthSettings(SettingsPart):
    """Part of `Settings`: names as there, `METRICS_…`."""

    feed_stale_hours: StaleHours = Field(
        (1.0, 3.0),
        description="Hours without a new feed event until a warning, and until a critical alert, comma-separated. Only "
        "hours of the week that usually have events count. Limits of 24 or more count every hour.",
    )
    messages_stale_hours: StaleHours = Field(
        (1.0, 3.0), description="The same for messages: until a warning, and critical."
    )
    severities: Annotated[dict[str, str], NoDecode, BeforeValidator(_severities)] = Field(
        default_factory=dict,
        description="Severity by kind, comma-separated: odd_volume=critical, stale_data=warning, failed_check=off, "
        "failed_run=off (also for ticks), report_not_delivered=off.",
    )
    tell_success: bool = Field(
        False, description="true: send a message when the nightly load succeeds, with the number of its warnings."
    )
    report_grace_minutes: int = Field(
        15, ge=1, le=720, description="Minutes after METRICS_REPORT_AT until a missing report raises an alert."
    )

    def severity_of(self, kind: str, usual: Severity) -> Severity | None:
        """The severity of a kind; None: it is not reported."""
        wanted: Any = self.severities.get(kind, usual)
        return None if wanted == OFF else wanted
