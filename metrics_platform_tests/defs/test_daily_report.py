"""The report through Dagster: shown inline, sent when asked, once for a day and its numbers, and what is wrong said."""

from __future__ import annotations

import base64
import datetime
import functools
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from PIL import Image

from metrics_platform.charts import figure
from metrics_platform.defs.delivery import sending
from metrics_platform.defs.report import writing
from metrics_platform.defs.report.assets import DUE_AT
from metrics_platform.defs.report.writing import LINEAGE, load_state
from metrics_platform.report.facts import LoadState
from metrics_platform.settings import Settings, load_settings
from metrics_platform.time_windows import RANGE_END, RANGE_START
from metrics_platform.warehouse import upstream
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.defs.running import QUIET, CodeLocation, check_outcomes, failure_texts
from metrics_platform_tests.defs.test_daily_runs import DAYS, fill_sources
from metrics_platform_tests.report.days import day, put_days
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.telegram.state import Message

DAY = DAYS[1]
KEY = f"report-{DAY}"
TWO_DAYS = {DAYS[0]: day(40, 30, 10), DAY: day(44, 31, 10)}
NO_DATA, CHECKS_FAILED = "NO DATA", "CHECKS FAILED"


@dataclass
class ReportWorld:
    """A code location, its warehouse, and the delivery to Telegram."""

    location: CodeLocation
    office: PostOffice
    api: BotApi

    def put(self, rows: Mapping[datetime.date, Mapping[str, float | None]]) -> None:
        """Days of `app_daily` as if they had been computed, in place of those that are there."""
        if rows:
            put_days(self.location.settings, rows)

    def report(
        self,
        first: datetime.date = DAY,
        last: datetime.date | None = None,
        *,
        tags: dict[str, str] | None = None,
        **config: Any,
    ) -> dg.ExecuteInProcessResult:
        """A run of `daily_report_job`; `config` as in its launchpad."""
        options: dict[str, Any] = {"partition_key": first.isoformat(), "tags": tags}
        if last is not None:
            options = {"tags": {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}}
        return self.location.definitions.resolve_job_def("daily_report_job").execute_in_process(
            instance=self.location.instance,
            raise_on_error=False,
            run_config={**QUIET, "ops": {"daily_report": {"config": config}}},
            **options,
        )

    def texts(self) -> list[str]:
        """The text or caption of each message in the chat, after everything due was sent."""
        self.office.until_quiet()
        return [message.text for message in self.chat if message.text.splitlines()[1:]]

    @property
    def chat(self) -> list[Message]:
        """The messages in the chat; pictures of an album are one each, with the picture's title."""
        return self.api.messages(self.api.supergroup)


@pytest.fixture(autouse=True, scope="module")
def _each_chart_is_drawn_once() -> Iterator[None]:
    """The same chart gives the same bytes, and most of these reports have the same charts."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figure, "png_of", functools.cache(figure.png_of))
        patched.setattr(sending, "shrink", functools.cache(sending.shrink))
        yield


@pytest.fixture
def world(make_settings: Callable[..., Settings], api: BotApi, instance: dg.DagsterInstance) -> ReportWorld:
    settings = make_settings(
        timezone="America/New_York",
        start_date=DAYS[0],
        dashboard_url="https://bi.example.com/1",
        **api.settings,
    )
    return ReportWorld(CodeLocation(settings, instance), PostOffice(settings, instance), api)


def shown(result: dg.ExecuteInProcessResult, key: str = "") -> dict[str, Any]:
    """The metadata of the materialisation of one partition, or of the only one."""
    found = {
        event.materialization.partition: event.materialization.metadata
        for event in (event.step_materialization_data for event in result.get_asset_materialization_events())
    }
    return dict(found[key or next(iter(found))])


def test_a_materialisation_shows_text_pictures_and_load_and_sends_nothing(world: ReportWorld) -> None:
    fill_sources(world.location.settings)
    assert world.location.run(DAYS[0], DAY).success
    result = world.report()
    assert result.success
    metadata = shown(result)
    text = "\n\n".join(str(value.value) for name, value in metadata.items() if name.startswith("message"))
    assert text.startswith("📊 **Sat 7 Mar** · daily report")
    assert "https://bi.example.com/1" in text
    assert re.search(r"✅ Complete, loaded at \d\d:\d\d · (\d+) of \1 checks", text)
    pictures = re.findall(r"!\[[^]]*\]\(data:image/png;base64,([^)]+)\)", metadata["pictures"].value)
    assert len(pictures) == 2
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert image.format == "PNG"
    assert metadata["data"].value == "complete"
    assert "send: true" in metadata["sent"].value
    assert check_outcomes(result)["daily_report: data_is_complete"].passed
    assert world.texts() == []
    assert world.office.entries(KEY) == []

    # A check of the day fails: that is the first line, until the day is computed well.
    warehouse = Warehouse.from_settings(world.location.settings)
    warehouse.execute(
        f"ALTER TABLE user_daily DELETE WHERE views > 0 AND event_date = '{DAY}' SETTINGS mutations_sync = 2"
    )
    assert not world.location.run(DAY, assets=["app_daily"]).success
    result = world.report(DAYS[0], DAY)
    assert result.success
    assert CHECKS_FAILED in shown(result, str(DAY))["message"].value.splitlines()[0]
    assert "checks failed" in str(check_outcomes(result)["daily_report: data_is_complete"].description)
    assert CHECKS_FAILED not in shown(result, str(DAYS[0]))["message"].value  # the day before is as it was
    assert world.location.run(DAY, assets=["user_daily", "app_daily"]).success
    assert CHECKS_FAILED not in shown(world.report())["message"].value

    # A table lacks the day: that is the first line, too.
    warehouse.execute(f"ALTER TABLE message_user_daily DROP PARTITION '{DAY}'")
    result = world.report(DAYS[0], DAY)
    assert result.success
    metadata = shown(result, str(DAY))
    assert metadata["message"].value.splitlines()[0].endswith("PARTIAL DATA")
    assert "Not computed for this day: `message_user_daily`" in metadata["message"].value
    assert "partial" in metadata["data"].value
    check = check_outcomes(result)["daily_report: data_is_complete"]
    assert not check.passed
    assert f"{DAY}: partial" in str(check.description)
    assert "PARTIAL" not in shown(result, str(DAYS[0]))["message"].value


def test_what_is_sent_is_what_was_shown_once_however_often_it_is_asked_for(world: ReportWorld) -> None:
    world.put(TWO_DAYS)
    result = world.report(send=True)
    assert f"Queued as {KEY}." in shown(result)["sent"].value
    assert "on its way" in shown(world.report(send=True))["sent"].value
    (text,) = world.texts()
    assert text.startswith("📊 Sat 7 Mar · daily report\n")
    row = next(line for line in text.splitlines() if line.startswith("App DAU"))
    assert row in shown(result)["message"].value
    assert [message.text for message in world.chat if message.photo] == [
        "Key metrics",
        "Other metrics",
    ]
    links = [button.url for message in world.chat for row in message.buttons for button in row]
    assert "https://bi.example.com/1" in links
    assert all(message.silent for message in world.chat)

    world.put(TWO_DAYS)  # computed again: the same rows
    again = shown(world.report(send=True))["sent"].value
    assert f"as {KEY} (delivered)" in again and "again: true" in again
    assert world.texts() == [text]


def test_changed_numbers_are_sent_on_request_as_a_correction_in_reply(world: ReportWorld) -> None:
    assert world.report(send=True).success
    (first,) = world.texts()
    assert NO_DATA in first.splitlines()[0]
    world.put(TWO_DAYS)
    assert world.report().success  # not asked to send
    assert world.texts() == [first]
    assert f"a correction, {KEY}-2" in shown(world.report(send=True))["sent"].value
    _, second = world.texts()
    assert second.startswith("📊 Sat 7 Mar · CORRECTED")
    opening, correction = (message for message in world.chat if message.text in (first, second))
    assert correction.reply_to == opening.message_id

    # A return to the first numbers is another correction, sent once.
    Warehouse.from_settings(world.location.settings).execute(f"ALTER TABLE app_daily DROP PARTITION '{DAY}'")
    assert f"a correction, {KEY}-3" in shown(world.report(send=True))["sent"].value
    assert f"queued before, as {KEY}-3" in shown(world.report(send=True))["sent"].value


def test_a_report_that_reached_no_one_is_sent_as_the_first_on_request(world: ReportWorld) -> None:
    assert world.report(send=True).success
    world.api.down()
    world.office.tick()
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)):
        world.office.until_quiet()
        outcome = world.office.outcome(KEY)
        assert outcome is not None
        assert outcome.outcome == "given_up"
        world.api.up()
        assert f"Queued as {KEY}-2." in shown(world.report(send=True))["sent"].value
        (text,) = world.texts()
    assert "CORRECTED" not in text


def test_a_day_that_was_not_computed_is_told_as_missing_and_the_check_warns(
    world: ReportWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "not_computed", None)  # the tables above and the sources are not asked
    for rows in ({}, {DAYS[0]: day(40, 30)}):  # before the first load, and without the day
        world.put(rows)
        result = world.report(send=True)
        assert result.success
        check = check_outcomes(result)["daily_report: data_is_complete"]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert "2026-03-07: no data" in str(check.description)
        metadata = shown(result)
        assert NO_DATA in metadata["message"].value.splitlines()[0]
        assert "pictures" not in metadata
    (text,) = world.texts()
    assert text.splitlines()[0] == "⚠️ Sat 7 Mar · NO DATA"


@pytest.mark.parametrize(
    ("load", "loaded"),
    [
        ({"job_name": "daily_etl"}, True),
        ({"job_name": "daily_etl"}, False),
        ({"job_name": "__ASSET_JOB", "asset_selection": frozenset({dg.AssetKey("app_daily")})}, True),
    ],
)
def test_a_report_that_is_due_waits_for_the_load_in_progress(
    world: ReportWorld, monkeypatch: pytest.MonkeyPatch, load: dict[str, Any], loaded: bool
) -> None:
    monkeypatch.setattr(upstream, "not_computed", None)  # the tables above and the sources are not asked
    monkeypatch.setattr(writing, "_LOAD_BEGINS_SECONDS", 0)
    instance = world.location.instance
    tags = {RANGE_START: DAYS[0].isoformat(), RANGE_END: DAYS[2].isoformat()}
    run = instance.add_run(dg.DagsterRun(tags=tags, status=dg.DagsterRunStatus.STARTED, **load))
    waits: list[float] = []

    def load_ends(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            if loaded:
                world.put(TWO_DAYS)
                instance.report_runless_asset_event(dg.AssetMaterialization("app_daily", partition=DAY.isoformat()))
            else:
                instance.report_run_failed(run)

    world.put({})
    monkeypatch.setattr("time.sleep", load_ends)
    assert world.report(send=True, tags={DUE_AT: "2026-03-08T16:00:00+00:00"}).success
    (text,) = world.texts()
    assert (len(waits), NO_DATA in text) == (2, not loaded)


@pytest.mark.parametrize(("limit", "is_loading"), [("_LOAD_BEGINS_SECONDS", False), ("_MAX_WAIT_SECONDS", True)])
def test_a_report_that_is_due_does_not_wait_beyond_its_limits(
    world: ReportWorld, monkeypatch: pytest.MonkeyPatch, limit: str, is_loading: bool
) -> None:
    if is_loading:
        tags = {"dagster/partition": DAY.isoformat()}
        run = dg.DagsterRun(job_name="daily_etl", tags=tags, status=dg.DagsterRunStatus.STARTED)
        world.location.instance.add_run(run)
    monkeypatch.setattr(writing, "_POLL_SECONDS", 0)
    monkeypatch.setattr(writing, limit, 0.2)
    assert world.report(send=True, tags={DUE_AT: "2026-03-08T16:00:00+00:00"}).success
    (text,) = world.texts()
    assert NO_DATA in text


def test_of_a_range_every_day_is_shown_and_the_last_alone_is_sent(world: ReportWorld) -> None:
    world.put(TWO_DAYS)
    result = world.report(DAY, DAYS[2], send=True)
    assert result.success
    assert [shown(result, date.isoformat())["message"].value.splitlines()[0] for date in DAYS[1:3]] == [
        "📊 **Sat 7 Mar** · daily report",
        "⚠️ **Sun 8 Mar** · NO DATA",
    ]
    (text,) = world.texts()
    assert text.startswith("⚠️ Sun 8 Mar · NO DATA")
    check = check_outcomes(result)["daily_report: data_is_complete"]
    assert (check.passed, check.metadata["days"].value, check.metadata["days with a problem"].value) == (False, 2, 1)


@pytest.mark.parametrize("password", [None, "not-the-password"])
def test_without_a_warehouse_the_run_fails_and_says_the_remedy(
    world: ReportWorld, password: str | None, tmp_path: Path
) -> None:
    secret = world.location.settings.clickhouse_url
    assert secret is not None
    url = re.sub(r":[^:@]+@", f":{password}@", secret.get_secret_value())
    settings = load_settings(
        None, data_dir=tmp_path, start_date=DAYS[0], timezone="America/New_York",
        clickhouse_url=url if password else None,
    )  # fmt: skip
    result = ReportWorld(CodeLocation(settings, world.location.instance), world.office, world.api).report()
    assert not result.success
    text = failure_texts(result)["daily_report"]
    assert "METRICS_CLICKHOUSE_URL" in text
    assert "Traceback" not in text
    assert password is None or password not in text


def test_a_table_of_another_version_is_a_clear_failure(world: ReportWorld) -> None:
    world.put({DAYS[0]: day(40, 30)})
    Warehouse.from_settings(world.location.settings).execute("ALTER TABLE app_daily DROP COLUMN mau")
    result = world.report(DAYS[0])
    assert not result.success
    assert "mau" in failure_texts(result)["daily_report"]


# --- what Dagster knows of the day -----------------------------------------------------------------------------------


def test_a_day_is_as_fresh_as_the_oldest_of_the_latest_computations_of_its_tables(instance: dg.DagsterInstance) -> None:
    assert load_state(instance, "2026-03-07") == LoadState()
    for table in (*LINEAGE, LINEAGE[1]):  # the second one again
        instance.report_runless_asset_event(dg.AssetMaterialization(table.name, partition="2026-03-07"))
    assert load_state(instance, "2026-03-08") == LoadState()
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(LINEAGE[0].name), asset_partitions=["2026-03-07"]), limit=1
    ).records
    expected = datetime.datetime.fromtimestamp(records[0].timestamp, datetime.UTC)
    assert load_state(instance, "2026-03-07") == LoadState(fresh_at=expected)
