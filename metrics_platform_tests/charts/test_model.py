"""What a chart refuses: the error names the field."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest

from metrics_platform.charts.model import MAX_PANELS, Chart
from metrics_platform_tests.charts.pictures import days, panel, slots


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"times": days(2)}, "values of panel 'Views': 3 values for 2 times"),
        ({"times": ()}, "times are empty"),
        ({"times": days(3)[::-1]}, "2026-11-20 comes after 2026-11-21"),
        ({"times": tuple(slot.replace(tzinfo=None) for slot in slots(3))}, "2026-11-21 07:15:00 has no time zone"),
        ({"times": (*days(2), datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC))}, "times mix dates and datetimes"),
        ({"values": (1, float("nan"), 3)}, "values of panel 'Views': nan is not a number"),
        ({"previous": (1, 2, 1.8e19)}, "previous of panel 'Views': 1.8e\\+19 is not a number within ±1e\\+15"),
        ({"lower": (1,), "upper": (1, 2, 3)}, "lower of panel 'Views': 1 values for 3 times"),
        ({"lower": (1, 2, 3)}, "one bound"),
    ],
)
def test_a_panel_names_what_it_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(panel([1, 2, 3]), **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Daily report"}, "name 'Daily report' is not a slug"),
        ({"timezone": "Moscow"}, "timezone 'Moscow' is not in the IANA database"),
        ({"panels": ()}, "panels: 0 given"),
        ({"panels": (panel([1]),) * (MAX_PANELS + 1)}, f"panels: {MAX_PANELS + 1} given"),
    ],
)
def test_a_chart_names_what_it_refuses(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Chart(**{"name": "x", "title": "x", "panels": (panel([1]),), **fields})
