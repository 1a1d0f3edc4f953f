"""What people see: nothing overlaps, nothing missing is invented, axes are honest and everything has its name."""

from __future__ import annotations

import datetime
import io
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.dates import date2num
from PIL import Image

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.model import Chart, HeatMap, Labels, Panel, Values, draw
from metrics_platform.formats import Language, formats_for
from metrics_platform_tests.charts.pictures import (
    LAST_SLOT,
    LONG,
    QUARTER,
    SATURDAY,
    alert,
    alert_panel,
    artists,
    chart,
    days,
    drawn,
    legend_texts,
    outside,
    overlaps,
    panel,
    points,
    report,
    shown_texts,
    slots,
    texts,
    tick_texts,
)

if TYPE_CHECKING:
    from metrics_platform.charts.figure import ValueAxis

CHARTS = {
    "an outage": alert(0.0),
    "an alert in Russian": alert(4000.0, language="ru", title=LONG, subtitle=LONG * 3),
    "six alerts": alert(0.0, count=6, labels=Labels("actual", "a day earlier", "expected", "incident")),
    "a tick at the end of the axis": chart(*[alert_panel(times=slots(96, LAST_SLOT + QUARTER), marked=None)] * 4),
    "seven panels in Russian": report(7, "ru", [f"{LONG} {number}" for number in range(7)]),
    "one day": chart(panel([5], [4]), panel([0]), panel([None])),
    "all zero": chart(panel([0] * 7, [0] * 7), panel([0.0] * 7, unit="share"), panel([0] * 7, unit="ratio")),
    "a billion": chart(*[panel([1.2e9, 1.3e9, 0.9e9])] * 4, language="ru"),
    "a quarter of days": chart(*[panel([number % 9 for number in range(92)])] * 4),
    "texts of one word": chart(
        panel([1], title="Щ" * 300), panel([1], finding="W" * 99), title="Ж" * 900, subtitle="-" * 900
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_text_is_legible_and_has_its_own_place(name: str) -> None:
    figure = drawn(CHARTS[name])
    assert overlaps(figure) == []
    assert outside(figure) == []
    assert min(text.get_fontsize() for text in shown_texts(figure)) * 390 / figure.bbox.width > 10.9
    for axes in figure.axes:
        inside = {text.get_gid() for text in shown_texts(figure) if axes.bbox.overlaps(text.get_window_extent())}
        assert inside <= {"note", "no data", None}  # ticks, without a name, lie beside their axis
        assert len(axes.get_xticks()) >= 1


@pytest.mark.parametrize("name", ["an outage", "six alerts"])
def test_telegram_takes_the_png_as_a_photo(name: str) -> None:
    png = draw(CHARTS[name])
    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
        assert (image.format, image.mode, image.info) == ("PNG", "RGB", {})
        corners = {image.getpixel(corner) for corner in ((0, 0), (width - 1, 0), (0, height - 1))}
    assert corners == {(255, 255, 255)}
    assert width == 1280
    assert height < 20 * width
    assert len(png) < 2**20


@pytest.mark.parametrize("label", ["2 Nov · 5.3K", "16 нояб. · 10,2 тыс.", "28 сент. · 999,9 тыс."])
def test_the_names_of_rows_fit_into_a_heat_map(label: str) -> None:
    png = draw(HeatMap("test", "Back?", "share", "week · users", (label,), ("+1 w", "+2 w"), ((0.2, 0.1),)))
    pixels = np.asarray(Image.open(io.BytesIO(png)))
    assert (pixels[:, :36] == 255).all()


def test_the_pixels_show_the_line_the_band_and_the_alert_where_they_are() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(draw(alert(0.0)))))

    def columns(color: tuple[int, int, int]) -> tuple[int, int]:
        found = np.flatnonzero((pixels == color).all(axis=2)[300:].any(axis=0))
        return int(found.min()), int(found.max())

    line, band, marked = (columns(color) for color in ((1, 115, 178), (211, 229, 240), (196, 78, 0)))
    assert line[0] < 60
    assert band[0] < 60
    assert band[1] > 1000
    assert marked[0] > 900  # the point and its value are at the right end
    assert line[1] <= marked[1]


# --- gaps ------------------------------------------------------------------------------------------------------------


def test_a_line_shows_the_values_at_the_middle_of_their_days() -> None:
    first = date2num(days(4)[0])
    expected = [(first + day + 0.5, value) for day, value in enumerate([3.0, 100.0, 2.0, 50.0])]
    assert points(drawn(chart(panel([3, 100, 2, 50]))), "values") == expected


@pytest.mark.parametrize(("values", "dots"), [([1, None, 3, 4, None, 6], [1, 6]), ([None, 5, None, 1, 1, 1], [5, 1])])
def test_unknown_values_are_gaps_and_a_value_without_neighbours_a_dot(values: Values, dots: list[float]) -> None:
    figure = drawn(chart(panel(values)))
    assert [None if math.isnan(y) else y for _, y in points(figure, "values")] == list(values)
    (line,) = artists(figure, "values")
    assert [line.get_ydata()[index] for index in line.get_markevery()] == dots


def test_days_and_slots_that_are_not_in_the_times_are_gaps() -> None:
    for times in ((*days(7)[:3], *days(7)[5:]), (*slots(8)[:3], *slots(8)[5:7])):
        ys = [y for _, y in points(drawn(chart(panel([1, 2, 3, 4, 5], times=times))), "values")]
        assert ys[:3] + ys[4:] == [1, 2, 3, 4, 5]
        assert math.isnan(ys[3])


def test_the_band_has_gaps_where_a_bound_is_unknown() -> None:
    figure = drawn(chart(panel([2] * 7, lower=(1, None, 1, 1, 1, 1, 1), upper=(3, 3, 3, 3, None, 3, 3))))
    (band,) = artists(figure, "band")
    first = date2num(days(7)[0]) + 0.5
    spans = [tuple(path.get_extents().intervalx - first) for path in band.get_paths()]
    assert spans == [(0, 0), (2, 3), (5, 6)]


@pytest.mark.parametrize(("language", "said"), [("en", "no data"), ("ru", "нет данных")])
def test_a_panel_without_data_says_so(language: str, said: str) -> None:
    figure = drawn(chart(panel([None] * 7, [None] * 7), language=language, labels=Labels(no_data=said)))
    assert texts(figure, "no data") == [said]
    assert len(tick_texts(figure)) == 7


# --- marks, titles, legend -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [0.0, 4000.0, None])
def test_the_slot_of_the_alert_is_marked_and_has_its_value(last: float | None) -> None:
    figure = drawn(alert(last))
    (span,) = artists(figure, "mark")
    end = date2num(LAST_SLOT + QUARTER)
    assert span.get_x() + span.get_width() == pytest.approx(end)
    assert span.get_width() * figure.axes[0].bbox.width == pytest.approx(14)  # pixels, of a day
    ((x, y),) = points(figure, "marked")
    assert x == pytest.approx(end - 1 / 96 / 2)
    assert y == last or (last is None and math.isnan(y))
    assert texts(figure, "note") == ["no data" if last is None else f"{last:,.0f}"]


def test_an_incident_that_is_over_is_marked_from_its_first_to_its_last_slot() -> None:
    times = slots(96)
    figure = drawn(chart(alert_panel(5000.0, marked=(times[40], times[47]), note="")))
    (span,) = artists(figure, "mark")
    assert (span.get_x(), span.get_width()) == (pytest.approx(date2num(times[40])), pytest.approx(8 / 96))
    assert len(points(figure, "marked")) == 8


def test_the_value_of_a_day_that_fell_is_below_its_point_and_of_one_that_rose_above() -> None:
    for value, below in ((60, True), (140, False), (0, False)):  # below zero there is no room
        figure = drawn(chart(panel([90, 95, value, 92], [90, 100, 90, 95], marked=(days(4)[2],) * 2, note="5")))
        ((x, y),) = points(figure, "marked")
        assert (x, y) == (date2num(days(4)[2]) + 0.5, value)
        (note,) = (text for text in shown_texts(figure) if text.get_gid() == "note")
        box, point = note.get_window_extent(), figure.axes[0].transData.transform((x, y))
        assert (box.y1 < point[1]) if below else (box.y0 > point[1])


@pytest.mark.parametrize(
    ("one", "entries"),
    [
        (alert(count=4), ["actual", "a day earlier", "expected"]),
        (alert(labels=Labels("a", "b", "c", "incident")), ["a", "b", "c", "incident"]),
        (report(3), ["last 7 days", "7 days before"]),
        (chart(panel([1]), labels=Labels("_a", "b", "c", "d")), ["_a"]),
        (chart(panel([1]), labels=Labels()), []),
    ],
)
def test_the_legend_names_once_what_is_there(one: Chart, entries: list[str]) -> None:
    assert legend_texts(drawn(one)) == entries


def test_each_panel_has_its_title_and_finding_unless_it_is_the_only_one() -> None:
    assert texts(drawn(alert()), "panel title") == []
    several = drawn(report(3))
    assert texts(several, "panel title") == ["Metric 0", "Metric 1", "Metric 2"]
    assert texts(several, "finding") == ["22,104 · +3%"] * 3


def test_texts_keep_what_the_fonts_have_and_lose_what_they_have_not() -> None:
    title = "🔴 Views\n$x^2$ & <b>\t\u202e\x00 日本 −41% _y_ \ud800"
    assert texts(drawn(chart(panel([1]), title=title)), "title") == ["Views $x^2$ & <b> \ufffd\ufffd −41% _y_"]


# --- axes ------------------------------------------------------------------------------------------------------------


def axis_of(one: Panel, language: Language = "en") -> ValueAxis:
    from metrics_platform.charts.figure import value_axis  # on use, since every worker collects this file

    return value_axis(one, formats_for(language), 4)


def test_counts_start_at_zero_unless_their_variation_would_not_be_seen_then() -> None:
    for values in ([100, 60, 20], [0, 0, 0], [5, 5, 5], [3], [0, 1e9], [1000] * 7):
        assert axis_of(panel(values)).ticks[0] == 0
    higher = axis_of(panel([22_104, 21_900, 22_500]))
    assert 0 < higher.ticks[0] < 21_900
    assert higher.top - higher.ticks[0] >= 0.1 * 22_500  # so that noise of a per cent looks like noise


def test_the_band_is_in_the_picture_but_does_not_flatten_the_lines() -> None:
    assert axis_of(panel([10, 20], lower=(-50, -50), upper=(50, 50))).ticks[0] == 0
    assert axis_of(panel([10, 20], lower=(0, 0), upper=(1e6, 1e6))).top < 100
    assert axis_of(panel([0, 0], lower=(80, 80), upper=(120, 120))).top >= 120


@pytest.mark.parametrize(
    ("values", "unit", "language", "texts_of_ticks"),
    [
        ([0, 617_487], "count", "en", "0 200K 400K 600K 800K"),
        ([0, 1.2e9], "count", "ru", "0 500\xa0млн 1\xa0млрд 1,5\xa0млрд"),
        ([0, 9_000], "count", "en", "0 2.5K 5K 7.5K 10K"),
        ([0, 3], "count", "en", "0 1 2 3"),
        ([0.201, 0.206], "share", "ru", "18% 19% 20% 21%"),
        ([0.2, 1.0], "share", "en", "0% 25% 50% 75% 100%"),
        ([0, 1.6], "ratio", "ru", "0,0 0,5 1,0 1,5 2,0"),
        ([-5, 10], "ratio", "en", "\N{MINUS SIGN}5 0 5 10"),
    ],
)
def test_ticks_are_written_as_numbers_are_in_the_text(
    values: list[float], unit: Unit, language: Language, texts_of_ticks: str
) -> None:
    assert list(axis_of(panel(values, unit=unit), language).texts) == texts_of_ticks.split(" ")


@given(
    values=st.lists(st.floats(-1e15, 1e15) | st.floats(0, 1) | st.integers(0, 10), min_size=1, max_size=5),
    unit=st.sampled_from(["count", "share", "ratio"]),
)
def test_any_values_lie_within_few_and_different_ticks(values: list[float], unit: Unit) -> None:
    axis = axis_of(panel(values, unit=unit))
    unseen = 1e-8 * (1 + axis.top - axis.ticks[0])  # far less than a pixel
    assert axis.ticks[0] <= min(values) + unseen
    assert max(values) <= axis.top + unseen
    assert 2 <= len(axis.ticks) <= 7
    assert len(set(axis.texts)) == len(axis.texts)


@pytest.mark.parametrize(
    ("count", "panels", "language", "ticks"),
    [
        (7, 1, "en", ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]),
        (7, 4, "en", ["Su", "Mo", "Tu", "We", "Th", "Fr", "Sa"]),
        (7, 4, "ru", ["вс", "пн", "вт", "ср", "чт", "пт", "сб"]),
        (28, 1, "en", ["31 Oct", "7 Nov", "14 Nov", "21 Nov"]),
        (92, 4, "en", ["3 Oct", "21 Nov"]),
        (1, 1, "ru", ["сб"]),
    ],
)
def test_days_are_weekdays_or_dates_whole_weeks_back(count: int, panels: int, language: str, ticks: list[str]) -> None:
    figure = drawn(chart(*[panel([1] * count)] * panels, language=language))
    assert tick_texts(figure) == ticks
    assert figure.axes[0].get_xticklabels()[-1].get_fontweight() == "bold"


@pytest.mark.parametrize(
    ("zone", "ticks"),
    [
        ("Europe/Moscow", ["12:00", "16:00", "20:00", "Sat", "04:00", "08:00"]),
        ("Asia/Kathmandu", ["16:00", "20:00", "Sat", "04:00", "08:00", "12:00"]),
        ("Australia/Lord_Howe", ["20:00", "Sat", "04:00", "08:00", "12:00", "16:00"]),
    ],
)
def test_hours_are_those_of_the_zone_and_midnight_is_the_day_that_begins(zone: str, ticks: list[str]) -> None:
    assert tick_texts(drawn(alert(timezone=zone))) == ticks


@pytest.mark.parametrize(
    ("day", "ticks"),
    [
        (datetime.date(2026, 3, 8), {"04:00": 3, "08:00": 7}),  # New York skips an hour at 02:00
        (datetime.date(2026, 11, 1), {"04:00": 5, "08:00": 9}),  # and repeats one
    ],
)
def test_a_tick_is_where_the_clocks_show_it_also_when_they_change(day: datetime.date, ticks: dict[str, int]) -> None:
    start = datetime.datetime(day.year, day.month, day.day, 4 + (day.month == 3), tzinfo=datetime.UTC)  # midnight
    times = tuple(start + number * QUARTER for number in range(96))
    figure = drawn(chart(alert_panel(times=times, marked=None), timezone="America/New_York"))
    axes = figure.axes[0]
    placed = {label.get_text(): x for label, x in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    assert {text: round((placed[text] - date2num(start)) * 24, 6) for text in ticks} == ticks
    assert SATURDAY not in times
