"""What a person sees: that nothing overlaps, nothing missing is invented, and everything has its value and its name."""

from __future__ import annotations

import datetime
import io
import math
import struct

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from metrics_platform.charts.draw import draw
from metrics_platform.charts.model import Chart, Mark
from metrics_platform_tests.charts.pictures import (
    LAST_SLOT,
    LONG,
    QUARTER,
    SATURDAY,
    alert,
    artists,
    base_lines,
    boxes,
    chart,
    crossed,
    days,
    drawn,
    outside,
    overlaps,
    panel,
    report,
    series,
    slots,
    texts,
)

CHARTS = {
    "an outage": alert(0.0),
    "an outage without data": alert(None),
    "an alert in Russian": alert(4000.0, language="ru", title=LONG, subtitle=LONG * 3),
    "one panel": chart(panel([1, 2, 3], [3, 2, 1])),
    "two panels": report(2),
    "five panels": report(5),
    "twelve panels": report(12),
    "twelve panels in Russian": report(12, "ru", [f"{LONG} {number}" for number in range(12)]),
    "one day": chart(panel([5], [4]), panel([0]), panel([None])),
    "all zero": chart(panel([0] * 7, [0] * 7), panel([0.0] * 7, unit="share"), panel([0] * 7, unit="ratio")),
    "no data": chart(panel([None] * 7), language="ru"),
    "a billion": chart(*(panel([1.2e9, 1.3e9, 0.9e9], language) for language in (None, [2e9, 1, 4])), language="ru"),
    "constant": chart(panel([7] * 7), panel([1_000_000] * 7), panel([0.2] * 7, unit="share")),
    "negative": chart(panel([-5, 5, -1], unit="ratio")),
    "a quarter of days": chart(*(panel([number % 9 for number in range(92)]) for _ in range(3))),
    "texts of one word": chart(
        panel([1], title="Щ" * 300), panel([1]), panel([1]), title="Ж" * 900, subtitle="-" * 900
    ),
}


@pytest.fixture(params=list(CHARTS), scope="module")
def one(request: pytest.FixtureRequest) -> Chart:
    return CHARTS[request.param]


@pytest.fixture(scope="module")
def figure(one: Chart) -> Figure:
    return drawn(one)


def test_no_text_lies_on_another(figure: Figure) -> None:
    assert overlaps(figure) == []


def test_no_text_leaves_the_picture(figure: Figure) -> None:
    assert outside(figure) == []


def test_all_text_is_legible_on_a_phone(figure: Figure) -> None:
    assert min(text.get_fontsize() for text in figure.texts) * 390 / figure.bbox.width >= 12


def test_no_value_lies_on_a_line_or_leaves_its_axes(figure: Figure) -> None:
    for name, box in boxes(figure, "value"):
        inside = [
            number
            for number, axes in enumerate(figure.axes)
            if axes.bbox.x0 - 1 <= box.x0 and box.x1 <= axes.bbox.x1 + 1
            if axes.bbox.y0 - 4 <= box.y0 and box.y1 <= axes.bbox.y1 + 4
        ]
        assert len(inside) == 1, name
        assert crossed(figure, box, inside[0]) == [], name


def test_no_text_lies_on_axes_but_values_and_no_data(figure: Figure) -> None:
    for name, box in boxes(figure, "title", "subtitle", "legend", "panel title", "time tick"):
        for axes in figure.axes:
            assert not axes.bbox.overlaps(box), name


def test_every_panel_has_few_ticks_of_time(figure: Figure, one: Chart) -> None:
    for axes in figure.axes:
        below = [
            box
            for _name, box in boxes(figure, "time tick")
            if axes.bbox.y0 - 80 < box.y1 < axes.bbox.y0
            and axes.bbox.x0 - 250 < (box.x0 + box.x1) / 2 < axes.bbox.x1 + 60
        ]
        assert 1 <= len(below) <= 8 * (1 if len(one.panels) <= 2 else 2)


def test_the_png_is_one_that_telegram_takes_as_a_photo(one: Chart) -> None:
    png = draw(one)
    image = Image.open(io.BytesIO(png))
    image.load()
    width, height = image.size
    assert image.format == "PNG"
    assert struct.unpack(">II", png[16:24]) == (width, height)
    assert width == 1280
    assert width + height < 10_000
    assert max(width, height) / min(width, height) < 20
    assert len(png) < 2**20
    rgba = image.convert("RGBA")
    assert rgba.getextrema()[3] == (255, 255)
    assert {rgba.getpixel(corner) for corner in ((0, 0), (width - 1, 0), (0, height - 1))} == {(255, 255, 255, 255)}


def test_the_same_chart_gives_the_same_bytes(one: Chart) -> None:
    first = draw(one)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert draw(one) == first


def test_an_alert_is_landscape_and_a_report_is_portrait() -> None:
    assert drawn(alert()).bbox.width > drawn(alert()).bbox.height
    assert drawn(report(12)).bbox.width < drawn(report(12)).bbox.height


def test_a_missing_day_is_a_gap_and_never_zero() -> None:
    figure = drawn(chart(panel([5, None, 7, 8, None, None, 9])))
    line = series(figure, "line actual 0")
    assert [y for _x, y in line if not math.isnan(y)] == [5, 7, 8, 9]
    assert math.isnan(line[1][1])
    assert [y for _x, y in series(figure, "dots actual 0")] == [5, 7, 8, 9]


def test_a_day_that_is_not_in_the_times_is_a_gap() -> None:
    figure = drawn(chart(panel([5, 6, 7, 8], times=(*days(7)[:2], *days(7)[5:]))))
    assert [math.isnan(y) for _x, y in series(figure, "line actual 0")] == [False, False, True, False, False, True]


def test_a_slot_without_neighbours_is_seen_among_many() -> None:
    values = [None, 5.0, None, *[1.0] * 60]
    figure = drawn(chart(panel(values, times=slots(63))))
    assert [y for _x, y in series(figure, "dots actual 0")] == [5, 1]


def test_a_line_shows_the_values_and_nothing_between_them() -> None:
    values = [3.0, 100.0, 2.0, 50.0]
    figure = drawn(chart(panel(values)))
    assert [y for _x, y in series(figure, "line actual 0")][:-1] == values


def test_lines_stand_over_their_own_days() -> None:
    figure = drawn(chart(panel([1, 2, 3])))
    assert [x for x, _y in series(figure, "line actual 0")][:-1] == [day.toordinal() for day in days(3)]


def test_a_band_has_gaps_where_a_bound_is_missing() -> None:
    from metrics_platform.charts.model import Band

    band = Band(label="expected", lower=(1, None, 1, 1, 1, None, 1), upper=(3, 3, 3, None, 3, 3, 3))
    figure = drawn(chart(panel([2] * 7, band=band)))
    assert len(artists(figure, "band")) == 4  # each of the days 1, 3, 5 and 7 on its own


def test_the_last_point_has_its_value() -> None:
    assert texts(drawn(chart(panel([1, 2, 617_487], [9, 9, 9]))), "value") == ["617K"]
    assert texts(drawn(chart(panel([1, 2, 617_487], [9, 9, 9]), language="ru")), "value") == ["617\u00a0тыс."]
    assert texts(drawn(chart(panel([0.1, 0.2016], unit="share"))), "value") == ["20.2%"]


def test_a_missing_last_day_says_so_and_does_not_pass_an_older_value_off() -> None:
    figure = drawn(chart(panel([1, 2, None])))
    assert texts(figure, "value") == []
    assert texts(figure, "no data") == ["no data"]


@pytest.mark.parametrize(("language", "said"), [("en", "no data"), ("ru", "нет данных")])
def test_a_panel_without_data_says_so(language: str, said: str) -> None:
    figure = drawn(chart(panel([None] * 7, [None] * 7), language=language))
    assert texts(figure, "no data") == [said]
    assert texts(figure, "value tick") == []
    assert len(texts(figure, "time tick")) >= 2


def test_two_lines_of_today_have_both_their_values_and_different_colours() -> None:
    from metrics_platform.charts.model import Line

    lines = tuple(
        Line(label=name, values=(10, value), style="actual") for name, value in (("Android", 5), ("iOS", 5.01))
    )
    figure = drawn(chart(panel([1, 2], lines=lines, unit="ratio")))
    assert texts(figure, "value") == ["5", "5.01"]
    assert overlaps(figure) == []
    colours = {artists(figure, f"line actual {number}")[0].get_color() for number in (0, 1)}
    assert len(colours) == 2
    assert texts(figure, "legend")[:2] == ["Android", "iOS"]


def test_the_judged_slot_is_marked_where_it_is() -> None:
    figure = drawn(alert(0.0))
    (span,) = artists(figure, "judged")
    assert span.get_x() <= 23.75
    assert span.get_x() + span.get_width() >= 24
    assert series(figure, "judged point") == [(23.875, 0.0)]
    assert len(artists(figure, "compared")) == 1


def test_a_mark_outside_the_times_changes_nothing() -> None:
    far = Mark(start=LAST_SLOT + 99 * QUARTER, end=LAST_SLOT + 100 * QUARTER, label="later", style="judged")
    figure = drawn(chart(panel([1, 2], times=slots(2), marks=(far,))))
    assert artists(figure, "judged") == []
    assert figure.axes[0].get_xlim() == (0, 0.5)


def test_a_marked_day_is_that_day_in_the_zone() -> None:
    midnight = datetime.datetime(2026, 11, 20, 21, tzinfo=datetime.UTC)  # of the 21st in Moscow
    mark = Mark(start=midnight, end=midnight + datetime.timedelta(days=1), label="judged", style="judged")
    (span,) = artists(drawn(chart(panel([1] * 7, marks=(mark,)))), "judged")
    assert span.get_x() == SATURDAY.toordinal() - 0.5
    assert span.get_width() == pytest.approx(1)


def test_weekends_are_shaded_and_explained() -> None:
    figure = drawn(chart(panel([1] * 7)))
    shaded = [round(span.get_x() + span.get_width() / 2) for span in artists(figure, "weekend")]
    assert [datetime.date.fromordinal(day).isoweekday() for day in shaded] == [7, 6]
    assert "weekend" in texts(figure, "legend")
    assert "weekend" not in texts(drawn(alert()), "legend")


def test_an_axis_that_does_not_start_at_zero_is_torn_and_explained() -> None:
    torn, whole = drawn(chart(panel([22_104, 21_900, 22_500]))), drawn(chart(panel([22_104, 0, 22_500])))
    assert base_lines(torn) == ["torn base"]
    assert base_lines(whole) == ["base"]
    assert "axis not from 0" in texts(torn, "legend")
    assert "axis not from 0" not in texts(whole, "legend")


def test_the_legend_says_each_thing_once() -> None:
    assert texts(drawn(report(12)), "legend")[:2] == ["this week", "the week before"]
    assert texts(drawn(alert()), "legend") == ["today", "yesterday", "a week ago", "expected", "judged", "compared"]


def test_lines_differ_in_more_than_colour() -> None:
    figure = drawn(alert())
    styles = [artists(figure, f"line {style} 0")[0] for style in ("actual", "previous", "reference")]
    assert len({line.get_linestyle() for line in styles} | {str(line._unscaled_dash_pattern) for line in styles}) >= 3
    assert styles[0].get_linewidth() > styles[1].get_linewidth() > styles[2].get_linewidth()


def test_a_long_unit_is_in_the_title_once_also_where_the_title_is_cut() -> None:
    figure = drawn(chart(*(panel([0, 617_487], title=LONG) for _ in range(3)), language="ru"))
    (*_, last) = texts(figure, "panel title")
    assert last.endswith("тыс.")
    assert all(text.endswith("…, тыс.") for text in texts(figure, "panel title")[1:4:2])
    assert "500" in texts(figure, "value tick")


def test_a_single_panel_does_not_repeat_the_title() -> None:
    assert texts(drawn(alert(title="Просмотры Views −41%")), "panel title") == []
    assert texts(drawn(alert(title="CTR −41%")), "panel title") == ["Views"]


def test_texts_keep_what_the_font_has_and_lose_what_it_has_not() -> None:
    title = "🔴 Views\n$x^2$ & <b>\t\u202e\x00 日本 −41% _y_ \ud800"
    assert texts(drawn(chart(panel([1]), title=title)), "title") == ["Views $x^2$ & <b> \ufffd\ufffd −41% _y_"]


def test_a_label_that_starts_with_an_underscore_is_in_the_legend() -> None:
    from metrics_platform.charts.model import Line

    line = Line(label="_private", values=(1,), style="actual")
    assert texts(drawn(chart(panel([1], lines=(line,)))), "legend")[0] == "_private"


def test_an_empty_title_leaves_no_trace() -> None:
    figure = drawn(chart(panel([1], title=""), title="", subtitle=""))
    assert texts(figure, "title") == texts(figure, "panel title") == []
