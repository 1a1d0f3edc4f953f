"""The demo's product: the same events however they are cut into pieces, believable numbers, its scenario."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics_platform.local.clickhouse import running_server
from metrics_platform.local.demo.product import Product, inject
from metrics_platform.local.demo.scenario import INCIDENTS, InjectedIncident, Scenario
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse

UTC = datetime.UTC
BERLIN = ZoneInfo("Europe/Berlin")
# A tenth of the demo's people, over a day on which clocks are set back.
PRODUCT = Product(
    datetime.date(2026, 10, 5), datetime.date(2026, 10, 29), BERLIN, base=3_100, newcomers=75, campaign_users=500
)
SUNDAY = datetime.date(2026, 10, 25)
NOON = datetime.datetime(2026, 10, 28, 11, tzinfo=UTC)
# Whatever the rows of both tables are, and how often each is there.
CONTENT = """
SELECT sum(rows), sum(hashes) FROM
(
    SELECT count() AS rows, sum(cityHash64(*)) AS hashes FROM simulator.feed_actions
    UNION ALL SELECT count(), sum(cityHash64(*)) FROM simulator.message_actions
)
"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    directory = tmp_path_factory.mktemp("demo")
    with running_server(directory / "clickhouse") as server:
        configured = load_settings(env_file=None, clickhouse_url=server.url, data_dir=directory)
        warehouse = Warehouse.from_settings(configured)
        PRODUCT.create(warehouse, configured)
        yield warehouse


@pytest.fixture(autouse=True)
def _no_events(warehouse: Warehouse) -> None:
    _forget(warehouse)
    warehouse.execute(
        "ALTER TABLE simulator.scenario DELETE WHERE kind IN {kinds:Array(String)}", {"kinds": [*INCIDENTS]}
    )


def _forget(warehouse: Warehouse) -> None:
    for table in ("feed_actions", "message_actions"):
        warehouse.execute("TRUNCATE TABLE simulator.{table:Identifier}", {"table": table})


def _write(warehouse: Warehouse, *moments: datetime.datetime, product: Product = PRODUCT) -> None:
    for since, until in itertools.pairwise(moments):
        list(product.write_events(warehouse, since, until))


def _content(warehouse: Warehouse) -> tuple[Any, ...]:
    (row,) = warehouse.query(CONTENT).rows
    return tuple(row.values())


def _numbers(warehouse: Warehouse) -> dict[str, float]:
    (row,) = warehouse.query(
        "SELECT * FROM (SELECT count() AS rows, uniqExact(user_id) AS users, countIf(action = 'like') AS likes, "
        "countIf(action = 'view') AS views, uniqExactIf(user_id, os = 'iOS') AS ios, "
        "uniqExactIf(user_id, os = 'Android') AS android FROM simulator.feed_actions) AS feed, "
        "(SELECT count() AS messages, uniqExact(user_id) AS senders FROM simulator.message_actions) AS messenger"
    ).rows
    return {name.rpartition(".")[2]: float(value) for name, value in row.items()}


@settings(max_examples=4, deadline=None)
@given(cuts=st.sets(st.integers(1, 12 * 3600 - 1), max_size=4))
def test_events_are_the_same_however_they_are_cut_into_pieces(warehouse: Warehouse, cuts: set[int]) -> None:
    begin = datetime.datetime(2026, 10, 24, 20, tzinfo=UTC)  # two hours before midnight; then clocks are set back
    end = begin + datetime.timedelta(hours=12)
    _forget(warehouse)
    _write(warehouse, begin, end)
    whole = _content(warehouse)
    _forget(warehouse)
    _write(warehouse, begin, *(begin + datetime.timedelta(seconds=cut) for cut in sorted(cuts)), end)
    assert _content(warehouse) == whole
    assert whole[0] > 15_000


def test_what_a_broken_off_attempt_has_left_behind_is_written_anew(warehouse: Warehouse) -> None:
    begin, middle, end = NOON, NOON + datetime.timedelta(minutes=10), NOON + datetime.timedelta(minutes=20)
    _write(warehouse, begin, end)
    whole = _content(warehouse)
    _write(warehouse, middle, end)
    assert _content(warehouse) == whole


def test_another_seed_makes_other_events(warehouse: Warehouse) -> None:
    end = NOON + datetime.timedelta(minutes=10)
    _write(warehouse, NOON, end)
    first = _content(warehouse)
    _forget(warehouse)
    _write(warehouse, NOON, end, product=replace(PRODUCT, seed=2))
    assert _content(warehouse) != first


def test_a_day_has_the_volumes_and_the_shares_of_a_real_product(warehouse: Warehouse) -> None:
    day = datetime.datetime(2026, 10, 26, 23, tzinfo=UTC)
    _write(warehouse, day, day + datetime.timedelta(days=1))
    found = _numbers(warehouse)
    assert 1_700 < found["users"] < 2_300  # a tenth of 18 to 22 thousand
    assert 55_000 < found["rows"] < 80_000
    assert found["likes"] / found["views"] == pytest.approx(0.20, abs=0.015)
    assert found["ios"] / found["users"] == pytest.approx(0.35, abs=0.04)
    assert 1_000 < found["messages"] < 1_700
    assert 200 < found["senders"] < 350
    (row,) = warehouse.query(
        "SELECT avg(gender = 1) AS male, avg(source = 'ads') AS ads, avg(country = 'Russia') AS russia, "
        "quantile(0.95)(age) AS old, min(age) AS young, countIf(city = '' OR country = '' OR os = '') AS unknown "
        "FROM (SELECT DISTINCT user_id, gender, age, source, country, city, os FROM simulator.feed_actions)"
    ).rows
    assert row["male"] == pytest.approx(0.55, abs=0.04)
    assert row["ads"] == pytest.approx(0.56, abs=0.05)
    assert row["russia"] == pytest.approx(0.88, abs=0.03)
    assert (row["young"], row["unknown"]) == (14, 0)
    assert 35 < row["old"] < 60


def test_new_and_monthly_users_are_plausible_from_the_first_day_on(warehouse: Warehouse) -> None:
    PRODUCT.write_earlier_days(warehouse)
    trace = _content(warehouse)
    PRODUCT.write_earlier_days(warehouse)  # as after a start that was broken off
    assert _content(warehouse) == trace
    begin = PRODUCT.first_instant()
    assert warehouse.value("SELECT max(time) FROM simulator.feed_actions").replace(tzinfo=UTC) < begin
    _write(warehouse, begin, begin + datetime.timedelta(days=3))
    days = warehouse.query(
        "WITH events AS (SELECT user_id, toDate(time, 'Europe/Berlin') AS day FROM simulator.feed_actions "
        "UNION ALL SELECT user_id, toDate(time, 'Europe/Berlin') FROM simulator.message_actions), "
        "users AS (SELECT user_id, min(day) AS first_day, groupUniqArray(day) AS days FROM events GROUP BY user_id) "
        "SELECT {first:Date} + number AS day, countIf(first_day = day) AS new, countIf(has(days, day)) AS dau, "
        "countIf(arrayExists(active -> active > day - 28 AND active <= day, days)) AS mau, "
        "countIf(first_day = day - 1 AND has(days, day)) / countIf(first_day = day - 1) AS retention "
        "FROM users CROSS JOIN numbers(3) AS days_after GROUP BY number ORDER BY day",
        {"first": PRODUCT.first_day},
    ).rows
    assert [day["new"] for day in days] == pytest.approx([75] * 3, abs=30)
    assert [day["dau"] for day in days] == pytest.approx([1_850] * 3, rel=0.15)
    assert [day["mau"] for day in days] == pytest.approx([days[2]["mau"]] * 3, rel=0.03)
    assert all(0.25 < day["retention"] < 0.55 for day in days)


def test_nights_are_quiet_and_evenings_busy_on_the_products_clocks(warehouse: Warehouse) -> None:
    day = datetime.datetime(2026, 10, 26, 23, tzinfo=UTC)
    _write(warehouse, day, day + datetime.timedelta(days=1))
    rows = warehouse.query(
        "SELECT toHour(time, 'Europe/Berlin') AS hour, count() AS events FROM simulator.feed_actions GROUP BY hour"
    ).rows
    by_hour = {row["hour"]: row["events"] for row in rows}
    assert set(by_hour) == set(range(24))
    assert max(by_hour, key=lambda hour: by_hour[hour]) in {18, 19, 20, 21}
    assert min(by_hour, key=lambda hour: by_hour[hour]) in {2, 3, 4, 5}


def test_a_day_of_25_hours_has_events_in_each_of_them(warehouse: Warehouse) -> None:
    begin = datetime.datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert begin.astimezone(BERLIN).date() == SUNDAY
    _write(warehouse, begin, begin + datetime.timedelta(hours=25))
    hours = warehouse.value("SELECT uniqExact(toStartOfHour(time)) FROM simulator.feed_actions")
    assert hours == 25


def test_people_won_by_the_campaign_do_not_come_back(warehouse: Warehouse) -> None:
    campaign = Scenario(PRODUCT.today, BERLIN).campaign_day
    begin = datetime.datetime.combine(campaign, datetime.time(), tzinfo=BERLIN).astimezone(UTC)
    _write(warehouse, begin, begin + datetime.timedelta(days=2))
    rows = warehouse.query(
        "SELECT cohort, uniqExactIf(user_id, toDate(time, 'Europe/Berlin') = {day:Date}) AS came, "
        "uniqExactIf(user_id, toDate(time, 'Europe/Berlin') = {day:Date} + 1) AS returned "
        "FROM simulator.feed_actions INNER JOIN simulator.people USING (user_id) WHERE joined = {day:Date} "
        "GROUP BY cohort",
        {"day": campaign},
    ).rows
    returned = {row["cohort"]: row["returned"] / row["came"] for row in rows}
    assert returned["campaign"] < 0.06
    assert returned["new"] > 0.2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("outage", {"users": (0.02, 0.2), "messages": (1, 1)}),
        ("spike", {"users": (1, 1), "messages": (4.5, 5.5), "senders": (1, 1)}),
        ("ctr", {"users": (0.95, 1), "views": (1, 1), "likes": (0.3, 0.5), "messages": (1, 1)}),
        ("ios", {"ios": (0, 0.2), "android": (1, 1), "messages": (1, 1)}),
    ],
)
def test_an_incident_changes_what_it_says_and_nothing_else(
    warehouse: Warehouse, kind: str, expected: dict[str, tuple[float, float]]
) -> None:
    end = NOON + datetime.timedelta(hours=1)
    _write(warehouse, NOON, end)
    usual = _numbers(warehouse)
    _forget(warehouse)
    inject(warehouse, InjectedIncident(kind, NOON, end))
    _write(warehouse, NOON, end)
    found = _numbers(warehouse)
    for name, (low, high) in expected.items():
        assert low <= found[name] / usual[name] <= high, name


def test_an_incident_is_over_at_its_end(warehouse: Warehouse) -> None:
    end = NOON + datetime.timedelta(minutes=15)
    _write(warehouse, end, end + datetime.timedelta(minutes=15))
    usual = _content(warehouse)
    _forget(warehouse)
    for kind in INCIDENTS:
        inject(warehouse, InjectedIncident(kind, NOON, end))
    _write(warehouse, end, end + datetime.timedelta(minutes=15))
    assert _content(warehouse) == usual


def test_a_flash_mob_adds_messages_and_a_city_outage_silences_cities(warehouse: Warehouse) -> None:
    mob, _, cities = Scenario(PRODUCT.today, BERLIN).incidents()
    for incident in (mob, cities):
        day = datetime.timedelta(days=1)
        _write(warehouse, incident.begins, incident.ends)
        _write(warehouse, incident.begins + day, incident.ends + day)
    messages, later = (
        warehouse.value(
            "SELECT count() FROM simulator.message_actions WHERE time >= {begin:DateTime('UTC')} "
            "AND time < {end:DateTime('UTC')}",
            {"begin": mob.begins + add, "end": mob.ends + add},
        )
        for add in (datetime.timedelta(), day)
    )
    assert 2.3 < messages / later < 3.7
    silent, spoken = (
        warehouse.value(
            "SELECT uniqExactIf(user_id, city = 'Omsk') FROM simulator.feed_actions "
            "WHERE time >= {begin:DateTime('UTC')} AND time < {end:DateTime('UTC')}",
            {"begin": cities.begins + add, "end": cities.ends + add},
        )
        for add in (datetime.timedelta(), day)
    )
    assert silent == 0
    assert spoken > 10
