"""The demo's product: its people and its events, made by SQL in ClickHouse and never held in Python.

Volumes, daily and weekly course and attributes are those of a real product of this kind: 18 to 22 thousand users a
day, 570 to 720 thousand feed rows, 13 thousand messages. Events are a function of the seed, the people and the
scenario: what is missing between the last stop and now is made when the demo starts again, each event once.
"""

from __future__ import annotations

import datetime
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.loading.events import create_source_tables
from metrics_platform.monitor.backtest import WEEKEND, WORKDAY
from metrics_platform.settings import Settings
from metrics_platform.time_windows import Day, day_of, first_instant
from metrics_platform.warehouse.client import Warehouse

_ONE_DAY = datetime.timedelta(days=1)
_ONE_HOUR = datetime.timedelta(hours=1)
# New people join for this long. An older demo has no new users.
_HORIZON_DAYS = 800
# The product is this much older than its first day: its numbers of users and their retention have settled by then.
_EARLIER_DAYS = 90
_CORES = 2
_TABLES = ("people", "scenario", "active_people", "payments")
_EVENTS = ("feed_events", "message_events", "payment_events")
# Table → the column of its time.
_TABLES_OF_EVENTS = {"feed_actions": "time", "message_actions": "time", "payments": "paid_at"}
_LATER = "FROM simulator.{table:Identifier} WHERE {time:Identifier} >= {since:DateTime('UTC')}"


# Three slots: enough for the alert, to look at it, and for the all-clear two slots later.
INCIDENT_LASTS = datetime.timedelta(minutes=45)
# The kinds of `--incident`, with what users of the product see. The SQL of the events knows them, too.
INCIDENTS = {
    "outage": "19 of 20 visits to the feed fail",
    "spike": "spam: five times as many messages",
    "ctr": "six of ten likes are lost",
    "ios": "on iOS, 19 of 20 visits to the feed fail",
    "payments": "19 of 20 payments fail",
}


@dataclass(frozen=True)
class InjectedIncident:
    """One row of `simulator.scenario`: a kind and its half-open interval [begins, ends), in UTC."""

    kind: str
    begins: datetime.datetime
    ends: datetime.datetime


@dataclass(frozen=True)
class Product:
    """A made-up product from its first day on; `today` is the day on which the demo was made.

    Attributes:
        base: people who have been there for long.
        newcomers: people who join on each day, also on those of the last months before the first day.
        campaign_users: people whom the advertising campaign wins, on one day.
    """

    first_day: datetime.date
    today: datetime.date
    zone: ZoneInfo
    seed: int = 1
    base: int = 31_000
    newcomers: int = 750
    campaign_users: int = 5_000

    def create(self, warehouse: Warehouse, settings: Settings) -> None:
        """Make the source tables, the people and the scenario, where they are missing."""
        create_source_tables(settings, warehouse)
        for name in _TABLES:
            warehouse.execute(_read(f"schema/{name}.sql"), operation=f"Making simulator.{name}", repeatable=True)
        if not warehouse.value("SELECT count() FROM simulator.people"):
            parameters = {
                "first_day": self.first_day,
                "campaign_day": self.campaign_day,
                "base": self.base,
                "newcomers": self.newcomers,
                "campaign_users": self.campaign_users,
                "horizon_days": _HORIZON_DAYS,
                "earlier_days": _EARLIER_DAYS,
                "seed": self.seed,
            }
            warehouse.execute(_read("queries/people.sql"), parameters, operation="Making the demo's people")
        if not warehouse.value("SELECT count() FROM simulator.scenario"):
            for incident in self.past_incidents():
                inject(warehouse, incident)

    def write_earlier_days(self, warehouse: Warehouse) -> None:
        """Write one event per user and earlier day, so that not every user is new on the first day.

        It empties the feed first, which holds only the result of an interrupted attempt at that time.
        """
        warehouse.execute("TRUNCATE TABLE simulator.feed_actions", operation="Emptying the demo's feed")
        days = (day_of(self.first_day - number * _ONE_DAY, self.zone) for number in range(_EARLIER_DAYS, 0, -1))
        with ThreadPoolExecutor(_CORES) as pool:
            list(pool.map(partial(self._write_earlier_day, warehouse), days))

    def _write_earlier_day(self, warehouse: Warehouse, day: Day) -> None:
        if day.hours:  # a zone may have skipped the day
            query, operation = _read("queries/earlier_events.sql"), f"Making a trace of {day.key}"
            warehouse.execute(query, self._parameters(day), operation=operation)

    def write_events(
        self, warehouse: Warehouse, since: datetime.datetime, until: datetime.datetime
    ) -> Generator[datetime.datetime]:
        """Write the events in [since, until), day by day of the product; yields how far it is after each.

        Events from `since` on, left by an interrupted attempt, are replaced.

        Raises:
            WarehouseError: ClickHouse refused or did not answer; up to what was yielded last, all is written once.
        """
        for table, time in _TABLES_OF_EVENTS.items():
            later = {"table": table, "time": time, "since": since}
            if warehouse.value(f"SELECT count() {_LATER}", later):
                warehouse.execute(f"DELETE {_LATER}", later, operation=f"Tidying up {table}")
        pieces = list(self._pieces(since, until))
        if len(pieces) == 1:  # every few seconds: a thread would need its own connection
            yield self._write_piece(warehouse, pieces[0])
            return
        # Two days at a time: each is the work of one core.
        with ThreadPoolExecutor(_CORES) as writers:
            yield from writers.map(partial(self._write_piece, warehouse), pieces)

    def _pieces(
        self, since: datetime.datetime, until: datetime.datetime
    ) -> Iterator[tuple[Day, datetime.datetime, datetime.datetime]]:
        while since < until:
            day = day_of(since.astimezone(self.zone).date(), self.zone)
            end = min(until, day.end)
            yield day, since, end
            since = end

    def _write_piece(
        self, warehouse: Warehouse, piece: tuple[Day, datetime.datetime, datetime.datetime]
    ) -> datetime.datetime:
        day, since, until = piece
        quantiles = _course(weekend=day.date.weekday() >= 5)
        parameters = {**self._parameters(day), "quantiles": quantiles, "from": since, "until": until}
        for name in _EVENTS:
            warehouse.execute(_read(f"queries/{name}.sql"), parameters, operation=f"Making the {name} of {day.key}")
        return until

    def _parameters(self, day: Day) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "first_day": self.first_day,
            "earlier_days": _EARLIER_DAYS,
            "day": day.date,
            "day_start": day.start,
            "day_end": day.end,
        }

    @property
    def campaign_day(self) -> datetime.date:
        """The day of the advertising campaign: long enough ago for the report to show the retention of its users."""
        return self.today - datetime.timedelta(days=12)

    def past_incidents(self) -> list[InjectedIncident]:
        """What has happened before `today`, oldest first."""
        return [
            self._incident("flash_mob", 20, 18, 22),
            self._incident("campaign", 12, 0, 24),
            self._incident("cities", 9, 10, 17),
        ]

    def _incident(self, kind: str, days_ago: int, first_hour: int, end_hour: int) -> InjectedIncident:
        day = self.today - days_ago * _ONE_DAY
        midnight = datetime.datetime.combine(day, datetime.time(), tzinfo=self.zone)
        begins, ends = ((midnight + hour * _ONE_HOUR).astimezone(datetime.UTC) for hour in (first_hour, end_hour))
        return InjectedIncident(kind, begins, ends)

    def first_instant(self) -> datetime.datetime:
        """The instant at which the first day begins."""
        return first_instant(self.first_day, self.zone)


def inject(warehouse: Warehouse, incident: InjectedIncident) -> None:
    """Add the incident to the scenario; events that are made later follow it."""
    warehouse.execute(
        "INSERT INTO simulator.scenario VALUES ({kind:String}, {begins:DateTime('UTC')}, {ends:DateTime('UTC')})",
        {"kind": incident.kind, "begins": incident.begins, "ends": incident.ends},
        operation="Writing the demo's scenario",
    )


def _course(*, weekend: bool) -> list[int]:
    """By which second of the day each 1440th of its sessions has begun: 1442 numbers, ascending."""
    curve = WEEKEND if weekend else WORKDAY
    # As the curve is meant: its numbers are those of the middles of hours.
    activity = np.interp(np.arange(86_400) / 3600, np.arange(-0.5, 25), [curve[-1], *curve, curve[0]])
    begun = np.concatenate([[0.0], np.cumsum(activity)]) / activity.sum()
    seconds = np.interp(np.arange(1441) / 1440, begun, np.arange(86_401))
    return [*(int(second) for second in seconds), 86_400]


def _read(name: str) -> str:
    return (files("metrics_platform.local.demo") / name).read_text(encoding="utf-8")
