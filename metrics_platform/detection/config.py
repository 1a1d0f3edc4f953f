"""How a metric is judged: which detectors, how they combine, their thresholds. Validated; unknown names are refused."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Detector = Literal["seasonal", "day_over_day", "iqr"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)
Direction = Literal["both", "up", "down"]


class Strict(BaseModel):
    """Base: frozen, no unknown names, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Seasonal(Strict):
    """Against the same time of day on the days before, see `seasonal.py`."""

    slot_threshold: float = Field(default=4.0, gt=0, description="Deviation of a slot, in standard deviations.")
    hour_threshold: float = Field(default=4.0, gt=0, description="Deviation of the last hour.")
    two_hours_threshold: float = Field(default=4.0, gt=0, description="Deviation of the last two hours.")
    minimum_change: float = Field(
        default=0.12, ge=0, lt=1, description="A smaller share of the expected is never anomalous."
    )


class DayOverDay(Strict):
    """Against the same slot exactly 24 hours earlier."""

    threshold_pct: float = Field(default=50.0, gt=0, description="Change in per cent beyond which a slot is anomalous.")


class Iqr(Strict):
    """Against the quartiles of the slots just before."""

    n: int = Field(
        default=5, ge=2, le=96, description="How many slots the quartiles are taken of, and bounds smoothed over."
    )
    a: float = Field(
        default=4.0, gt=0, description="How many interquartile ranges beyond the quartiles the bounds lie."
    )


class Judging(Strict):
    """How one kind of series (a metric's total, or its slices) is judged."""

    detectors: tuple[Detector, ...] = Field(default=("seasonal",), min_length=1, description="Which detectors judge.")
    combine: Literal["any", "all"] = Field(default="any", description="How many of them must find a slot anomalous.")
    direction: Direction = Field(default="both", description="Whether only rises or only falls are anomalous.")
    minimum_volume: float = Field(
        default=10.0,
        ge=0,
        description="Least expected (of a rise: actual) count, of a rate its denominator, that is judged.",
    )
    slots_in_a_row: int = Field(default=1, ge=1, le=8, description="How many slots in a row must be anomalous.")
    seasonal: Seasonal = Seasonal()
    day_over_day: DayOverDay = DayOverDay()
    iqr: Iqr = Iqr()


class MetricMonitoring(Strict):
    """How a metric is judged, as a whole and by slice, and whether people are told."""

    total: Judging = Judging()
    slices: Judging = Judging()
    judge_slices: bool = Field(default=True, description="Whether its slices are judged, too.")
    critical_change: float = Field(
        default=0.3, gt=0, description="Share of the expected from which an anomaly is critical and not a warning."
    )
    muted_until: AwareDatetime | None = Field(
        default=None, description="Until then its incidents are recorded and nobody is told, as 2026-12-01T09:00+03:00."
    )
