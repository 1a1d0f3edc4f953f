"""How a metric's series are evaluated: which detectors, how they combine, and their thresholds."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Detector = Literal["seasonal", "day_over_day", "iqr"]
DETECTORS: tuple[Detector, ...] = get_args(Detector)
Direction = Literal["both", "up", "down"]
# count: a number of things, with counting noise. gauge: any number, without it. share: the numerator is a part of the
# denominator. ratio: it is not.
Kind = Literal["count", "gauge", "share", "ratio"]


class Strict(BaseModel):
    """Base: frozen, refuses unknown names and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Seasonal(Strict):
    """Compares a slot with the same time of day on earlier days, see `seasonal.py`."""

    slot_threshold: float = Field(default=4.5, gt=0, description="Deviation of a slot, in standard deviations.")
    hour_threshold: float = Field(default=4.5, gt=0, description="Deviation of the last hour.")
    two_hours_threshold: float = Field(default=4.5, gt=0, description="Deviation of the last two hours.")
    minimum_change: float = Field(
        default=0.15,
        ge=0,
        lt=1,
        description="A smaller change, as a share of the expected value, is normal. If a sibling is anomalous, half of "
        "the default is enough. A value of your own always holds.",
    )


class DayOverDay(Strict):
    """Compares a slot with the same slot exactly 24 hours earlier."""

    threshold_pct: float = Field(default=50.0, gt=0, description="Change in per cent beyond which a slot is anomalous.")


class Iqr(Strict):
    """Compares a slot with the quartiles of the slots just before it."""

    n: int = Field(
        default=5, ge=2, le=96, description="Number of slots for the quartiles and for smoothing the bounds."
    )
    a: float = Field(
        default=4.0, gt=0, description="Distance of the bounds from the quartiles, in interquartile ranges."
    )


class DetectorConfig(Strict):
    """How one kind of series (a metric's total, or its slices) is evaluated."""

    detectors: tuple[Detector, ...] = Field(default=("seasonal",), min_length=1, description="The detectors to run.")
    combine: Literal["any", "all"] = Field(
        default="any", description="Whether any or all of the detectors must find a slot anomalous."
    )
    direction: Direction = Field(default="both", description="Whether rises, falls or both are anomalous.")
    minimum_volume: float = Field(
        default=10.0,
        ge=0,
        le=1e15,
        description="Least expected count to evaluate. For a rise, the actual count; for a share, the denominator; for "
        "a gauge or a ratio, the events of its source in a usual slot.",
    )
    slots_in_a_row: int = Field(default=1, ge=1, le=8, description="How many slots in a row must be anomalous.")
    seasonal: Seasonal = Field(default=Seasonal(), description="Thresholds of the detector `seasonal`.")
    day_over_day: DayOverDay = Field(default=DayOverDay(), description="Threshold of the detector `day_over_day`.")
    iqr: Iqr = Field(default=Iqr(), description="Parameters of the detector `iqr`.")

    @property
    def uses_siblings(self) -> bool:
        """Whether siblings can make a slot anomalous: not if it must last, or if a second detector must agree."""
        return self.slots_in_a_row == 1 and (self.combine == "any" or len(self.detectors) == 1)


class MonitorConfig(Strict):
    """How a metric is evaluated, as a whole and by slice, and whether people are notified."""

    # For the whole product.
    total: DetectorConfig | None = DetectorConfig()
    # For each slice. None: not evaluated.
    slices: DetectorConfig | None = DetectorConfig()
    critical_change: float = Field(
        default=0.3, gt=0, description="Change, as a share of the expected value, from which an anomaly is critical."
    )
    muted_until: AwareDatetime | None = Field(
        default=None,
        description="Until then incidents are recorded and no one is notified, for example 2026-12-01T09:00+03:00.",
    )
