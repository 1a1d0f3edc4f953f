"""Drawing is safe in a long-running process: nothing is imported early, left open or shared."""

from __future__ import annotations

import concurrent.futures
import datetime
import gc
import io
import itertools
import subprocess
import sys
import warnings

import matplotlib
import numpy
import psutil
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from metrics_platform.charts.model import Chart, Panel, draw, shrink
from metrics_platform_tests.charts.pictures import alert, chart, drawn, outside, overlaps, panel, report


def test_importing_charts_does_not_import_what_draws_them() -> None:
    code = (
        "import sys, metrics_platform.charts.model; "
        "print(sorted({'matplotlib', 'seaborn', 'pandas', 'dagster', 'clickhouse_connect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_drawing_leaves_no_figure_and_no_memory() -> None:
    def drawing() -> int:
        draw(alert())
        gc.collect()
        return psutil.Process().memory_info().rss

    # What is imported and cached once is not growth, nor what the allocator keeps: a leak grows in every round.
    memory = [drawing()]
    before = sum(isinstance(thing, Figure) for thing in gc.get_objects())
    memory += [drawing() for _ in range(2)]
    assert sum(isinstance(thing, Figure) for thing in gc.get_objects()) <= before
    assert min(after - earlier for earlier, after in itertools.pairwise(memory)) < 2 * 2**20
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_the_settings_of_the_process_change_no_picture_and_are_left_alone() -> None:
    expected = draw(alert())
    with matplotlib.rc_context({"font.size": 31.0, "text.parse_math": True, "axes.facecolor": "red"}):
        before = dict(matplotlib.rcParams)
        assert draw(alert()) == expected
        assert dict(matplotlib.rcParams) == before


def test_threads_that_draw_at_once_draw_what_one_draws() -> None:
    charts = [alert(0.0), alert(None), report(1, "ru")]
    alone = [draw(one) for one in charts]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(draw, charts)) == alone


values = st.none() | st.floats(-5e14, 5e14) | st.floats(0, 1) | st.integers(0, 20_000)
titles = st.text(max_size=60) | st.sampled_from(["Просмотры", "Сообщений на отправителя " * 5, "$", "$a$ \\frac", "_x"])
starts = st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2198, 1, 1), timezones=st.just(datetime.UTC))


@st.composite
def panels(draw_from: st.DrawFn) -> Panel:
    count = draw_from(st.integers(1, 20))
    start = draw_from(starts)
    step = draw_from(st.sampled_from([datetime.timedelta(minutes=15), datetime.timedelta(days=1)]))
    numbers = sorted(draw_from(st.sets(st.integers(0, 60), min_size=count, max_size=count)))
    moments = tuple(start + number * step for number in numbers)
    column = st.lists(values, min_size=count, max_size=count).map(tuple)
    bounds = draw_from(st.just(()) | column)
    return Panel(
        title=draw_from(titles),
        finding=draw_from(titles),
        unit=draw_from(st.sampled_from(["count", "share", "ratio"])),
        times=moments if step < datetime.timedelta(days=1) else tuple(moment.date() for moment in moments),
        values=draw_from(column),
        previous=draw_from(st.just(()) | column),
        lower=bounds,
        upper=tuple(None if value is None else value + 1 for value in bounds),
        marked=None if step > datetime.timedelta(hours=1) else (draw_from(st.sampled_from(moments)), moments[-1]),
        note=draw_from(st.sampled_from(["", "4,812"])),
    )


# Two days a month apart, beside ticks of many figures.
far_apart = panel(
    (207, None),
    unit="share",
    times=(datetime.date(2196, 12, 21), datetime.date(2197, 1, 21)),
    lower=(198326774885666.88, 1909),
    upper=(198326774885667.88, 1910),
)


@settings(max_examples=max(6, settings().max_examples))
@example(chart(far_apart, language="ru"))
@given(
    one=st.builds(
        Chart,
        name=st.just("any"),
        title=titles,
        subtitle=titles,
        panels=st.lists(panels(), min_size=1, max_size=4).map(tuple),
        timezone=st.sampled_from(["UTC", "Europe/Moscow", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"]),
        language=st.sampled_from(["en", "ru"]),
    )
)
def test_any_chart_is_drawn_without_a_warning(one: Chart) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = drawn(one)
    assert outside(figure) == []
    assert overlaps(figure) == []


def test_a_smaller_picture_shows_the_same_in_fewer_bytes() -> None:
    png = draw(alert())
    small = shrink(png, 960)
    with Image.open(io.BytesIO(png)) as before, Image.open(io.BytesIO(small)) as after:
        assert after.width == 960
        assert abs(after.height / after.width - before.height / before.width) < 0.01
        expected = numpy.asarray(before.convert("RGB").resize(after.size), dtype=float)
        assert abs(numpy.asarray(after.convert("RGB"), dtype=float) - expected).mean() < 6
    assert len(small) < len(png) / 2
