"""A running demo, as a person uses it: Dagster's UI in a headless Chromium, a message in the outbox, Ctrl-C.

It takes some minutes and needs Debian's chromium. Pictures of what was seen are left in the directory that
SCREENSHOTS_DIRECTORY names.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from metrics_platform.connection import parse_url
from metrics_platform.warehouse.client import Warehouse

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
# Enough for the detectors, and half a minute faster than the demo's own 35.
DAYS = 16
# Complete, also for a product whose time is eight hours behind.
DAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=2)
READY_SECONDS = 900  # only a hang reaches it


@dataclass
class Demo:
    """A demo that runs as a child of this test."""

    directory: Path
    port: int
    output: Path
    process: subprocess.Popen[bytes]

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def page(self, path: str) -> str:
        return f"http://localhost:{self.port}{path}"

    def warehouse(self) -> Warehouse:
        return Warehouse(parse_url((self.directory / "clickhouse" / "url").read_text(encoding="utf-8")))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=90)


def _start(directory: Path, port: int, *options: str) -> Demo:
    # One file for each start: what the last one said is not to be taken for what this one says.
    output = directory.with_name(f"demo-{uuid.uuid4().hex}.out")
    command = [sys.executable, "-m", "metrics_platform.cli", "demo", "--no-browser"]
    with output.open("ab") as file:
        process = subprocess.Popen(
            [*command, "--directory", str(directory), "--port", str(port), *options],
            env={**os.environ, "METRICS_TIMEZONE": "UTC", "METRICS_CLICKHOUSE_URL": "http://nobody@127.0.0.1:9/x"},
            stdout=file,
            stderr=subprocess.STDOUT,
            # `stop` presses Ctrl-C; tests in the background ignore it, and a child would, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
    demo = Demo(directory, port, output, process)
    _until(lambda: "Ready in" in demo.said or process.poll() is not None, READY_SECONDS)
    assert process.poll() is None, demo.said
    return demo


def _until(holds: Callable[[], Any], seconds: float) -> Any:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if found := holds():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:g} s")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    directory = tmp_path_factory.mktemp("end_to_end") / "demo"
    demo = _start(directory, port, "--days", str(DAYS), "--fast", "--incident", "outage")
    try:
        yield demo
    finally:
        if demo.process.poll() is None:
            demo.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1500, "height": 950})
    page.set_default_timeout(60_000)
    yield page
    screenshots = Path(os.environ.get("SCREENSHOTS_DIRECTORY", tmp_path))
    screenshots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=screenshots / f"{request.node.name}.png")
    page.close()


def _is_seen(found: Any) -> bool:
    """Whether the first of what is looked for comes into view; it is waited for."""
    found.first.wait_for()
    return bool(found.first.is_visible())


def _content(demo: Demo) -> list[dict[str, Any]]:
    return demo.warehouse().query("SELECT * FROM dimension_metrics ORDER BY ALL").rows


def _runs(demo: Demo, job: str) -> list[dict[str, Any]]:
    import requests

    query = (
        '{ runsOrError(filter: {pipelineName: "%s"}) { ... on Runs { results { runId status tags { key value } } } } }'
    )
    answer = requests.post(demo.page("/graphql"), json={"query": query % job}, timeout=30).json()
    return list(answer["data"]["runsOrError"]["results"])


def _all_done(demo: Demo, job: str, known: set[str]) -> list[dict[str, Any]]:
    runs = [run for run in _runs(demo, job) if run["runId"] not in known]
    return runs if runs and all(run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} for run in runs) else []


def test_the_terminal_says_what_to_click_and_no_warning(demo: Demo) -> None:
    assert f"http://localhost:{demo.port}/locations/metrics_platform/asset-groups/daily" in demo.said
    assert "outbox/index.html" in demo.said
    assert "19 of 20 visits to the feed fail" in demo.said
    assert not re.search(r"warning|traceback|deprecat", demo.said, re.IGNORECASE)


def test_every_daily_table_is_complete_when_the_demo_is_ready(demo: Demo) -> None:
    import requests

    query = (
        '{ assetNodes(group: {groupName: "daily", repositoryName: "__repository__", repositoryLocationName: '
        '"metrics_platform"}) { assetKey { path } partitionStats { numPartitions numMaterialized } } }'
    )
    answer = requests.post(demo.page("/graphql"), json={"query": query}, timeout=30).json()
    counts = {node["assetKey"]["path"][0]: node["partitionStats"] for node in answer["data"]["assetNodes"]}
    assert {"users", "app_daily", "metric_daily", "user_cohorts"} <= set(counts)
    assert {(count["numPartitions"] - count["numMaterialized"]) in (0, 1) for count in counts.values()} == {True}


def test_the_graph_shows_every_table_and_what_comes_from_what(demo: Demo, page: Any) -> None:
    page.goto(demo.page("/asset-groups"))
    for group in ("sources", "daily", "monitoring", "report", "delivery"):
        assert _is_seen(page.get_by_text(group, exact=True))
    page.goto(demo.page("/locations/metrics_platform/asset-groups/daily"))
    for table in ("feed_user_daily", "message_user_daily", "users", "os_slice", "dimension_metrics", "app_daily"):
        assert _is_seen(page.get_by_text(table, exact=True))


def test_a_tables_page_explains_its_columns_and_shows_its_query(demo: Demo, page: Any) -> None:
    page.goto(demo.page("/assets/app_daily"))
    assert _is_seen(page.get_by_text("The facts of the morning report"))
    assert _is_seen(page.get_by_text("← users.last_active_day"))


def test_a_day_that_is_materialised_again_has_the_same_rows(demo: Demo, page: Any) -> None:
    before, known = _content(demo), {run["runId"] for run in _runs(demo, "__ASSET_JOB")}
    page.goto(demo.page(f"/assets/dimension_metrics?view=partitions&partition={DAY}"))
    page.get_by_text("messages_received").first.wait_for()
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("button", name="Launch 1 run").click()
    (run,) = _until(lambda: _all_done(demo, "__ASSET_JOB", known), 120)
    assert run["status"] == "SUCCESS"
    assert _content(demo) == before


def test_a_range_is_backfilled_in_one_run_and_changes_nothing(demo: Demo, page: Any) -> None:
    before, known = _content(demo), {run["runId"] for run in _runs(demo, "daily_etl")}
    first = DAY - datetime.timedelta(days=3)
    page.goto(demo.page("/locations/metrics_platform/jobs/daily_etl"))
    page.get_by_role("button", name="Materialize all").first.click()
    selection = page.get_by_role("dialog").locator("input[type=text]").first
    selection.fill(f"[{first}...{DAY}]")
    selection.press("Tab")
    page.get_by_text("4 partitions").wait_for()
    page.get_by_role("button", name="Launch backfill").click()
    runs = _until(lambda: _all_done(demo, "daily_etl", known), 300)
    assert [run["status"] for run in runs] == ["SUCCESS"]
    tags = {tag["key"]: tag["value"] for tag in runs[0]["tags"]}
    assert tags["dagster/asset_partition_range_start"] == str(first)
    assert tags["dagster/asset_partition_range_end"] == str(DAY)
    assert _content(demo) == before


def test_a_check_says_what_was_judged(demo: Demo, page: Any) -> None:
    _until(lambda: _all_done(demo, "anomaly_check", set()), 120)
    page.goto(demo.page("/assets/verdicts?view=checks&checkDetail=ctr"))
    assert _is_seen(page.get_by_text(re.compile(r"CTR .* at .*, expected .*%")))


def test_an_incident_is_told_once_with_its_chart(demo: Demo, page: Any) -> None:
    def alerts() -> list[Path]:
        pages = (demo.directory / "outbox").glob("*anomaly-*.html")
        return sorted(page for page in pages if "-resolved-" not in page.name)

    (alert,) = _until(alerts, 240)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(alert.as_uri())
    page.get_by_text(re.compile("Feed users −")).first.wait_for()
    assert page.locator("img").count() >= 1
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 300)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    time.sleep(70)  # another slot of the same outage
    assert alerts() == [alert]


def test_what_was_told_is_in_dagster_with_its_text(demo: Demo, page: Any) -> None:
    (page_of_report,) = _until(lambda: list((demo.directory / "outbox").glob("*-report-*.html")), 120)
    key = page_of_report.stem.partition("-report-")[2]
    page.goto(demo.page(f"/assets/notifications?view=partitions&partition=report-{key}"))
    page.get_by_text("delivered: outbox").first.wait_for()
    page.get_by_text("[Show Markdown]").first.click()
    assert _is_seen(
        page.get_by_text("vs expected").or_(page.get_by_text("daily report")).or_(page.get_by_text("a usual day")).first
    )


def test_ctrl_c_leaves_nothing_behind_and_the_next_start_goes_on(demo: Demo) -> None:
    before = {row["event_date"] for row in _content(demo)}
    family = psutil.Process(demo.process.pid).children(recursive=True)
    assert len(family) >= 4
    assert demo.stop() == 0
    assert "All stopped" in demo.said
    assert psutil.wait_procs(family, timeout=5)[1] == []
    again = _start(demo.directory, demo.port)
    try:
        assert re.search(r"Schedules +on\b", again.said)
        assert before <= {row["event_date"] for row in _content(again)}
    finally:
        assert again.stop() == 0
