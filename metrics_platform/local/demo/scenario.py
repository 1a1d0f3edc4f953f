"""What happens to the demo's product: in its past, and by `--incident`. Both are rows of `simulator.scenario`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

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
    """One row of the scenario: a kind and its half-open interval [begins, ends), in UTC."""

    kind: str
    begins: datetime.datetime
    ends: datetime.datetime


@dataclass(frozen=True)
class Scenario:
    """What lies behind the product on its day `today`, as far as its history reaches back to it.

    The campaign is twelve days old, so that the report shows the retention of its users.
    """

    today: datetime.date
    zone: ZoneInfo

    @property
    def campaign_day(self) -> datetime.date:
        return self.today - datetime.timedelta(days=12)

    def incidents(self) -> list[InjectedIncident]:
        """The scenario so far, oldest first."""
        return [
            self._of("flash_mob", 20, 18, 22),
            self._of("campaign", 12, 0, 24),
            self._of("cities", 9, 10, 17),
        ]

    def _of(self, kind: str, days_ago: int, first_hour: int, end_hour: int) -> InjectedIncident:
        midnight = datetime.datetime.combine(
            self.today - datetime.timedelta(days=days_ago), datetime.time(), tzinfo=self.zone
        )
        begins, ends = (
            (midnight + datetime.timedelta(hours=hour)).astimezone(datetime.UTC) for hour in (first_hour, end_hour)
        )
        return InjectedIncident(kind, begins, ends)
