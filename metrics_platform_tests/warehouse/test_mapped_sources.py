"""The daily load on sources that the user's catalogue maps: other names, ids, types and spellings."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metrics_platform.settings import Settings
from metrics_platform.table_names import parse_table_name
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.daily import DayResult, compute_days
from metrics_platform.warehouse.daily_sources import DailySources
from metrics_platform.warehouse.schema import create_database
from metrics_platform.warehouse.source_rows import SourceError
from metrics_platform.warehouse.tables import (
    FEED_USER_DAILY,
    MESSAGE_USER_DAILY,
    USER_DAILY,
    USERS,
    DailyTable,
    read_sql,
)
from metrics_platform_tests.oracle import Oracle
from metrics_platform_tests.worlds import SourceTables, assert_equals_oracle, compute_all, read_table

ZONE = "Europe/Moscow"
EARLIER = datetime.date(2026, 3, 5)
DAYS = [EARLIER + datetime.timedelta(days=number) for number in (1, 2, 3)]
FURTHER = ("age_group", "source", "country", "city", "exp_group")
PEOPLE = [uuid.UUID(int=number) for number in range(1, 31)]
# As they are written → what they mean.
GENDERS = {
    "Male": "male", " m": "male", "TRUE": "male", "F": "female", "female ": "female", "0": "female", "?": "", "": "",
}  # fmt: skip
SYSTEMS = {"iOS ": "iOS", " Android": "Android", "": "", "  ": ""}
ACTIONS = {"View": "view", "view": "view", "LIKE ": "like", "like": "like", "share": "share"}
FEED_TABLE = "`лента-1`.`события.ленты`"
MESSAGES_TABLE = "чат-1.`the messages`"
CATALOG = f"""\
sources:
  feed_actions:
    table: '{FEED_TABLE}'
    user: sipHash64(client)
    time: happened
    timezone: {ZONE}
    where: env != 'test'
    columns: {{action: lower(trimBoth(what)), os: device, gender: sex, age: born_before, source: ref, exp_group: null}}
    dimensions: [os, gender]
  message_actions:
    table: '{MESSAGES_TABLE}'
    user: sipHash64(`from`)
    receiver: sipHash64(`to`)
    time: fromUnixTimestamp64Milli(sent_at)
    columns: {{country: "concat(' ', land)"}}
    dimensions: []
"""
FEED_TYPES = (
    "client Nullable(UUID), what String, happened String, env String, device String, sex String, born_before String, "
    "ref LowCardinality(Nullable(String)), city Nullable(String)"
)
MESSAGE_TYPES = (
    "`from` UUID, `to` Nullable(UUID), sent_at Int64, gender Nullable(Bool), os LowCardinality(String), land String"
)
UNKNOWN = {"gender": None, "age": None, "country": None, "city": None, "os": None, "source": None, "exp_group": None}


@pytest.fixture
def settings(make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    """Settings with the mapping, and a start in the middle of the product's life."""
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG, encoding="utf-8")
    return make_settings(catalog=file, timezone=ZONE, start_date=DAYS[0], extra_dimensions=FURTHER)


def _fill(warehouse: Warehouse) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill both tables; returns the events as the oracle reads them."""
    draw = random.Random(7)
    ids = _hashes(warehouse)
    feed, feed_events, messages, message_events = [], [], [], []
    start = datetime.datetime.combine(EARLIER, datetime.time.min, tzinfo=datetime.UTC)
    for _ in range(900):
        moment = start + datetime.timedelta(seconds=draw.randrange(4 * 86_400 // 600) * 600 - 3 * 3600)
        local = moment + datetime.timedelta(hours=3)
        person, env = draw.choice([*PEOPLE, None]), draw.choice(["prod", "prod", "test"])
        what, device, sex = draw.choice(list(ACTIONS)), draw.choice(list(SYSTEMS)), draw.choice(list(GENDERS))
        years, ref = draw.choice(["17", "30", "x", "-4"]), draw.choice(["ads", " ", None])
        city = draw.choice([" Omsk", None])
        feed.append([person, what, f"{local:%Y-%m-%d %H:%M:%S}", env, device, sex, years, ref, city])
        if person is not None and env != "test":
            feed_events.append(
                UNKNOWN
                | {"user_id": ids[person], "post_id": 0, "action": ACTIONS[what], "time": moment}
                | {"gender": GENDERS[sex], "age": int(years) if years.isdigit() else None, "os": SYSTEMS[device]}
                | {"source": (ref or "").strip(), "city": (city or "").strip()}
            )
        sender, receiver = draw.choice(PEOPLE), draw.choice([*PEOPLE, None])
        is_male, system, land = draw.choice([True, False, None]), draw.choice(list(SYSTEMS)), draw.choice(["Peru ", ""])
        messages.append([sender, receiver, int(moment.timestamp()) * 1000, is_male, system, land])
        if receiver is not None:
            message_events.append(
                UNKNOWN
                | {"user_id": ids[sender], "receiver_id": ids[receiver], "time": moment, "os": SYSTEMS[system]}
                | {"gender": None if is_male is None else int(is_male), "country": land.strip()}
            )
    _create(warehouse, FEED_TABLE, FEED_TYPES, feed)
    _create(warehouse, MESSAGES_TABLE, MESSAGE_TYPES, messages)
    return pd.DataFrame(feed_events, dtype=object), pd.DataFrame(message_events, dtype=object)


def _hashes(warehouse: Warehouse) -> dict[uuid.UUID, int]:
    texts = {"ids": [str(person) for person in PEOPLE]}
    rows = warehouse.query("SELECT arrayJoin({ids:Array(UUID)}) AS id, sipHash64(id) AS hash", texts).rows
    return {row["id"]: row["hash"] for row in rows}


def _create(warehouse: Warehouse, name: str, types: str, rows: list[list[Any]]) -> None:
    table = parse_table_name(name)
    create_database(warehouse, table.database)
    warehouse.execute(f"DROP TABLE IF EXISTS {table.sql}")
    warehouse.execute(f"CREATE TABLE {table.sql} ({types}) ENGINE = MergeTree ORDER BY tuple()")
    warehouse.run(lambda client: client.insert(table.sql, rows), operation="Test")


def test_mapped_sources_give_what_the_oracle_computes(settings: Settings) -> None:
    warehouse = Warehouse.from_settings(settings)
    create_database(warehouse, warehouse.database)
    feed, messages = _fill(warehouse)
    results = compute_all(warehouse, settings, DAYS)
    assert all(result.published for result in results)
    assert_equals_oracle(warehouse, Oracle(feed, messages, ZONE, DAYS), DAYS, settings.dimensions)
    for table in (FEED_USER_DAILY, MESSAGE_USER_DAILY):
        counts = [result.without_user for result in results if result.table is table]
        assert all(0 < count < 100 for count in counts), table.name


def test_a_day_out_of_many_reads_little_more_than_its_own_rows(make_settings: Callable[..., Settings]) -> None:
    rows, first = 50_000, datetime.date(2026, 1, 1)
    sources = SourceTables.create(make_settings(start_date=first))
    event = "1, 30, 'Russia', 'Omsk', 'iOS', 'ads', 1"
    moment = f"toDateTime('{first}', 'UTC') + intDiv(number * 86400, {rows})"
    for table, more in ((sources.settings.feed_table, "1, 'view'"), (sources.settings.messages_table, "number % 7")):
        sources.warehouse.execute(
            f"INSERT INTO {table} SELECT number % 90, {more}, {moment}, {event} FROM numbers({40 * rows})"
        )
    day = first + datetime.timedelta(days=20)
    for table in (FEED_USER_DAILY, MESSAGE_USER_DAILY):
        # Each event is read for its user and again for the texts of its attributes; a message also for its receiver.
        scans = 2 if table is FEED_USER_DAILY else 4
        (result,) = compute_days(sources.warehouse, table, [day], sources.settings)
        assert rows <= result.read_rows < 2 * scans * rows
        assert result.totals.rows == 90
    daily = DailySources.of(sources.warehouse, sources.settings)
    answer = sources.warehouse.query(
        daily.render(read_sql("queries/next_event.sql")),
        {"from_time": f"{day} 00:00:00", "until_time": "2026-03-01 00:00:00"},
    )
    assert answer.rows[0]["event_time"].date() == day
    assert answer.read_rows < 2 * rows


@pytest.fixture(scope="module")
def plain(make_settings: Callable[..., Settings]) -> SourceTables:
    """Sources without a mapping, and an empty day of what is above the merged table."""
    sources = SourceTables.create(make_settings(start_date=DAYS[0]))
    for above in (FEED_USER_DAILY, MESSAGE_USER_DAILY, USERS):
        list(compute_days(sources.warehouse, above, [DAYS[0]], sources.settings))
    return sources


@pytest.fixture
def mapped(plain: SourceTables, tmp_path: Path) -> Callable[[str, DailyTable], list[DayResult]]:
    """Computes a table of the first day with a catalogue file of this text."""

    def compute(text: str, table: DailyTable) -> list[DayResult]:
        file = tmp_path / "catalog.yaml"
        file.write_text(text, encoding="utf-8")
        settings = plain.settings.model_copy(update={"catalog": file})
        return list(compute_days(plain.warehouse, table, [DAYS[0]], settings))

    return compute


@pytest.mark.parametrize(
    ("entry", "table", "said"),
    [
        ("sources: {feed_actions: {enabled: false}}", FEED_USER_DAILY, "What to do: enable it, and map your own"),
        ("sources: {message_actions: {receiver: null}}", MESSAGE_USER_DAILY, "message_actions.receiver is not set"),
        ("sources: {feed_actions: {user: nobody}}", FEED_USER_DAILY, "sources.feed_actions.user = 'nobody'"),
        (
            "sources: {feed_actions: {columns: {action: deed}}}",
            FEED_USER_DAILY,
            "sources.feed_actions.columns.action = 'deed': Unknown expression identifier `deed`",
        ),
        ("dimensions: {city: {sql: town}}", FEED_USER_DAILY, "dimensions.city.sql = 'town' does not fit"),
        ("dimensions: {age_group: {sql: years}}", USER_DAILY, "dimensions.age_group.sql = 'years' does not fit"),
    ],
)
def test_an_entry_that_does_not_fit_is_named_with_the_remedy(
    mapped: Callable[[str, DailyTable], list[DayResult]], entry: str, table: DailyTable, said: str
) -> None:
    with pytest.raises(SourceError) as refusal:
        mapped(entry, table)
    assert said in str(refusal.value)
    assert "What to do:" in str(refusal.value)


@pytest.mark.parametrize(
    ("mapping", "is_computed"),
    [
        ("", True),
        ("sources: {shop: {table: a.b}}", True),
        ("sources: {message_actions: {where: is_test = 0}}", True),
        ("dimensions: {os: {values: 3}}", True),
        ("sources: {feed_actions: {where: is_test = 0}}", False),
        ("dimensions: {os: {sql: platform}}", False),
        ("sources: [", False),
    ],
)
def test_a_day_is_not_computed_without_the_mapping_of_a_catalogue_that_is_not_valid(
    mapped: Callable[[str, DailyTable], list[DayResult]], mapping: str, is_computed: bool
) -> None:
    text = f"metrics: {{views: {{knd: count}}}}\n{mapping}"
    if is_computed:
        assert all(day.published for day in mapped(text, FEED_USER_DAILY))
        return
    with pytest.raises(SourceError, match="is not valid") as refusal:
        mapped(text, FEED_USER_DAILY)
    assert "mapping of sources.feed_actions is not known" in str(refusal.value)


def test_one_sources_mistake_does_not_stop_the_other_extract(
    mapped: Callable[[str, DailyTable], list[DayResult]],
) -> None:
    (result,) = mapped("sources: {feed_actions: {user: nobody}}", MESSAGE_USER_DAILY)
    assert result.published


def test_an_attribute_of_ones_own_is_known_in_every_table(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(
        "dimensions:\n"
        "  os: {sql: \"if(os = 'iPadOS', 'iOS', os)\"}\n"
        "  age_group: {sql: \"if(age < 21, 'young', 'old')\"}\n",
        encoding="utf-8",
    )
    settings = make_settings(start_date=DAYS[0], catalog=file, extra_dimensions=("age_group",))
    sources = SourceTables.create(settings)
    sources.warehouse.execute(
        f"INSERT INTO {settings.feed_table} (user_id, action, time, os, age) VALUES "
        f"(1, 'view', '{DAYS[0]} 10:00:00', 'iPadOS', 20), (2, 'view', '{DAYS[0]} 10:00:00', 'iOS', 21), "
        f"(3, 'view', '{EARLIER} 10:00:00', 'iPadOS', 70)"
    )
    compute_all(sources.warehouse, settings, [DAYS[0]])
    assert set(read_table(sources.warehouse, "users", DAYS[0])["os"]) == {"iOS"}
    final = read_table(sources.warehouse, "dimension_metrics", DAYS[0])
    shown = final[final["dimension"].isin(["os", "age_group"])]
    assert dict(zip(shown["dimension_value"], shown["views"], strict=True)) == {"iOS": 2, "young": 1, "old": 1}
