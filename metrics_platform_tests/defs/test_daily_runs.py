"""The day through Dagster: partitions in any order, twice, as a range; what fails, fails clearly and blocks."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import clickhouse_connect
import dagster as dg
import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.defs.daily.metadata import _cell
from metrics_platform.local.clickhouse import EmbeddedServer
from metrics_platform.settings import Settings
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.defs.running import CodeLocation, assert_same_tables, check_outcomes, failure_texts
from metrics_platform_tests.worlds import SourceTables

START = datetime.date(2026, 3, 6)
ZONE = "America/New_York"
DAYS = [START + datetime.timedelta(days=offset) for offset in range(4)]  # New York's 23-hour day among them
MakeSettings = Callable[..., Settings]

# Everybody does something different every day; the third day is empty.
FEED = """
INSERT INTO {table} SELECT
    number % 40, number % 9, if(number % 5 = 0, 'like', 'view'),
    toDateTime('2026-03-06 05:00:00', 'UTC') + number * 97 AS moment, number % 3 - 1,
    if(number % 7 = 0, 0, 20 + number % 3), 'Russia', 'Moscow',
    ['iOS', 'Android', ''][1 + (number + intDiv(number, 900)) % 3], ['ads', 'organic'][1 + number % 2], number % 5
FROM numbers(3500) WHERE toDate(moment, 'America/New_York') != '2026-03-08'
"""
MESSAGES = """
INSERT INTO {table} SELECT
    number % 30, number % 53, toDateTime('2026-03-06 05:00:00', 'UTC') + number * 331 AS moment, number % 2, 30,
    'Russia', 'Kazan', ['Android', 'iOS'][1 + intDiv(number, 300) % 2], 'organic', 0
FROM numbers(1000) WHERE toDate(moment, 'America/New_York') != '2026-03-08'
"""


def fill_sources(settings: Settings) -> Warehouse:
    """Source tables with some thousand events of four days, the third of them empty."""
    warehouse = SourceTables.create(settings).warehouse
    warehouse.execute(FEED.replace("{table}", settings.feed_table))
    warehouse.execute(MESSAGES.replace("{table}", settings.messages_table))
    return warehouse


def add_views(settings: Settings, time: str, number: int, user_id: int = 1) -> None:
    """Late events: `number` views of one user at one UTC time."""
    Warehouse.from_settings(settings).execute(
        f"INSERT INTO {settings.feed_table} SELECT {{user_id:UInt32}}, 1, 'view', {{time:DateTime('UTC')}}, 1, 21, "
        "'Russia', 'Omsk', 'iOS', 'ads', 1 FROM numbers({number:UInt32})",
        {"user_id": user_id, "time": time, "number": number},
    )


@dataclass
class Computed:
    """The first three days, computed in one run; tests only read it, or copy it."""

    location: CodeLocation
    sources: SourceTables
    result: dg.ExecuteInProcessResult
    make_settings: MakeSettings

    def copy(self, instance: dg.DagsterInstance, *, days: int = 3) -> CodeLocation:
        """The same sources with the first of the days."""
        copied = self.sources.copy(self.make_settings(timezone=ZONE, start_date=START))
        for day in DAYS[days:3]:
            for table in self.location.tables():
                copied.warehouse.execute(f"ALTER TABLE {table} DROP PARTITION '{day}'")
        return CodeLocation(copied.settings, instance)


@pytest.fixture(scope="module")
def computed(make_settings: MakeSettings) -> Iterator[Computed]:
    with dg.DagsterInstance.ephemeral() as instance:
        settings = make_settings(timezone=ZONE, start_date=START)
        sources = SourceTables(settings, fill_sources(settings))
        location = CodeLocation(settings, instance)
        result = location.run(DAYS[0], DAYS[2])
        assert result.success
        yield Computed(location, sources, result, make_settings)


@pytest.fixture
def location(make_settings: MakeSettings, instance: dg.DagsterInstance) -> CodeLocation:
    settings = make_settings(timezone=ZONE, start_date=START)
    fill_sources(settings)
    return CodeLocation(settings, instance)


@pytest.fixture
def computed_location(computed: Computed, instance: dg.DagsterInstance) -> CodeLocation:
    return computed.copy(instance)


@pytest.fixture
def first_day(computed: Computed, instance: dg.DagsterInstance) -> CodeLocation:
    return computed.copy(instance, days=1)


def test_a_day_run_again_gives_what_it_gave_in_a_range_and_catches_late_events(computed_location: CodeLocation) -> None:
    before = computed_location.tables()
    assert set(before["dimension_metrics"]["event_date"]) == {DAYS[0], DAYS[1]}  # the third is empty
    add_views(computed_location.settings, "2026-03-09 10:00:00", 1, user_id=777)  # what happens later changes nothing
    for day in DAYS[1:3]:
        assert computed_location.run(day, assets=before).success
    assert_same_tables(computed_location.tables(), before)

    add_views(computed_location.settings, "2026-03-07 12:00:00", 5)
    assert computed_location.run(DAYS[1], assets=before).success

    def views(frame: Any) -> dict[Any, int]:
        return dict(frame[frame["dimension"] == "os"].groupby("event_date")["views"].sum())

    late = views(computed_location.tables()["dimension_metrics"])
    first, second = (views(before["dimension_metrics"])[day] for day in DAYS[:2])
    assert late == {DAYS[0]: first, DAYS[1]: second + 5}


def test_a_materialisation_shows_what_a_person_needs(computed: Computed) -> None:
    result = computed.result
    for name in ("feed_user_daily", "users", "dimension_metrics"):
        events = [e.step_materialization_data.materialization for e in result.get_asset_materialization_events()]
        mine = {event.partition: event.metadata for event in events if event.asset_key == dg.AssetKey(name)}
        assert set(mine) == {day.isoformat() for day in DAYS[:3]}
        for day, metadata in list(mine.items())[:2]:  # the third is empty
            assert isinstance(metadata["dagster/row_count"].value, int)
            assert metadata["rows read"].value > 0
            if name == "dimension_metrics":
                assert {row.data["dimension"] for row in _preview(metadata)} == {"os", "gender", "age"}
            assert metadata["duration (s)"].value > 0
            assert f"SET param_event_date = '{day}'" in str(metadata["query"].value)
            assert _preview(metadata)
    assert all(outcome.passed for outcome in check_outcomes(result).values())


def _preview(metadata: Mapping[str, Any]) -> Sequence[dg.TableRecord]:
    return metadata["preview"].records


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("views", 1234567, "1,234,567"), ("user_id", 1234567, "1234567"), ("ctr", 0.20312, "0.2031"), ("os", None, None)],
)
def test_a_preview_separates_the_thousands_of_numbers_and_not_of_ids(name: str, value: Any, shown: str | None) -> None:
    assert _cell(name, value) == shown


def test_the_query_shown_runs_as_it_is(computed: Computed) -> None:
    warehouse = Warehouse.from_settings(computed.location.settings)
    address = warehouse.connection
    # Not the platform's own client, which sends settings that no other client has.
    client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        database=address.database,
    )
    for event in computed.result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        if materialization.partition != DAYS[0].isoformat():
            continue
        text = str(materialization.metadata["query"].value).removeprefix("```sql\n").removesuffix("\n```")
        values: dict[str, str] = {}
        settings: dict[str, str] = {}
        found = 0
        for statement in filter(None, map(str.strip, text.split(";\n"))):
            if statement.startswith("SET param_"):
                parameter, value = statement.removeprefix("SET param_").split(" = ", 1)
                values[parameter] = value.strip("'")
            elif statement.startswith("SET "):
                setting, value = statement.removeprefix("SET ").split(" = ", 1)
                settings[setting] = value
            else:
                found += len(client.query(statement.removesuffix(";"), values, settings).result_rows)
        name = materialization.asset_key.to_user_string()
        if name == "metric_daily":  # the scans of the sources are shown; quotients are divided from their values
            quotients = [
                metric.name for metric in load_catalog(computed.location.settings).metrics.values() if not metric.sql
            ]
            found += warehouse.value(
                "SELECT count() FROM metric_daily FINAL WHERE has({quotients:Array(String)}, toString(metric)) "
                "AND event_date = {day:Date}",
                {"quotients": quotients, "day": DAYS[0]},
            )
        assert found == materialization.metadata["dagster/row_count"].value, name


def test_a_day_that_does_not_add_up_is_not_swapped_in_and_blocks_what_is_downstream(first_day: CodeLocation) -> None:
    before = first_day.tables()
    warehouse = Warehouse.from_settings(first_day.settings)
    warehouse.execute("ALTER TABLE user_daily DELETE WHERE views > 0 SETTINGS mutations_sync = 2")
    result = first_day.run(DAYS[0], assets=["os_slice", "gender_slice", "age_slice", "dimension_metrics"])
    assert not result.success
    outcome = check_outcomes(result)["dimension_metrics: reconciles_with_source"]
    assert (outcome.passed, outcome.severity, outcome.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    text = failure_texts(result)["dimension_metrics"]
    assert "does not add up" in text and "views is" in text and "What to do" in text
    assert_same_tables({"d": first_day.tables()["dimension_metrics"]}, {"d": before["dimension_metrics"]})


def test_an_extract_that_loses_rows_stops_the_day(location: CodeLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics_platform.warehouse import tables

    real = tables.read_sql

    def lossy(name: str) -> str:
        return (
            real(name).replace("GROUP BY user", "WHERE user != 3 GROUP BY user")
            if name == "queries/feed_user_daily.sql"
            else real(name)
        )

    monkeypatch.setattr(tables, "read_sql", lossy)
    result = location.run(DAYS[0], assets=["feed_user_daily", "users"])
    assert not result.success
    assert "users is 39, expected 40" in failure_texts(result)["feed_user_daily"]
    assert "users" not in {event.step_key for event in result.all_events if event.is_step_start}
    assert location.tables()["feed_user_daily"].empty


def test_events_that_come_in_after_the_extract_are_said_and_block_nothing(first_day: CodeLocation) -> None:
    add_views(first_day.settings, "2026-03-06 12:00:00", 5)
    result = first_day.run(DAYS[0], assets=["dimension_metrics"])
    assert result.success
    outcome = check_outcomes(result)["dimension_metrics: reconciles_with_source"]
    assert (outcome.passed, outcome.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "grown by 5" in str(outcome.description)


def test_rows_without_a_user_stop_nothing_and_are_counted(
    make_settings: MakeSettings, instance: dg.DagsterInstance
) -> None:
    settings = make_settings(timezone=ZONE, start_date=START)
    sources = SourceTables.create(settings, nullable=True)
    event = "toDateTime('2026-03-06 12:00:00', 'UTC'), 1, 30, 'Russia', 'Omsk', 'iOS', 'ads', 1"
    sources.warehouse.execute(f"INSERT INTO {settings.feed_table} SELECT NULL, 1, 'view', {event}")
    sources.warehouse.execute(f"INSERT INTO {settings.messages_table} SELECT NULL, 2, {event}")
    sources.warehouse.execute(f"INSERT INTO {settings.messages_table} SELECT 2, NULL, {event}")
    result = CodeLocation(settings, instance).run(DAYS[0], assets=["feed_user_daily", "message_user_daily"])
    assert result.success
    assert all(outcome.passed for outcome in check_outcomes(result).values())
    counted = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata.get(
            "rows without a user"
        )
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert {name: found.value for name, found in counted.items() if found} == {
        "feed_user_daily": 1,
        "message_user_daily": 2,
    }


def test_a_day_without_its_extracts_is_refused_and_never_published_with_zeros(first_day: CodeLocation) -> None:
    result = first_day.run(DAYS[1], assets=["app_daily", "dimension_metrics"])
    assert not result.success
    for name, text in failure_texts(result).items():
        assert f"{name} of {DAYS[1]} cannot be computed" in text
        assert f"materialise feed_user_daily of {DAYS[1]} first" in text
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    for name in ("app_daily", "dimension_metrics"):
        assert set(first_day.tables()[name]["event_date"]) == {DAYS[0]}


def test_too_many_late_events_stop_the_day_and_are_named(first_day: CodeLocation) -> None:
    before = first_day.tables()
    add_views(first_day.settings, "2026-03-06 12:00:00", 50)
    result = first_day.run(DAYS[0], assets=["dimension_metrics", "app_daily"])
    assert not result.success
    for text in failure_texts(result).values():
        assert "grown by 50 since the extract" in text and "METRICS_LATE_EVENTS_PCT allows" in text
    assert_same_tables(first_day.tables(), before)
    assert first_day.run(DAYS[0], assets=before).success


def test_a_snapshot_is_never_continued_over_a_gap(first_day: CodeLocation) -> None:
    result = first_day.run(DAYS[3], assets=["feed_user_daily", "message_user_daily", "users", "user_daily"])
    assert not result.success
    text = failure_texts(result)["users"]
    assert "from 2026-03-07 to 2026-03-08" in text
    assert first_day.tables()["user_daily"]["event_date"].unique().tolist() == [DAYS[0]]


@pytest.mark.parametrize(
    ("overrides", "step", "expected"),
    [
        ({"feed_table": "nowhere.feed_actions"}, "feed_user_daily", "METRICS_FEED_TABLE"),
        ({"messages_table": "system.one"}, "message_user_daily", "doctor"),
        ({"receiver_column": "reciever_id"}, "message_user_daily", "METRICS_RECEIVER_COLUMN"),
    ],
    ids=["missing table", "missing columns", "other spelling of the receiver"],
)
def test_what_is_wrong_with_the_source_is_said_with_the_remedy_and_not_retried(
    location: CodeLocation, overrides: dict[str, Any], step: str, expected: str
) -> None:
    result = CodeLocation(location.settings.model_copy(update=overrides), location.instance).run(DAYS[0], assets=[step])
    assert not result.success
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    text = failure_texts(result)[step]
    assert expected in text and "What to do" in text
    assert "Traceback" not in text


def test_an_account_that_may_not_write_is_told_what_to_grant(
    location: CodeLocation, clickhouse_server: EmbeddedServer
) -> None:
    database = Warehouse.from_settings(location.settings).database
    url = f"{clickhouse_server.readonly_url.rsplit('/', 1)[0]}/{database}"
    from pydantic import SecretStr

    reader = CodeLocation(location.settings.model_copy(update={"clickhouse_url": SecretStr(url)}), location.instance)
    result = reader.run(DAYS[0])
    assert not result.success
    assert all("GRANT" in text or "read-only" in text for text in failure_texts(result).values())
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
