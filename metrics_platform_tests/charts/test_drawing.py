"""That drawing is safe in a long-running process: nothing imported early, nothing left open, nothing shared."""

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
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from metrics_platform.catalog_entries import Unit
from metrics_platform.charts.draw import draw, smaller
from metrics_platform.charts.model import MAX_VALUE, Band, Chart, Line, Mark, Panel
from metrics_platform_tests.charts.pictures import alert, drawn, outside, overlaps, panel, report


def test_knowing_charts_does_not_import_what_draws_them() -> None:
    code = (
        "import sys, metrics_platform.charts.draw, metrics_platform.charts.model; "
        "print(sorted({'matplotlib', 'seaborn', 'pandas', 'dagster', 'clickhouse_connect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_drawing_leaves_no_figure_and_no_memory() -> None:
    def drawing() -> int:
        for one in (report(6), alert(0.0), alert(0.0)):
            draw(one)
        gc.collect()
        return psutil.Process().memory_info().rss

    # What is imported and cached once is not growth, nor what waits for the collector, nor what the allocator keeps
    # for the next time: what is left over is left in every round.
    memory = [drawing()]
    before = sum(isinstance(thing, Figure) for thing in gc.get_objects())
    memory += [drawing() for _ in range(3)]
    assert sum(isinstance(thing, Figure) for thing in gc.get_objects()) <= before
    assert min(after - earlier for earlier, after in itertools.pairwise(memory)) < 2 * 2**20
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_drawing_leaves_the_process_settings_alone() -> None:
    with matplotlib.rc_context({"font.size": 31.0, "text.parse_math": True}):
        before = dict(matplotlib.rcParams)
        draw(alert())
        assert dict(matplotlib.rcParams) == before


def test_threads_that_draw_at_once_draw_what_one_draws() -> None:
    charts = [alert(0.0), report(3), alert(None), report(2, "ru")]
    alone = [draw(one) for one in charts]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, charts)) == alone


def test_the_largest_panel_is_drawn() -> None:
    first = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    times = tuple(first + number * datetime.timedelta(minutes=15) for number in range(6000))
    png = draw(Chart(name="x", title="x", panels=(panel([number % 700 for number in range(6000)], times=times),)))
    assert len(png) < 2**20


values = st.none() | st.floats(-MAX_VALUE, MAX_VALUE) | st.floats(0, 1) | st.integers(0, 20_000)
titles = st.text(max_size=60) | st.sampled_from(["Просмотры", "Сообщений на отправителя " * 5, "$", "$a$ \\frac", "_x"])
units: st.SearchStrategy[Unit] = st.sampled_from(["count", "share", "ratio"])
moments = st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2198, 1, 1), timezones=st.just(datetime.UTC))


@st.composite
def panels(draw_from: st.DrawFn) -> Panel:
    count = draw_from(st.integers(1, 20))
    regular = draw_from(st.booleans())
    if draw_from(st.booleans()):
        days = st.dates(datetime.date(1971, 1, 1), datetime.date(2198, 1, 1))
        start = draw_from(days)
        times: tuple[datetime.date, ...] = (
            tuple(start + datetime.timedelta(days=number) for number in range(count))
            if regular
            else tuple(sorted(draw_from(st.sets(days, min_size=count, max_size=count))))
        )
    else:
        first = draw_from(moments)
        times = (
            tuple(first + number * datetime.timedelta(minutes=15) for number in range(count))
            if regular
            else tuple(sorted(draw_from(st.sets(moments, min_size=count, max_size=count))))
        )
    column = st.lists(values, min_size=count, max_size=count).map(tuple)
    styles = st.sampled_from(["actual", "previous", "reference"])
    lines = st.lists(st.builds(Line, label=titles, values=column, style=styles), min_size=1, max_size=4)
    pairs = [
        sorted(pair) if None not in pair else pair
        for pair in draw_from(st.lists(st.tuples(values, values), min_size=count, max_size=count))
    ]
    band = Band(label=draw_from(titles), lower=tuple(low for low, _ in pairs), upper=tuple(high for _, high in pairs))
    starts = draw_from(st.lists(moments, max_size=2))
    return Panel(
        title=draw_from(titles),
        times=times,
        lines=tuple(draw_from(lines)),
        unit=draw_from(units),
        band=draw_from(st.sampled_from([None, band])),
        marks=tuple(
            Mark(start=start, end=start + datetime.timedelta(minutes=15), label="judged", style="judged")
            for start in starts
        ),
    )


charts = st.builds(
    Chart,
    name=st.just("any"),
    title=titles,
    subtitle=titles,
    panels=st.lists(panels(), min_size=1, max_size=4).map(tuple),
    timezone=st.sampled_from(["UTC", "Europe/Moscow", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"]),
    language=st.sampled_from(["en", "ru"]),
)


@given(one=charts)
def test_any_valid_chart_is_drawn_without_a_warning(one: Chart) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = draw(one)
        figure = drawn(one)
    assert png.startswith(b"\x89PNG")
    assert len(png) < 2**20
    assert outside(figure) == []
    assert overlaps(figure) == []
    assert Chart.model_validate_json(one.model_dump_json()) == one


def test_a_smaller_picture_shows_the_same_in_fewer_bytes() -> None:
    png = draw(alert())
    small = smaller(png, 960)
    with Image.open(io.BytesIO(png)) as before, Image.open(io.BytesIO(small)) as after:
        assert after.width == 960
        assert abs(after.height / after.width - before.height / before.width) < 0.01
        expected = numpy.asarray(before.convert("RGB").resize(after.size), dtype=float)
        assert abs(numpy.asarray(after.convert("RGB"), dtype=float) - expected).mean() < 6
    assert len(small) < len(png) / 2
    assert smaller(b"no picture", 960) == b"no picture"
