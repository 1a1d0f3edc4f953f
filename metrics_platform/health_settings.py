"""The settings of the platform's own health: when data are stale, and how severe alerts are."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from metrics_platform.channel_settings import Severity
from metrics_platform.setting_errors import nearest
from metrics_platform.setting_lists import split_list
from metrics_platform.settings_part import SettingsPart

OFF = "off"
# A year. Numbers that no duration can hold would fail at each probe only.
_MOST_HOURS = 366 * 24
# The severities that a kind may have: data are a WARNING or CRITICAL, code is FAILED and nothing else.
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
        description="How severe a kind is, comma-separated: odd_volume=critical, stale_data=warning, failed_check=off, "
        "failed_run=off (ticks, too), report_not_delivered=off.",
    )
    tell_success: bool = Field(
        False, description="true: a message when the nightly load is done, with the number of its warnings."
    )
    report_grace_minutes: int = Field(
        15, ge=1, le=720, description="A report that has not been delivered this long after its time is an alert."
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
            raise ValueError("write two numbers of hours, the warning's and the critical one, such as 1,3")
        if value[1] > _MOST_HOURS:
            raise ValueError(f"write at most a year, {_MOST_HOURS} hours")
        return value

    @field_validator("severities")
    @classmethod
    def _check_severities(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = []
        for each in value:
            kind, severity = _kind_and_severity(each)
            if kind not in SETTABLE:
                near = nearest(kind, SETTABLE)
                hint = f"; did you mean {near}?" if near else ""
                raise ValueError(f"{each!r}: write kind=severity, the kind one of {', '.join(SETTABLE)}{hint}")
            if severity not in SETTABLE[kind]:
                raise ValueError(f"{each!r}: {kind} may be {' or '.join(SETTABLE[kind])}")
            names.append(kind)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"name each kind only once: {', '.join(twice)}")
        return value

    def severity_of(self, kind: str, usual: Severity) -> Severity | None:
        """How severe a kind is; None: it is switched off."""
        named = dict(map(_kind_and_severity, self.severities))
        wanted: Any = named.get(kind, usual)
        return None if wanted == OFF else wanted


def _kind_and_severity(text: str) -> tuple[str, str]:
    kind, _, severity = text.partition("=")
    return kind.strip(), severity.strip()
