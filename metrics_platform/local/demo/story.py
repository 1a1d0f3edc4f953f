"""What happens to the demo's product: in its past, and by `--incident`. Both are rows of `simulator.story`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

# Three slots: enough for the alert, to look at it, and for the all-clear two slots later.
INCIDENT_LASTS = datetime.timedelta(minutes=45)
# What `--incident` can do, with what people will see. The SQL of the events names them, too.
INCIDENTS = {
    "outage": "19 of 20 visits to the feed fail",
    "spike": "spam: five times as many messages",
    "ctr": "six of ten likes are lost",
    "ios": "on iOS, 19 of 20 visits to the feed fail",
}


@dataclass(frozen=True)
class Happening:
    """One row of the story: a kind and its half-open interval [begins, ends), in UTC."""

    kind: str
    begins: datetime.datetime
    ends: datetime.datetime


@dataclass(frozen=True)
class Past:
    """What lies behind the product on its day `today`, as far as its history reaches back to it.

    The campaign is twelve days old, so that the retention of its users is told; the flash mob lies three weeks back,
    the outage in a few cities nine days.
    """

    today: datetime.date
    zone: ZoneInfo

    @property
    def campaign_day(self) -> datetime.date:
        return self.today - datetime.timedelta(days=12)

    def happenings(self) -> list[Happening]:
        """The story so far, oldest first."""
        return [
            self._of("flash_mob", 20, 18, 22),
            self._of("campaign", 12, 0, 24),
            self._of("cities", 9, 10, 17),
        ]

    def _of(self, kind: str, days_ago: int, first_hour: int, end_hour: int) -> Happening:
        midnight = datetime.datetime.combine(
            self.today - datetime.timedelta(days=days_ago), datetime.time(), tzinfo=self.zone
        )
        begins, ends = (
            (midnight + datetime.timedelta(hours=hour)).astimezone(datetime.UTC) for hour in (first_hour, end_hour)
        )
        return Happening(kind, begins, ends)
