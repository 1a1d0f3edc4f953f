"""A course of slots for the state machine: what each series was in each slot, and what was told at which."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from metrics_platform.calendar import SLOT, Slot
from metrics_platform.catalog import builtin_catalog
from metrics_platform.incidents.incident import Incident, Series, Verdict
from metrics_platform.incidents.machine import Rules, Telling, step

START = datetime.datetime(2026, 11, 20, 10, tzinfo=datetime.UTC)
VIEWS, LIKES, MESSAGES = (Series(name, "total", "total") for name in ("views", "likes", "messages"))
METRICS = {name: metric.source for name, metric in builtin_catalog().metrics.items()}
VIEWS_ON_ANDROID = Series("views", "os", "Android")


def verdict(series: Series, sign: str) -> Verdict:
    """A verdict by one character.

    «.» normal, «-» a fall, «=» a critical fall, «0» a fall to nothing, «+» a rise, «?» unknown.
    """
    if sign == "?":
        return Verdict(series, "unknown")
    value = {".": 100.0, "-": 75.0, "=": 20.0, "0": 0.0, "+": 140.0}[sign]
    severity = {".": "", "-": "warning", "=": "critical", "0": "critical", "+": "critical"}[sign]
    return Verdict(series, "anomalous" if severity else "normal", severity, value=value, expected=100.0)


@dataclass
class Course:
    """Steps through slots, remembering incidents as the store does."""

    rules: Rules = field(default_factory=Rules)
    incidents: dict[str, Incident] = field(default_factory=dict)
    told: list[tuple[int, Telling]] = field(default_factory=list)
    said_by: list[tuple[int, str]] = field(default_factory=list)
    number: int = 0

    def run(
        self,
        lines: Mapping[Series, str],
        *,
        silent: Iterable[int] = (),
        muted: Mapping[int, set[str]] | None = None,
        stale: Mapping[int, Mapping[str, str]] | None = None,
    ) -> list[tuple[int, str]]:
        """One slot per character of the lines, a blank for no verdict; gives (slot's number, kind) of what was told.

        Nothing is told at the slots `silent`; `muted` are metrics by slot, `stale` those whose source is stale.
        """
        before = len(self.told)
        for position in range(max(map(len, lines.values()))):
            signs = {series: line[position] for series, line in lines.items() if line[position] != " "}
            self.take(
                {series: verdict(series, sign) for series, sign in signs.items()},
                tells=self.number not in set(silent),
                muted=(muted or {}).get(self.number, set()),
                stale=(stale or {}).get(self.number, {}),
            )
        return [(number, telling.kind) for number, telling in self.told[before:]]

    def take(
        self,
        verdicts: Mapping[Series, Verdict],
        *,
        tells: bool = True,
        muted: Iterable[str] = (),
        stale: Mapping[str, str] | None = None,
    ) -> None:
        """One slot."""
        before = self.incidents.values()
        found = step(
            self.slot, before, verdicts, self.rules, tells=tells, muted=set(muted), stale=stale, sources=METRICS
        )
        self.said_by += [(self.number, source) for source in found.said_by]
        self.incidents |= {each.incident: each for each in found.incidents}
        self.told += [(self.number, telling) for telling in found.tellings]
        self.number += 1

    @property
    def slot(self) -> Slot:
        """The slot that comes next."""
        return Slot(START + self.number * SLOT)

    @property
    def open(self) -> list[Incident]:
        """The incidents that are open."""
        return [each for each in self.incidents.values() if each.is_open]
