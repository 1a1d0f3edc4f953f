"""Made-up products: a year of daily metrics with growth, a weekly rhythm and noise of their own, and planted events."""

from __future__ import annotations

import datetime
import math
from typing import Literal

import numpy as np

Planted = Literal["drop", "launch", "ctr_drop", "holiday"]
Rows = dict[datetime.date, dict[str, float | None]]

FIRST_DAY = datetime.date(2026, 3, 2)
_FACTORS = {"drop": 0.85, "launch": 1.6, "holiday": 0.7}


def product(seed: int, days: int, planted: Planted | None = None) -> Rows:
    """The rows of `app_daily` of one product; what is planted happens on the last day, a launch two days before it."""
    random = np.random.default_rng(seed)
    size, growth = 10 ** random.uniform(3, 6), random.uniform(-0.002, 0.006)
    weekdays, noise = 1 + random.normal(0, 0.1, 7), random.uniform(0.01, 0.04)
    feed_mood = messenger_mood = 0.0
    rows: Rows = {}
    for number in range(days):
        feed_mood = 0.4 * feed_mood + random.normal(0, noise * 0.9)
        messenger_mood = 0.4 * messenger_mood + random.normal(0, noise * 0.9)
        happens = planted is not None and number >= days - (3 if planted == "launch" else 1)
        factor = _FACTORS.get(planted or "", 1.0) if happens else 1.0
        level = size * math.exp(growth * number) * weekdays[number % 7] * factor
        rows[FIRST_DAY + datetime.timedelta(days=number)] = _day(
            random,
            feed=level * math.exp(feed_mood),
            senders=level * 0.13 * math.exp(0.5 * feed_mood + 0.8 * messenger_mood),
            ctr=0.2 * (0.85 if happens and planted == "ctr_drop" else 1.0),
            noise=noise,
        )
    return rows


def _day(
    random: np.random.Generator, *, feed: float, senders: float, ctr: float, noise: float
) -> dict[str, float | None]:
    feed_dau, sending = int(random.poisson(feed)), int(random.poisson(senders))
    views = int(random.poisson(feed_dau * 27 * math.exp(random.normal(0, noise / 4))))
    likes = int(random.binomial(views, ctr * math.exp(random.normal(0, 0.006))))
    cohort = int(random.poisson(feed_dau * 0.04)) + 1
    return {
        "app_dau": feed_dau + sending // 3,
        "feed_dau": feed_dau,
        "messenger_dau": sending,
        "views": views,
        "likes": likes,
        "ctr": likes / views if views else None,
        "messages_sent": int(random.poisson(sending * 5.5 * math.exp(random.normal(0, noise / 3)))),
        "new_users": int(random.poisson(feed_dau * 0.04 * math.exp(random.normal(0, noise)))),
        "cohort_d1": cohort,
        "retention_d1": int(random.binomial(cohort, 0.37)) / cohort,
        "cohort_d7": cohort,
        "retention_d7": int(random.binomial(cohort, 0.2)) / cohort,
    }
