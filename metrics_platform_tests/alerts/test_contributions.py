"""What explains that a total moved."""

from __future__ import annotations

import pytest

from metrics_platform.alerts.anomalies import Series, Verdict, contributions_to


def _verdict(
    dimension: str, value: str, actual: float | None, expected: float | None, trials: float | None = None
) -> Verdict:
    return Verdict(Series("views", dimension, value), "anomalous", value=actual, expected=expected, trials=trials)


TOTAL = _verdict("total", "total", 580, 1000)
ANDROID, IOS = _verdict("os", "Android", 200, 600), _verdict("os", "iOS", 380, 400)
ADS, ORGANIC = _verdict("source", "ads", 290, 500), _verdict("source", "organic", 290, 500)


def test_the_dimension_in_which_the_change_is_most_uneven_explains_it() -> None:
    found = contributions_to(TOTAL, [ADS, ORGANIC, IOS, ANDROID])
    assert [(each.dimension, each.value) for each in found] == [("os", "Android"), ("os", "iOS")]
    assert found[0].change == pytest.approx(-2 / 3)
    assert found[0].share_of_change == pytest.approx(400 / 420)
    assert found[1].share_of_change is None  # a twentieth of the drop is not worth a word


def test_where_all_moved_alike_nothing_explains_it() -> None:
    assert contributions_to(TOTAL, [ADS, ORGANIC]) == ()


def test_slices_without_an_expected_value_and_tiny_ones_are_left_out() -> None:
    unknown, tiny = _verdict("os", "new", 5, None), _verdict("os", "Symbian", 0, 3)
    assert {each.value for each in contributions_to(TOTAL, [ANDROID, IOS, unknown, tiny])} == {"Android", "iOS"}


def test_of_a_rate_a_slice_counts_by_its_trials() -> None:
    total = _verdict("total", "total", 0.10, 0.20, trials=1000)
    small, large = _verdict("os", "iOS", 0.0, 0.20, trials=100), _verdict("os", "Android", 0.111, 0.20, trials=900)
    found = contributions_to(total, [small, large])
    assert [each.value for each in found] == ["Android", "iOS"]
    assert found[1].share_of_change == pytest.approx(0.2)


@pytest.mark.parametrize("total", [
    _verdict("total", "total", None, 1000), _verdict("total", "total", 5, 0), _verdict("total", "total", 7, 7),
])  # fmt: skip
def test_a_total_that_cannot_be_compared_is_explained_by_nothing(total: Verdict) -> None:
    assert contributions_to(total, [ANDROID, IOS]) == ()
