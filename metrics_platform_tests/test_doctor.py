"""The doctor: each problem with its remedy, nothing left behind, exit code 0 or 1."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from metrics_platform.catalog import builtin_catalog
from metrics_platform.cli import main
from metrics_platform.doctor import examine
from metrics_platform.findings import Finding
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.inspection import inspect_warehouse
from metrics_platform.warehouse.schema import create_tables
from metrics_platform.warehouse.tables import all_tables
from metrics_platform_tests.worlds import SourceTables, in_environment

MakeSettings = Callable[..., Settings]
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0, tzinfo=None)


def _event(time: datetime.datetime) -> pd.DataFrame:
    attributes = {"gender": 1, "age": 30, "country": "R", "city": "M", "os": "iOS", "source": "ads", "exp_group": 0}
    return pd.DataFrame([{"user_id": 1, "post_id": 1, "receiver_id": 2, "action": "view", "time": time, **attributes}])


def _findings(settings: Settings) -> dict[str, list[Finding]]:
    grouped: dict[str, list[Finding]] = {}
    for finding in inspect_warehouse(Warehouse.from_settings(settings), settings):
        grouped.setdefault(finding.subject, []).append(finding)
    return grouped


def _problems(settings: Settings) -> list[Finding]:
    return [finding for group in _findings(settings).values() for finding in group if finding.status == "problem"]


@pytest.fixture
def sources(make_settings: MakeSettings) -> SourceTables:
    """Both source tables, empty, of a product that began on the first of January."""
    return SourceTables.create(make_settings(start_date=datetime.date(2026, 1, 1)))


def test_a_good_setup_has_no_problem_and_nothing_is_left_behind(sources: SourceTables) -> None:
    settings = sources.settings
    sources.insert_feed(_event(datetime.datetime(2026, 1, 1, 12)))
    sources.insert_messages(_event(datetime.datetime(2026, 1, 1, 12)))
    create_tables(sources.warehouse, all_tables(settings.dimensions))
    tables = (
        "SELECT groupArray(name) FROM (SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY 1)"
    )
    before = sources.warehouse.value(tables)
    assert [f for group in _findings(settings).values() for f in group if f.status != "ok"] == []
    assert sources.warehouse.value(tables) == before


def test_missing_attributes_are_unknown_and_named(sources: SourceTables) -> None:
    table = sources.settings.feed_table
    sources.warehouse.execute(f"ALTER TABLE {table} DROP COLUMN city, DROP COLUMN exp_group")
    found = _findings(sources.settings)[f"Source {table}"][0]
    assert found.status == "ok" and "no column for city, exp_group (always unknown)" in found.detail


def test_a_column_of_another_type_names_the_expression_to_write(sources: SourceTables) -> None:
    columns = "(user_id UInt32, action String, time Date)"
    sources.warehouse.execute(
        f"CREATE OR REPLACE TABLE {sources.settings.feed_table} {columns} ENGINE = MergeTree ORDER BY tuple()"
    )
    (problem,) = [problem for problem in _problems(sources.settings) if problem.subject.startswith("Source")]
    assert problem.detail.startswith("sources.feed_actions.time = 'time' is Date; it must be a DateTime")
    assert "METRICS_CATALOG, under sources.feed_actions" in problem.remedy


def test_what_only_the_daily_load_cannot_read_is_a_problem(make_settings: MakeSettings, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    settings = make_settings(catalog=file)
    sources = SourceTables.create(settings)
    sources.warehouse.execute(f"ALTER TABLE {settings.feed_table} ADD COLUMN years Array(UInt8)")
    file.write_text(
        "sources: {feed_actions: {columns: {age: years}}, message_actions: {dimensions: [os]}}\n"
        "dimensions: {age_group: {sql: years}}\n",
        encoding="utf-8",
    )
    details = [problem.detail for problem in _problems(settings) if problem.subject == "Daily load"]
    assert [text.split(" does not fit")[0] for text in details] == [
        f"sources.feed_actions.columns.age is Array(UInt8) in {settings.feed_table}, not a single value.",
        "dimensions.age_group.sql = 'years'",
    ]


def test_unrecognised_actions_and_genders_are_listed(make_settings: MakeSettings) -> None:
    settings = make_settings()
    sources = SourceTables.create(settings, gender_as_text=True)
    feed = settings.feed_table
    columns = "(user_id, action, time, gender)"
    for action, gender in (("View", "M"), ("LIKE ", "female"), ("share", "n/a"), ("share", "x"), ("view", "")):
        sources.warehouse.execute(
            f"INSERT INTO {feed} {columns} VALUES (1, '{action}', '2026-11-20 10:00:00', '{gender}')"
        )
    found = [finding.detail for finding in _findings(settings)[f"Source {feed}"] if finding.status == "note"]
    assert any("2 events of the last 7 days have an unrecognised action: 'share' (2)" in finding for finding in found)
    assert any(
        "2 events of the last 7 days have an unrecognised gender: 'n/a' (1), 'x' (1)" in finding for finding in found
    )


def test_rows_without_a_user_are_counted_for_each_source(make_settings: MakeSettings) -> None:
    settings = make_settings(start_date=datetime.date(2026, 1, 1))
    sources = SourceTables.create(settings, nullable=True)
    event = _event(datetime.datetime(2026, 1, 1, 12))
    sources.insert_feed(pd.concat([event, event.assign(user_id=None)]).astype({"user_id": "UInt32"}))
    sources.insert_messages(
        pd.concat([event, event.assign(user_id=None), event.assign(receiver_id=None)]).astype(
            {"user_id": "UInt32", "receiver_id": "UInt32"}
        )
    )
    found = _findings(settings)
    _, feed = found[f"Source {settings.feed_table}"]
    _, messages = found[f"Source {settings.messages_table}"]
    assert (feed.status, messages.status) == ("note", "note")
    assert feed.detail.startswith("1 events") and "1 more rows (50.00%) are left out: 1 without a user" in feed.detail
    assert messages.detail.startswith("1 events") and "2 more rows (66.67%) are left out" in messages.detail
    assert "left out of every metric" in feed.remedy


def test_the_other_spelling_of_the_receiver_column_is_suggested(make_settings: MakeSettings) -> None:
    settings = make_settings(receiver_column="reciever_id")
    SourceTables.create(settings)
    (problem,) = _problems(settings.model_copy(update={"receiver_column": "receiver_id"}))
    assert problem.remedy == "Set METRICS_RECEIVER_COLUMN=reciever_id, which is there."


def test_a_misspelt_source_lists_the_existing_tables(sources: SourceTables) -> None:
    settings = sources.settings
    (problem,) = _problems(settings.model_copy(update={"feed_table": settings.feed_table.removesuffix("s")}))
    assert problem.remedy.startswith(f"There is {settings.feed_table}, ")
    assert "METRICS_FEED_TABLE" in problem.remedy and "GRANT SELECT ON " in problem.remedy


def test_a_missing_database_is_a_problem_and_is_not_created(sources: SourceTables) -> None:
    settings, warehouse = sources.settings, sources.warehouse
    assert settings.clickhouse_url is not None
    mistyped = settings.model_copy(
        update={"clickhouse_url": SecretStr(f"{settings.clickhouse_url.get_secret_value()}x")},
    )
    findings = _findings(mistyped)
    (database,) = findings["Database"]
    assert database.status == "problem"
    assert f"{warehouse.database}x, which METRICS_CLICKHOUSE_URL names, does not exist" in database.detail
    assert database.remedy.startswith(f"There is {warehouse.database}, ")
    assert "create-tables" in database.remedy
    assert "Rights" not in findings and "Tables" not in findings
    assert [f.status for f in findings[f"Source {settings.feed_table}"]] == ["ok", "note"]  # looked at all the same
    names = "SELECT count() FROM system.databases WHERE name = {name:String}"
    assert warehouse.value(names, {"name": f"{warehouse.database}x"}) == 0


def test_events_in_the_future_point_to_the_time_zone(sources: SourceTables) -> None:
    for ahead, remedy in ((datetime.timedelta(hours=3), "METRICS_TIMEZONE"), (datetime.timedelta(1800), "a mistake")):
        sources.insert_feed(_event(NOW + ahead))
        finding = _findings(sources.settings)[f"Source {sources.settings.feed_table}"][1]
        assert finding.status == "note" and remedy in finding.remedy
    assert "METRICS_TIMEZONE" not in finding.remedy


def test_a_start_date_long_before_the_first_event_is_a_note_with_the_date_to_set(sources: SourceTables) -> None:
    sources.insert_feed(_event(datetime.datetime(2026, 2, 10, 12)))
    assert "Settings" not in _findings(sources.settings)  # the messenger has no events yet: it may have had the first
    sources.insert_messages(_event(datetime.datetime(2026, 3, 1, 12)))
    (finding,) = _findings(sources.settings)["Settings"]
    assert finding.status == "note"
    assert finding.remedy.startswith("Set METRICS_START_DATE=2026-02-10: else 40 days without events")


def test_a_table_with_other_columns_is_a_problem(sources: SourceTables) -> None:
    sources.warehouse.execute("CREATE TABLE users (name String) ENGINE = MergeTree ORDER BY name")
    (problem,) = _problems(sources.settings)
    assert problem.subject == "Tables"
    assert "user_id UInt64 is expected" in problem.detail
    assert "RENAME TABLE" in problem.remedy


def test_slots_of_another_time_zone_are_a_problem(make_settings: MakeSettings) -> None:
    settings = make_settings(timezone="Europe/Moscow")
    warehouse = SourceTables.create(settings).warehouse
    create_tables(warehouse, all_tables(settings.dimensions))
    columns = "event_date, slot_start, metric, dimension, dimension_value, version"
    row = "'2026-01-02', '2026-01-01 21:00:00', 'views', 'total', 'total', 1"
    warehouse.execute(f"INSERT INTO slot_metrics ({columns}) VALUES ({row})")
    assert _problems(settings) == []
    (problem,) = _problems(settings.model_copy(update={"timezone": "UTC"}))
    assert problem.detail == "slot_metrics has 1 day of another zone than METRICS_TIMEZONE = UTC"
    assert "METRICS_TIMEZONE must change" in problem.remedy


def test_each_invalid_setting_is_a_problem_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TIMEZONE", "Nowhere")
    monkeypatch.setenv("METRICS_COLOUR", "red")
    findings = list(examine(None))
    assert [finding.status for finding in findings] == ["problem", "problem"]
    assert all(finding.remedy for finding in findings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://platform:wrong@127.0.0.1:{port}/metrics", "METRICS_CLICKHOUSE_URL"),
        ("http://platform:x@127.0.0.1:1/metrics", "Is ClickHouse running"),
        ("", "metrics-platform clickhouse"),
    ],
    ids=["wrong password", "no server", "no url"],
)
def test_the_command_says_what_to_do_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clickhouse_server: EmbeddedServer, url: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if url:
        monkeypatch.setenv("METRICS_CLICKHOUSE_URL", url.format(port=clickhouse_server.port))
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert expected in result.output
    assert "Traceback" not in result.output
    assert "wrong" not in result.output


def test_the_command_exits_with_0_when_all_is_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sources: SourceTables
) -> None:
    monkeypatch.chdir(tmp_path)
    in_environment(monkeypatch, sources.settings)
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, "No problem, " in result.output) == (0, True), result.output
    assert "All well." not in result.output  # the sources are empty


def test_every_mistake_in_the_catalogue_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    monkeypatch.setenv("METRICS_CATALOG", str(file))
    file.write_text("metrics: {views: {monitor: {muted_until: 2999-01-01T00:00:00Z}}}", encoding="utf-8")
    (good,) = [finding for finding in examine(None) if finding.subject == "Catalogue"]
    assert (good.status, good.detail) == ("ok", f"2 sources, {len(builtin_catalog().metrics)} metrics; muted: views")
    monkeypatch.setenv("METRICS_MUTES", "metric:views, metric:vews+severity:warning")
    monkeypatch.setenv("METRICS_ACTIVE_HOURS", "metric:ctr 09:00-21:00")
    unknown = next(finding for finding in examine(None) if finding.subject == "Catalogue")
    assert unknown.status == "problem" and "did you mean views?" in unknown.detail
    assert "METRICS_MUTES or METRICS_ACTIVE_HOURS: metric 'vews' is unknown; choose " in unknown.detail
    file.write_text("metrics: {vews: {}, likes: {monitor: {critical_change: -1}}}", encoding="utf-8")
    bad = [finding for finding in examine(None) if finding.subject == "Catalogue"]
    assert [finding.status for finding in bad] == ["problem", "problem"]
    assert bad[0].detail == "metrics.likes.monitor.critical_change = -1: write more than 0"
    assert "metrics.vews: has nothing to compute it from; write `source`" in bad[1].detail
    file.unlink()
    (missing,) = [finding for finding in examine(None) if finding.subject == "Catalogue"]
    assert "No such file" in missing.detail


def test_unknown_metrics_of_the_report_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_REPORT_METRICS", "app_dau,vews,ctr")
    note, _ = [finding for finding in examine(None) if finding.subject == "Catalogue"]
    assert (note.status, note.detail.split(": ")[1]) == ("note", "vews")
    assert "views" in note.remedy


def test_a_first_day_in_the_future_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = (NOW + datetime.timedelta(days=2)).date()
    monkeypatch.setenv("METRICS_START_DATE", str(tomorrow))
    finding = next(examine(None))
    assert finding.status == "problem"
    assert f"METRICS_START_DATE = {tomorrow} is in the future" in finding.detail
    assert "first day with events" in finding.remedy
