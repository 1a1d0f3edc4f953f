"""What happens to the demo's product: in its past, and by `--incident`. Both are rows of `simulator.scenario`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

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
