"""A series that deviates a little is anomalous where its siblings are."""

from __future__ import annotations

import numpy as np
import pytest

from metrics_platform.detection.detections import Detections, Reason, Status
from metrics_platform.detection.siblings import SUPPORTED, TOTAL, Member, with_siblings

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


def _member(
    metric: str, found: Detections, *names: tuple[str, str], quotient: bool = False, listens: bool = True
) -> Member:
    return Member(metric, names or (TOTAL,), found, is_quotient=quotient, listens=listens)


@pytest.mark.parametrize(("strength", "expected"), [
    (-SUPPORTED, Status.ANOMALOUS),
    (-SUPPORTED + 0.01, Status.NORMAL),
    (SUPPORTED, Status.NORMAL),
], ids=["as far", "not far enough", "the other way"])  # fmt: skip
def test_a_metric_needs_less_where_another_of_its_source_is_anomalous(strength: float, expected: Status) -> None:
    _, found = with_siblings([_member("views", _found(-1.2)), _member("likes", _found(strength))])
    assert found.status[0, 0] == expected
    assert found.reason[0, 0] == (Reason.WITH_SIBLING if expected else Reason.WITHIN_BAND)


def test_a_slice_is_supported_by_its_total_and_not_the_other_way_round() -> None:
    total, part = with_siblings([_member("views", _found(-1.2)), _member("views", _found(-0.8), IOS)])
    assert (total.anomalous.item(), part.anomalous.item()) == (True, True)
    total, _ = with_siblings([_member("views", _found(-0.8)), _member("views", _found(-1.2), IOS)])
    assert not total.anomalous.any()


def test_series_are_matched_by_name_and_not_by_place() -> None:
    web = ("os", "web")
    _, found = with_siblings(
        [_member("views", _found(-1.2, 0.0), IOS, web), _member("likes", _found(-0.8, -0.8), web, IOS)]
    )
    assert found.anomalous.tolist() == [[False, True]]


def test_a_share_neither_supports_a_count_nor_is_supported_by_one() -> None:
    members = [_member("views", _found(0.8)), _member("ctr", _found(1.2), quotient=True)]
    assert not with_siblings(members)[0].anomalous.any()
    members = [_member("views", _found(1.2)), _member("ctr", _found(0.8), quotient=True)]
    assert not with_siblings(members)[1].anomalous.any()


def test_a_metric_whose_anomalies_must_last_is_left_alone() -> None:
    members = [_member("views", _found(-1.2)), _member("likes", _found(-0.8), listens=False)]
    assert not with_siblings(members)[1].anomalous.any()


def test_support_does_not_spread_from_what_was_itself_supported() -> None:
    found = with_siblings([
        _member("views", _found(-1.2), IOS),
        _member("likes", _found(-0.8), IOS),
        _member("likes", _found(-0.8)),
    ])  # fmt: skip
    assert [each.anomalous.item() for each in found] == [True, True, False]
