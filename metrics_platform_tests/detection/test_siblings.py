"""A series that deviates a little is anomalous where its siblings are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metrics_platform.detection.evaluate import SUPPORTED, TOTAL, Member, with_siblings
from metrics_platform.detection.seasonal import EMPTY
from metrics_platform.detection.series import Detections, Reason, Status

IOS = ("os", "iOS")


def _found(*strengths: float) -> Detections:
    """One slot of several series."""
    strength = np.array([strengths])
    numbers = {name: np.ones(strength.shape) for name in ("value", "expected", "lower", "upper", "score")}
    anomalous = np.abs(strength) >= 1
    return Detections(
        status=np.where(anomalous, Status.ANOMALOUS, Status.NORMAL).astype(np.int8),
        reason=np.where(anomalous, Reason.THIS_SLOT, Reason.WITHIN_BAND).astype(np.int8),
        strength=strength,
        **numbers,
    )


def _member(metric: str, found: Detections, *names: tuple[str, str], uses_siblings: bool = True) -> Member:
    parts = ("likes", "views") if metric == "ctr" else ()
    return Member(metric, names or (TOTAL,), found, *parts, uses_siblings=uses_siblings)


def _moved(found: Detections, *moved: float) -> Detections:
    """The same, so far from the expected value."""
    return replace(found, value=found.expected + np.array([moved]))


@pytest.mark.parametrize(("strength", "expected"), [
    (-SUPPORTED, Status.ANOMALOUS),
    (-SUPPORTED + 0.01, Status.NORMAL),
    (SUPPORTED, Status.NORMAL),
], ids=["as far", "not far enough", "the other way"])  # fmt: skip
def test_a_metric_needs_less_where_another_of_its_source_is_anomalous(strength: float, expected: Status) -> None:
    _, found = with_siblings([_member("views", _found(-1.2)), _member("likes", _found(strength))])
    assert found.status[0, 0] == expected
    assert found.reason[0, 0] == (Reason.WITH_SIBLING if expected else Reason.WITHIN_BAND)


def test_a_slice_is_supported_by_its_total() -> None:
    total, part = with_siblings([_member("views", _found(-1.2)), _member("views", _found(-0.8), IOS)])
    assert (total.anomalous.item(), part.anomalous.item()) == (True, True)


def _empty(strength: float, value: float = 0.0) -> Detections:
    """A slot without events, of a count or (NaN) of a share."""
    found = _found(strength)
    status = Status.UNKNOWN if np.isnan(value) else found.status
    reason = np.where(found.anomalous, Reason.NO_DATA, Reason.WITHIN_BAND).astype(np.int8)
    return replace(found, status=np.full((1, 1), status), reason=reason, value=np.full((1, 1), value))


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["a count", "a share"])
@pytest.mark.parametrize(("other", "expected"), [
    (_empty(-1.2), True),
    (_empty(-0.9), False),
    (_found(-1.2), False),
], ids=["no events", "too few to know", "fewer events"])  # fmt: skip
def test_an_empty_slot_is_part_of_its_siblings_outage_however_few_are_expected(
    value: float, other: Detections, expected: bool
) -> None:
    for metric, name in (("likes", TOTAL), ("likes", IOS), ("views", IOS)):
        _, found = with_siblings([_member("users", other), _member(metric, _empty(EMPTY, value), name)])
        assert found.anomalous.item() == expected
        assert found.reason.item() == (Reason.NO_DATA if expected else Reason.WITHIN_BAND)


def test_a_slot_with_events_or_of_another_direction_is_no_part_of_an_outage() -> None:
    for part in (_empty(EMPTY, 1.0), _empty(0.0)):
        assert not with_siblings([_member("users", _empty(-1.2)), _member("likes", part)])[1].anomalous.any()


@pytest.mark.parametrize(("other", "users", "expected"), [
    (_empty(-1.2), 0.0, True),
    (_empty(-1.2), 3.0, False),
    (_empty(-0.9), 0.0, False),
    (_found(-1.2), 0.0, False),
], ids=["all silent", "with users", "perhaps chance", "not silent"])  # fmt: skip
@pytest.mark.parametrize("name", [TOTAL, IOS], ids=["total", "slice"])
def test_a_slice_without_events_is_part_of_another_sources_outage(
    name: tuple[str, str], other: Detections, users: float, expected: bool
) -> None:
    members = [_member("users", _empty(EMPTY, users), name), _member("likes", _empty(EMPTY), name)]
    users_found, likes_found = with_siblings(members, [_member("payments", other)])
    assert (users_found.anomalous.item(), likes_found.anomalous.item()) == (expected, expected)
    assert not with_siblings(members, [_member("payments", other, ("os", "web"))])[1].anomalous.any()


def test_a_share_without_a_whole_is_no_evidence_of_an_outage() -> None:
    assert not with_siblings([_member("ctr", _empty(-1.2, np.nan)), _member("views", _empty(EMPTY))])[1].anomalous.any()


@pytest.mark.parametrize(("share", "adds_up", "expected"), [
    (0.6, True, True),
    (0.4, True, False),
    (5.0, False, False),
], ids=["most of it", "a smaller part", "an average"])  # fmt: skip
def test_a_total_is_supported_by_a_slice_that_explains_its_change(share: float, adds_up: bool, expected: bool) -> None:
    total = replace(_member("views", _moved(_found(-0.8), -100.0)), adds_up=adds_up)
    part = _member("views", _moved(_found(-1.2), -100.0 * share), IOS)
    assert with_siblings([total, part])[0].anomalous.item() == expected


@pytest.mark.parametrize(("strength", "share", "expected"), [
    (-0.2, 0.1, True),
    (-0.05, 0.1, False),
    (0.2, 0.1, False),
    (-0.2, 0.05, False),
], ids=["it moves too", "hardly", "the other way", "a small slice"])  # fmt: skip
def test_a_slice_that_moves_its_total_needs_little_of_the_total(strength: float, share: float, expected: bool) -> None:
    total = replace(_found(strength), expected=np.full((1, 1), 1000.0), value=np.full((1, 1), 950.0))
    part = _member("views", _moved(_found(-1.2), -1000.0 * share), IOS)
    assert with_siblings([_member("views", total), part])[0].anomalous.item() == expected


def test_series_are_matched_by_name_and_not_by_place() -> None:
    web = ("os", "web")
    _, found = with_siblings(
        [_member("views", _found(-1.2, 0.0), IOS, web), _member("likes", _found(-0.8, -0.8), web, IOS)]
    )
    assert found.anomalous.tolist() == [[False, True]]


@pytest.mark.parametrize(("metric", "strength", "expected"), [
    ("likes", -0.8, True),
    ("likes", 0.8, False),
    ("views", 0.8, True),
    ("views", -0.8, False),
    ("feed_users", -0.8, False),
])  # fmt: skip
def test_a_falling_share_supports_its_numerators_fall_and_its_denominators_rise(
    metric: str, strength: float, expected: bool
) -> None:
    _, found = with_siblings([_member("ctr", _found(-1.2)), _member(metric, _found(strength))])
    assert found.anomalous.item() == expected
    if metric != "feed_users":
        share, _ = with_siblings([_member("ctr", _found(-0.8)), _member(metric, _found(1.5 * strength))])
        assert share.anomalous.item() == expected


def test_a_metric_whose_anomalies_must_last_is_left_alone() -> None:
    members = [_member("views", _found(-1.2)), _member("likes", _found(-0.8), uses_siblings=False)]
    assert not with_siblings(members)[1].anomalous.any()


def test_support_does_not_spread_from_what_was_itself_supported() -> None:
    found = with_siblings([
        _member("views", _found(-1.2), IOS),
        _member("likes", _found(-0.8), IOS),
        _member("feed_users", _found(-0.8)),
    ])  # fmt: skip
    assert [detections.anomalous.item() for detections in found] == [True, True, False]
