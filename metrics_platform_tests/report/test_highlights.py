"""What stands out: quiet days stay quiet, planted events are named, and their slices explain them."""

from __future__ import annotations

import datetime

import pytest

from metrics_platform.report.highlights import MOST_HIGHLIGHTS, explain_all, highlights
from metrics_platform_tests.report.products import FIRST_DAY, Planted, product

DAYS = 120
LAST = FIRST_DAY + datetime.timedelta(days=DAYS - 1)
SEEDS = range(6)
AUDIENCE = {"app_dau", "feed_dau", "messenger_dau", "views", "likes", "messages_sent"}


def test_at_most_one_quiet_day_in_ten_is_called_unusual() -> None:
    days = unusual = 0
    for seed in SEEDS:
        rows = product(seed, DAYS)
        for back in range(0, 60, 6):
            found = highlights(LAST - datetime.timedelta(days=back), rows)
            assert found is not None
            days += 1
            unusual += bool(found)

    assert days == 60
    assert unusual / days <= 0.1


@pytest.mark.parametrize(
    ("planted", "metrics"),
    [("drop", AUDIENCE), ("launch", AUDIENCE), ("holiday", AUDIENCE), ("ctr_drop", {"ctr"})],
)
def test_a_planted_event_is_named_in_every_product(planted: Planted, metrics: set[str]) -> None:
    for seed in SEEDS:
        found = highlights(LAST, product(seed, DAYS, planted))
        assert found
        assert metrics & {highlight.metric for highlight in found}


def test_the_furthest_from_its_band_comes_first() -> None:
    found = highlights(LAST, product(1, DAYS, "launch"))

    assert found
    assert len(found) <= MOST_HIGHLIGHTS
    alone = [abs(highlight.score) for highlight in found if not highlight.moved_with]
    assert alone == sorted(alone, reverse=True)


def test_a_later_day_changes_nothing() -> None:
    rows = product(2, DAYS, "drop")
    before = LAST - datetime.timedelta(days=1)

    assert highlights(before, rows) == highlights(before, {day: row for day, row in rows.items() if day <= before})


def test_a_young_product_has_no_answer() -> None:
    assert highlights(FIRST_DAY + datetime.timedelta(days=20), product(3, 21)) is None


def test_metrics_of_the_catalogue_are_compared_too() -> None:
    rows = product(4, DAYS)
    values = {day: {"revenue": 1000.0 + day.weekday() * 10} for day in rows}
    values[LAST] = {"revenue": 300.0}

    found = highlights(LAST, rows, catalog_values=values, catalog_units={"revenue": "ratio"})

    assert found
    assert found[0].metric == "revenue"
    assert found[0].expected == pytest.approx(1000 + LAST.weekday() * 10)
    assert found[0].record_weeks is not None


def test_the_slice_that_fell_explains_the_fall() -> None:
    rows = product(5, DAYS, "drop")
    (fallen, *_) = [one for one in highlights(LAST, rows) or () if one.metric in {"app_dau", "feed_dau", "views"}]
    lost = fallen.expected - fallen.value
    slices = {("os", name): _slice(rows, fallen.metric, share) for name, share in (("Android", 0.6), ("iOS", 0.4))}
    slices["os", "Android"][LAST] = (fallen.expected * 0.6 - lost, None)
    slices["os", "iOS"][LAST] = (fallen.expected * 0.4, None)

    (explained,) = explain_all([fallen], LAST, lambda _: slices)

    assert explained.contributions[0].value == "Android"
    assert explained.contributions[0].share_of_change == pytest.approx(1, abs=0.25)


def _slice(
    rows: dict[datetime.date, dict[str, float | None]], metric: str, share: float
) -> dict[datetime.date, tuple[float | None, float | None]]:
    return {day: ((row[metric] or 0.0) * share, None) for day, row in rows.items()}


def test_a_share_without_events_on_the_day_is_unknown_and_a_count_is_zero() -> None:
    rows = product(5, DAYS, "ctr_drop")
    (fallen,) = [one for one in highlights(LAST, rows) or () if one.metric == "ctr"]
    before = [day for day in rows if day < LAST]
    slices = {("os", name): {day: (rows[day]["likes"], rows[day]["views"]) for day in before} for name in ("a", "b")}

    (explained,) = explain_all([fallen], LAST, lambda _: slices)

    assert explained.contributions == ()


@pytest.mark.parametrize(("planted", "days"), [("holiday", 57), ("launch", 9)])
def test_a_record_brings_the_days_or_the_weekdays_of_eight_weeks(planted: Planted, days: int) -> None:
    rows = product(1, DAYS, planted)
    for highlight in highlights(LAST, rows) or ():
        assert highlight.record_weeks
        assert len(highlight.trend) == days
        assert highlight.trend[-1] == highlight.value
        assert highlight.trend[0] == rows[LAST - datetime.timedelta(weeks=8)][highlight.metric]
