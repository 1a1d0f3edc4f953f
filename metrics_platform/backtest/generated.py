"""A generated product's history in the shape of the real one: the total, and two operating systems."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

import numpy as np

from metrics_platform.backtest.traffic import Product, Stretch, generate
from metrics_platform.detection.series import Floats
from metrics_platform.monitor.history import TOTAL, SlotHistory
from metrics_platform.warehouse.tables import SLOT_METRICS

# The first one's share of the users.
SHARE = 0.62
# Days on which a fifth of the users stay away.
HOLIDAYS = (datetime.date(2026, 4, 3), datetime.date(2026, 4, 6))
NAMES = (TOTAL, ("os", "Android"), ("os", "iOS"))


def generated_history(feed_users: float, days: int, seed: int) -> SlotHistory:
    """`days` of a product with so many users of its feed in an average slot; a seed gives the same numbers."""
    random = np.random.default_rng(seed)
    start = datetime.datetime(2026, 1, 25, 23, tzinfo=datetime.UTC)
    stretch = Stretch(start, days, ZoneInfo("Europe/Berlin"), HOLIDAYS)  # with a clock change in it
    metrics = generate([Product(feed_users)], stretch, seed)
    columns: dict[str, Floats] = {}
    for name in SLOT_METRICS.measures:
        total = metrics[name].values
        part = random.binomial(total.astype(np.int64), SHARE).astype(np.float64)
        columns[name] = np.concatenate([total, part, total - part], axis=1)
    # In a slice, too, nobody likes what was not viewed, and whoever is counted did something.
    for fewer, more in (("likes", "views"), ("feed_users", "views"), ("senders", "messages")):
        columns[fewer] = np.minimum(columns[fewer], columns[more])
        columns[fewer][:, 0] = columns[fewer][:, 1:].sum(axis=1)
    return SlotHistory(start, stretch.zone, NAMES, columns)
