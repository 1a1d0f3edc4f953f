"""What explains that a total moved: the slices of the dimension in which the change is most uneven."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from metrics_platform.alerts.anomalies import Verdict
from metrics_platform.notifications.kinds import Contribution

_SHOWN = 3
# A slice explains something if its share of the change is larger by this than its share of the whole.
_LEAST_SURPLUS = 0.1
_LEAST_SHARE = 0.01


class _Slice(NamedTuple):
    verdict: Verdict
    share_of_change: float
    surplus: float


def contributions_to(total: Verdict, slices: Iterable[Verdict]) -> tuple[Contribution, ...]:
    """The slices that carry the total's deviation, the largest share first; nothing where all moved alike."""
    moved, whole = _moved(total), _expected(total)
    if not moved or not whole:
        return ()
    found: dict[str, list[_Slice]] = defaultdict(list)
    for verdict in slices:
        part, expected = _moved(verdict), _expected(verdict)
        if part is None or not expected or expected / whole < _LEAST_SHARE:
            continue
        share = part / moved
        found[verdict.series.dimension].append(_Slice(verdict, share, share - expected / whole))
    best = max(found.values(), key=lambda group: max(part.surplus for part in group), default=[])
    if not best or max(part.surplus for part in best) < _LEAST_SURPLUS:
        return ()
    best.sort(key=lambda part: -part.share_of_change)
    return tuple(
        Contribution(
            dimension=part.verdict.series.dimension,
            value=part.verdict.series.dimension_value,
            change=part.verdict.change,
            share_of_change=part.share_of_change if part.share_of_change >= _LEAST_SURPLUS else None,
        )
        for part in best[:_SHOWN]
    )


def _moved(verdict: Verdict) -> float | None:
    """By how much it deviates; of a rate, how many successes too many or too few."""
    if verdict.value is None or verdict.expected is None:
        return None
    return (verdict.value - verdict.expected) * (1.0 if verdict.trials is None else verdict.trials)


def _expected(verdict: Verdict) -> float:
    return (verdict.expected or 0.0) * (1.0 if verdict.trials is None else verdict.trials)
