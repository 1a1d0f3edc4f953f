"""Which values of a dimension are slices of their own: the largest ones, chosen once a day; the rest is `other`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from metrics_platform.settings import Settings
from metrics_platform.time_windows import SLOT
from metrics_platform.warehouse import slice_choice
from metrics_platform_tests.warehouse.payments import DAY, MIDNIGHT, MINUTE, Payments

_DAY = timedelta(days=1)


@pytest.fixture
def payments(make_settings: Callable[..., Settings], tmp_path: Path) -> Payments:
    """Of each dimension two values are kept."""
    return Payments(make_settings, tmp_path, dimensions={"plan": {"values": 2}})


def test_the_largest_values_are_kept_and_other_adds_up(payments: Payments) -> None:
    payments.pay(
        *(
            (number, MIDNIGHT, plan, 1)
            for plan, count in (("a", 5), ("b", 4), ("c", 3), ("d", 2))
            for number in range(count)
        )
    )
    (result,) = payments.slots(0, 1)
    assert result.violations == ()
    assert payments.values("revenue", "plan") == {(0, "a"): 5, (0, "b"): 4, (0, "other"): 5}
    # Distinct users of the rest are distinct over the rest.
    assert payments.values("payers", "plan") == {(0, "a"): 5, (0, "b"): 4, (0, "other"): 3}
    assert payments.values("arppu", "plan")[0, "other"] == pytest.approx(5 / 3)


def test_values_that_are_called_like_the_reserved_ones_are_never_chosen(payments: Payments) -> None:
    plans = ("other", "unknown", "", "   ", "total", "a", "a ", " a")
    payments.pay(*((number, MIDNIGHT, plan, 1) for number, plan in enumerate(plans * 3)))
    payments.pay((99, MIDNIGHT, "b", 1))
    payments.slots(0, 1)
    payments.days(DAY)
    expected = {"a": 9, "unknown": 9, "other": 3 + 1, "total": 3}
    assert payments.chosen() == {"a", "total"}
    assert payments.values("revenue", "plan") == {(0, plan): value for plan, value in expected.items()}
    assert payments.values("revenue") == {0: 25}
    assert payments.values("revenue", "plan", "metric_daily") == {
        (DAY, plan): value for plan, value in expected.items()
    }


def test_the_first_by_name_of_equal_values_are_kept(payments: Payments) -> None:
    payments.pay(*((1, MIDNIGHT, plan, 1) for plan in "dcba"))
    payments.slots(0, 1)
    assert payments.chosen() == {"a", "b"}


def test_a_value_that_appears_during_the_day_takes_the_free_place(payments: Payments) -> None:
    payments.pay((1, MIDNIGHT, "a", 1), *((1, MIDNIGHT + SLOT, plan, 1) for plan in "bbcc"))
    for number in range(2):
        payments.slots(number, number + 1)
    assert payments.values("revenue", "plan") == {(0, "a"): 1, (1, "a"): 0, (1, "b"): 2, (1, "other"): 2}


def test_only_slots_with_new_values_count_the_events_by_value(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    original = slice_choice._choose_from_stretch
    monkeypatch.setattr(
        slice_choice,
        "_choose_from_stretch",
        lambda warehouse, scope, *more: (counted.append(scope.start), original(warehouse, scope, *more)),
    )
    payments.pay(*((1, MIDNIGHT + number * SLOT, "a", 1) for number in range(3)), (1, MIDNIGHT + 2 * SLOT, "b", 1))
    for number in range(4):
        payments.slots(number, number + 1)
    # A place is free until `b` takes it.
    assert counted == [MIDNIGHT, MIDNIGHT + 2 * SLOT]
    assert payments.values("revenue", "plan")[2, "b"] == 1


def test_a_day_that_is_computed_again_keeps_its_slices(payments: Payments) -> None:
    payments.pay(*((1, MIDNIGHT, plan, 1) for plan in "aabbc"))
    payments.slots(0, 2)
    payments.pay(*((1, MIDNIGHT + MINUTE, "c", 1) for _ in range(9)))
    payments.slots(0, 2)
    payments.days(DAY)
    assert payments.chosen() == {"a", "b"}
    assert payments.values("revenue", "plan")[0, "other"] == 10
    assert payments.values("revenue", "plan", "metric_daily") == {(DAY, "a"): 2, (DAY, "b"): 2, (DAY, "other"): 10}


@pytest.mark.parametrize(("has_history", "first"), [(True, 0), (False, 0), (False, 40)])
def test_the_slices_follow_the_seven_days_before_whatever_is_computed_first(
    payments: Payments, has_history: bool, first: int
) -> None:
    # `old` is eight days back; `early` is large only on the day itself.
    payments.pay(*((1, MIDNIGHT - 8 * _DAY, "old", 1) for _ in range(50)))
    payments.pay(*((1, MIDNIGHT - number * _DAY, "b", 1) for number in range(1, 8)))
    payments.pay(*((1, MIDNIGHT - 7 * _DAY, "a", 1) for _ in range(5)), (1, MIDNIGHT - _DAY, "c", 1))
    payments.pay(*((1, MIDNIGHT + 10 * SLOT, "early", 1) for _ in range(30)))
    if has_history:
        payments.slots(-9 * 96, 0)
    payments.slots(first, 96)
    assert payments.chosen() == {"a", "b"}


def test_a_day_after_folded_days_counts_what_was_folded(payments: Payments) -> None:
    for number in range(1, 8):
        payments.pay(*((1, MIDNIGHT - number * _DAY, plan, 1) for plan in "aabb"))
    # The largest of the week, by its last day alone, on which it is folded.
    payments.pay(*((1, MIDNIGHT - _DAY, "c", 1) for _ in range(15)))
    payments.days(*(DAY - number * _DAY for number in range(7, -1, -1)))
    assert payments.chosen(DAY - _DAY) == {"a", "b"}
    assert payments.chosen() == {"a", "c"}


def test_a_value_that_is_folded_today_has_no_zeros_beside_its_events(payments: Payments) -> None:
    payments.pay(*((1, MIDNIGHT - _DAY, plan, 1) for plan in "xxy"))
    payments.slots(-96, 0)
    assert payments.chosen(DAY - _DAY) == {"x", "y"}
    # Larger values arrive late: today x is no slice of its own any more.
    payments.pay(*((1, MIDNIGHT - 2 * _DAY, plan, 1) for plan in "aaaabbbb"))
    payments.pay((1, MIDNIGHT, "x", 7))
    payments.slots(0, 1)
    assert payments.chosen() == {"a", "b"}
    assert {key: value for key, value in payments.values("revenue", "plan").items() if key[0] == 0} == {(0, "other"): 7}


def test_thousands_of_new_values_within_minutes_stay_one_slice(payments: Payments) -> None:
    payments.pay(*((1, MIDNIGHT - _DAY, plan, 1) for plan in "aab"))
    payments.slots(-96, 0)
    payments.warehouse.execute(
        f"INSERT INTO {payments.table} SELECT number, {{at:DateTime('UTC')}} + number % 600, "
        "concat('random', toString(cityHash64(number))), 1 FROM numbers(20000)",
        {"at": f"{MIDNIGHT:%Y-%m-%d %H:%M:%S}"},
    )
    (result,) = payments.slots(0, 2)
    assert result.violations == ()
    assert payments.chosen() == {"a", "b"}
    assert {key: value for key, value in payments.values("payers", "plan").items() if key[0] == 0} == {
        (0, "a"): 0, (0, "b"): 0, (0, "other"): 20_000,
    }  # fmt: skip
