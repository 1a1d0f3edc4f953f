"""What Dagster loads: the inventory, so that a change of it is seen, and that loading it is cheap and quiet."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.run_request import InstigatorType

import metrics_platform
from metrics_platform.catalog import builtin_catalog
from metrics_platform.defs import build_definitions
from metrics_platform.defs.daily.schedule import days_to_compute
from metrics_platform.defs.executor import is_parallel
from metrics_platform.settings import SettingsError, load_settings

DAILY = {
    "feed_user_daily", "message_user_daily", "users", "user_daily",
    "os_slice", "gender_slice", "age_slice", "dimension_metrics", "app_daily", "metric_daily",
    "user_cohorts",
}  # fmt: skip
UPSTREAM = {
    "feed_user_daily": {"feed_actions"},
    "message_user_daily": {"message_actions"},
    "users": {"feed_user_daily", "message_user_daily", "users"},
    "user_daily": {"feed_user_daily", "message_user_daily", "users"},
    "os_slice": {"user_daily"},
    "gender_slice": {"user_daily"},
    "age_slice": {"user_daily"},
    "dimension_metrics": {"os_slice", "gender_slice", "age_slice"},
    "app_daily": {"user_daily", "users"},
    "user_cohorts": {"users"},
    "daily_report": {"app_daily", "metric_daily"},
    "metric_daily": {"feed_actions", "message_actions"},
    "slot_metrics": {"feed_actions", "message_actions"},
    "verdicts": {"slot_metrics"},
    "incidents": {"verdicts"},
    "notifications": {"channels", "daily_report", "incidents"},
}
MONITORING = ("slot_metrics", "verdicts", "incidents")

GROUPS = {
    "feed_actions": "sources", "message_actions": "sources",
    "channels": "delivery", "notifications": "delivery", "daily_report": "report",
    "slot_metrics": "monitoring", "verdicts": "monitoring", "incidents": "monitoring",
}  # fmt: skip


SETTINGS = load_settings(None, timezone="Europe/Moscow", start_date="2026-01-01", clickhouse_url="http://u:p@h:1/d")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(SETTINGS)


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> BaseAssetGraph[Any]:
    return definitions.resolve_asset_graph()


def test_the_code_location_is_one_that_dagster_loads(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    repository = definitions.get_repository_def()
    assert {job.name for job in repository.get_all_jobs()} >= {"daily_etl", "daily_report_job", "notify"}


def test_the_asset_graph_is_the_one_of_the_design(graph: BaseAssetGraph[Any]) -> None:
    names = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert set(names) == DAILY | set(GROUPS)
    for name, upstream in UPSTREAM.items():
        assert {key.to_user_string() for key in names[name].parent_keys} == upstream, name


def test_every_asset_says_what_it_is(graph: BaseAssetGraph[Any]) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and len(node.description) > 60, key
        assert node.description[0].isalpha(), "the catalogue's list shows it raw, without Markdown"
        assert node.owners == ["team:metrics"], key
        name = key.to_user_string()
        assert node.group_name == ("daily" if name in DAILY else GROUPS[name])
        if GROUPS.get(name) in ("delivery", "report"):
            continue
        assert "clickhouse" in node.kinds or name == "verdicts", key
        columns = node.metadata["dagster/column_schema"].columns
        assert columns and all(column.description for column in columns), key


def test_every_daily_asset_has_blocking_checks_and_recomputes_a_range_in_one_run(graph: BaseAssetGraph[Any]) -> None:
    for name in DAILY:
        node = graph.get(dg.AssetKey(name))
        specs = [graph.get_check_spec(key) for key in node.check_keys]
        assert specs and all(spec.description for spec in specs), name
        assert all(spec.blocking for spec in specs if spec.name != "day_is_usual"), name
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        partitions = node.partitions_def
        assert isinstance(partitions, dg.DailyPartitionsDefinition)
        assert partitions.timezone == "Europe/Moscow"
        assert partitions.get_first_partition_key() == "2026-01-01"


def test_the_monitor_backfills_a_day_at_a_time_and_only_its_values_can_block(graph: BaseAssetGraph[Any]) -> None:
    checks = {}
    for name in MONITORING:
        node = graph.get(dg.AssetKey(name))
        assert node.backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
        checks[name] = {spec.name: spec.blocking for spec in map(graph.get_check_spec, node.check_keys)}
    assert checks == {
        "slot_metrics": {
            **dict.fromkeys(("reconciles_with_source", "slices_add_up", "grid_is_full"), True),
            "catalog_is_valid": False,
        },
        "verdicts": dict.fromkeys(builtin_catalog().metrics, False),
        "incidents": {},
    }


def test_jobs_and_schedules_with_their_cron_and_zone(definitions: dg.Definitions) -> None:
    assert [job.name for job in definitions.jobs or []] == [
        "daily_etl", "daily_report_job", "anomaly_check", "notify", "check_channels",
        "clean_up",
    ]  # fmt: skip
    schedules = {
        schedule.name: (schedule.cron_schedule, schedule.execution_timezone)
        for schedule in definitions.schedules or []
        if isinstance(schedule, dg.ScheduleDefinition)
    }
    assert schedules == {
        "daily_etl_schedule": ("5 0 * * *", "Europe/Moscow"),
        "daily_report_schedule": ("0 11 * * *", "Europe/Moscow"),
        "anomaly_check_schedule": ("1,16,31,46 * * * *", "UTC"),
        "clean_up_schedule": ("40 4 * * *", "Europe/Moscow"),
    }
    job = definitions.resolve_job_def("daily_etl")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == DAILY


def test_a_dimension_switched_on_is_one_more_slice() -> None:
    graph = build_definitions(load_settings(None, extra_dimensions="source,age_group")).resolve_asset_graph()
    parents = graph.get(dg.AssetKey("dimension_metrics")).parent_keys
    expected = {"os_slice", "gender_slice", "age_slice", "source_slice", "age_group_slice"}
    assert {key.to_user_string() for key in parents} == expected


def test_no_secret_is_in_what_dagster_stores_of_the_resources() -> None:
    token = "123456789:" + "s" * 35
    telegram = {"telegram_bot_token": token, "telegram_chat_id": "-1001"}
    resources = build_definitions(load_settings(None, clickhouse_url="http://u:pa55-w0rd@h:1/d", **telegram)).resources
    assert {name: set(type(resource).model_fields) for name, resource in (resources or {}).items()} == {
        "clickhouse": {"timeout_seconds", "max_memory_mb"},
        "telegram": {"chat_id", "thread_id", "api_base", "budget_seconds"},
    }
    assert "pa55-w0rd" not in repr(resources) and token not in repr(resources)


def test_sensors_with_what_they_start_and_that_they_run_from_the_beginning(definitions: dg.Definitions) -> None:
    sensors = {sensor.name: sensor for sensor in definitions.sensors or [] if isinstance(sensor, dg.SensorDefinition)}
    assert {name: sensor.minimum_interval_seconds for name, sensor in sensors.items()} == {
        "notify_sensor": 3,
        "failed_run_sensor": 15,
        "source_sensor": 120,
        "report_watch_sensor": 60,
    }
    assert {target.job_name for target in sensors["notify_sensor"].targets} == {"notify", "check_channels"}
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())
    assert all(sensor.description and len(sensor.description) > 60 for sensor in sensors.values())


@pytest.mark.parametrize("on", [True, False])
def test_schedules_start_as_the_setting_says(on: bool) -> None:
    schedules = build_definitions(load_settings(None, schedules_on=on)).schedules or ()
    assert len(list(schedules)) == 4
    expected = dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED
    assert {getattr(schedule, "default_status", None) for schedule in schedules} == {expected}


def test_a_backfill_a_nightly_load_and_a_message_each_wait_for_their_own_kind_only(graph: BaseAssetGraph[Any]) -> None:
    pools = {key.to_user_string(): graph.get(key).pools for key in graph.materializable_asset_keys}
    assert pools == {
        **{name: {"daily"} for name in DAILY}, "notifications": {"notify"}, "daily_report": set(),
        **{name: {"monitoring"} for name in MONITORING},
    }  # fmt: skip


def test_the_nightly_run_is_one_request_for_the_last_complete_days(definitions: dg.Definitions, tmp_path: Path) -> None:
    schedule = definitions.resolve_schedule_def("daily_etl_schedule")
    due = datetime(2026, 3, 9, 21, 5, tzinfo=UTC)  # 10 March 00:05 in Moscow
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.build_schedule_context(instance, scheduled_execution_time=due) as context,  # it opens one of its own
    ):
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.run_key == "2026-03-08…2026-03-09"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-03-08"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-09"


@pytest.mark.parametrize(
    ("today", "recompute", "materialized", "expected"),
    [
        ("2026-03-10", 1, [], ("2026-03-09", "2026-03-09")),
        ("2026-03-10", 2, ["2026-03-08"], ("2026-03-08", "2026-03-09")),
        ("2026-03-10", 2, ["2026-03-01"], ("2026-03-02", "2026-03-09")),  # nights were missed
        ("2026-03-10", 2, ["2026-01-05"], ("2026-02-07", "2026-03-09")),  # too many: at most 31 days
        ("2026-03-10", 2, ["2026-03-09"], ("2026-03-08", "2026-03-09")),  # the same night again
        ("2026-01-02", 3, [], ("2026-01-01", "2026-01-01")),  # nothing before the start date
        ("2026-01-01", 2, [], None),  # no complete day yet
        ("2026-01-20", 2, [], ("2026-01-01", "2026-01-19")),  # the first night computes a short history
    ],
)
def test_the_days_of_a_night(
    today: str, recompute: int, materialized: list[str], expected: tuple[str, str] | None
) -> None:
    days = days_to_compute(date.fromisoformat(today), date(2026, 1, 1), recompute, materialized)
    assert days == (expected and tuple(map(date.fromisoformat, expected)))


def test_the_code_location_loads_without_heavy_imports_and_warnings() -> None:
    code = (
        "import sys, metrics_platform.definitions as d;"
        "heavy = [m for m in ('pandas','numpy','matplotlib','seaborn','clickhouse_connect','pyarrow','chdb') "
        "if m in sys.modules];"
        "assert not heavy, heavy; print(len(d.defs.resolve_asset_graph().get_all_asset_keys()))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METRICS_")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "19"
    assert result.stderr == ""


def test_a_bad_setting_is_refused_by_name_when_the_code_location_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TIMEZONE", "Europe/Moscw")
    with pytest.raises(SettingsError, match=r"METRICS_TIMEZONE = 'Europe/Moscw': .*did you mean Europe/Moscow"):
        runpy.run_path(str(Path(metrics_platform.__file__).with_name("definitions.py")))


def test_dagsters_own_settings_load_and_do_what_their_comments_say(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / ".dagster" / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled and instance.run_retries_enabled
        assert instance.run_monitoring_max_runtime_seconds == 24 * 3600
        assert not instance.run_retries_max_retries > 2
        # Each has a worker of its own: a ClickHouse that hangs must not hold up a message.
        workers = instance.get_settings("sensors")
        assert workers["use_threads"] and workers["num_workers"] >= len(
            build_definitions(load_settings(None)).sensors or []
        )
        sensors = {s.value: days for s, days in instance.get_tick_retention_settings(InstigatorType.SENSOR).items()}
        schedules = {s.value: days for s, days in instance.get_tick_retention_settings(InstigatorType.SCHEDULE).items()}
    assert sensors == {"STARTED": 30, "SKIPPED": 1, "SUCCESS": 30, "FAILURE": 30}
    assert schedules == {"STARTED": 90, "SKIPPED": 30, "SUCCESS": 90, "FAILURE": 90}


def test_a_run_that_hangs_is_ended_before_it_holds_up_what_waits_behind_it(definitions: dg.Definitions) -> None:
    longest = {
        job.name: definitions.resolve_job_def(job.name).tags.get("dagster/max_runtime")
        for job in definitions.jobs or []
    }
    assert longest == {
        "daily_etl": None, "daily_report_job": "3600", "anomaly_check": "3600", "notify": "900",
        "check_channels": "900", "clean_up": "7200",
    }  # fmt: skip


def test_the_nightly_run_is_parallel_and_the_run_of_one_day_is_not(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("daily_etl_schedule")
    with dg.instance_for_test() as instance:
        first_night = datetime.combine(SETTINGS.start_date + timedelta(days=1), time(1), SETTINGS.zone)
        (nightly,) = schedule.evaluate_tick(dg.build_schedule_context(instance, first_night)).run_requests or []
    assert is_parallel(nightly.tags)  # also of one day, as on the first night
    assert not is_parallel({"dagster/partition": "2026-03-01"})
