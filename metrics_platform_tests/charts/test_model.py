"""What a chart refuses, and that it survives JSON."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from metrics_platform.charts.model import MAX_PANELS, MAX_POINTS, Band, Chart, Line, Mark, Panel
from metrics_platform_tests.charts.pictures import LAST_SLOT, QUARTER, alert, chart, days, panel, report, slots

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize("one", [alert(None), report(3), chart(panel([1, None, 0]))])
def test_a_chart_survives_json(one: Chart) -> None:
    assert Chart.model_validate_json(one.model_dump_json()) == one


def test_the_hour_that_the_clocks_repeat_survives_json() -> None:
    zone = ZoneInfo("America/New_York")
    twice = tuple(datetime.datetime(2026, 11, 1, 1, 30, tzinfo=zone, fold=fold) for fold in (0, 1))
    one = chart(panel([1, 2], times=twice))
    assert Chart.model_validate_json(one.model_dump_json()) == one
    assert one.panels[0].times[1] - one.panels[0].times[0] == datetime.timedelta(hours=1)  # type: ignore[operator]


def test_a_chart_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        report(1).title = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"times": days(2)}, r"lines\[0\].values: 3 values for 2 times in panel 'Views'"),
        ({"times": ()}, "0 times"),
        ({"times": days(MAX_POINTS + 1)}, f"{MAX_POINTS + 1} times"),
        ({"times": days(3)[::-1]}, "2026-11-20 does not come after 2026-11-21"),
        ({"times": (days(1)[0],) * 3}, "2026-11-21 does not come after 2026-11-21"),
        ({"times": tuple(slot.replace(tzinfo=None) for slot in slots(3))}, "2026-11-21 07:15:00 has no time zone"),
        ({"times": (*days(2), NOW + datetime.timedelta(days=9))}, "mixed"),
        ({"times": ("2026-11-19", "2026-11-20", "tomorrow")}, "'tomorrow'"),
        ({"times": ("2026-11-21T00:00",)}, "has no time zone"),
        ({"times": (1, 2, 3)}, "1 is neither a date nor a datetime"),
        ({"times": 7}, "7 is not a tuple"),
        ({"times": (datetime.date(1, 1, 1),)}, "0001-01-01 is outside the years"),
        ({"lines": ()}, "lines"),
        ({"band": Band(label="b", lower=(1,), upper=(1, 2, 3))}, "band.lower: 1 values for 3 times"),
        ({"band": Band(label="b", lower=(1, 2, 3), upper=(3,))}, "band.upper: 1 values for 3 times"),
        ({"unit": "percent"}, "unit"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_panel_names_what_it_refuses(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        panel([1, 2, 3], **fields)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.8e19])
def test_a_value_that_is_no_number_of_things_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValidationError, match=r"values.1"):
        Line(label="x", values=(1, value), style="actual")


def test_a_band_upside_down_and_a_span_backwards_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"lower\[1\]: 5 is above upper\[1\], 4"):
        Band(label="b", lower=(1, 5), upper=(None, 4))
    with pytest.raises(ValidationError, match=r"end: .* is not after start"):
        Mark(start=LAST_SLOT, end=LAST_SLOT, label="judged", style="judged")
    with pytest.raises(ValidationError, match="start"):
        Mark(start=LAST_SLOT.replace(tzinfo=None), end=LAST_SLOT + QUARTER, label="judged", style="judged")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "Daily report"}, "name"),
        ({"name": "../x"}, "name"),
        ({"timezone": "Moscow"}, "'Moscow' is no time zone"),
        ({"timezone": "../../etc/passwd"}, "is no time zone"),
        ({"timezone": ""}, "is no time zone"),
        ({"language": "de"}, "language"),
        ({"panels": ()}, "panels"),
        ({"panels": (panel([1]),) * (MAX_PANELS + 1)}, "panels"),
    ],
)
def test_a_chart_names_what_it_refuses(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Chart(**{"name": "x", "title": "x", "panels": (panel([1]),), **fields})


def test_a_timestamp_of_pandas_is_a_moment() -> None:
    import pandas

    stamps = tuple(pandas.date_range("2026-11-21", periods=2, freq="15min", tz="Europe/Moscow"))
    assert type(Panel(**{**dict(panel([1, 2])), "times": stamps}).times[0]) is datetime.datetime
