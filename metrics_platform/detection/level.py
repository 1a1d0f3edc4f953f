"""Today's level: how the last hours compare with what is usual, the latest weighing most."""

from __future__ import annotations

from typing import Any

import numpy as np

from metrics_platform.detection.arrays import before
from metrics_platform.detection.days import LEVEL_SLOTS
from metrics_platform.detection.series import Floats, SlotSeries

# A slot's weight halves in an hour, and the usual level weighs two slots.
_DECAY = 0.5 ** (1 / 4)
_PULL = 2.0
_WEIGHT = sum(_DECAY**step for step in range(LEVEL_SLOTS))
_BOUNDS = (0.2, 5.0)
# No slot moves the level far, so that an outage does not become the norm while it begins.
_STEP = 0.15
_STEP_SIGMAS = 2.5


def level_of(series: SlotSeries, actual: Floats, usual: Floats) -> Floats:
    """Today's level at each position, from the LEVEL_SLOTS before it; 1 where none of them is known."""
    good = np.isfinite(actual) & np.isfinite(usual)
    sign = np.where(good, np.sign(usual), 0.0)  # a negative gauge grows downwards
    pad = ((LEVEL_SLOTS, 0), (0, 0))
    value, plain = (np.pad(np.where(good, each * sign, 0.0), pad) for each in (actual, usual))
    count = len(actual)
    above, below, level = np.zeros_like(actual), np.zeros_like(actual), np.ones_like(actual)
    pull = _PULL / LEVEL_SLOTS * sum(plain[step : step + count] for step in range(LEVEL_SLOTS))
    for step in range(LEVEL_SLOTS):
        meant = plain[step : step + count] * level
        room = _STEP * meant
        if not series.is_gauge:
            room = np.maximum(room, _STEP_SIGMAS * np.sqrt(meant))
        above = _DECAY * above + np.clip(value[step : step + count], meant - room, meant + room)
        below = _DECAY * below + plain[step : step + count]
        level = _ratio(above + pull, below + pull)
    return level


def _ratio(above: Any, below: Any) -> Floats:
    """The quotient, within the bounds of a level; 1 where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.where(below > 0, above / below, 1.0), *_BOUNDS))


def _recent(values: Floats) -> Floats:
    """The sum of the LEVEL_SLOTS values before each position, the latest first, each weighing _DECAY of the next."""
    total, length = values, 1
    while length < LEVEL_SLOTS:
        total = total + _DECAY**length * before(total, length, 0.0)
        length *= 2
    return before(total, 1, 0.0)


def levels_then(then: Floats, usual: Floats) -> Floats:
    """The level that each earlier day had at each position, [positions, series, lags]."""
    good = np.isfinite(then) & np.isfinite(usual)
    sign = np.sign(usual)
    above = _recent(np.where(good, then * sign, 0.0))
    below = _recent(np.where(good, np.abs(usual), 0.0))
    pull = _PULL * below / _WEIGHT
    return _ratio(above + pull, below + pull)
