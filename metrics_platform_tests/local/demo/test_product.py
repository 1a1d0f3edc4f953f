"""The demo's product: the same events however they are cut into pieces, believable numbers, its scenario."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from metrics_platform.local.clickhouse import running_server
from metrics_platform.local.demo.product import INCIDENTS, InjectedIncident, Product, inject
from metrics_platform.settings import load_settings
from metrics_platform.warehouse.client import Warehouse

UTC = datetime.UTC
BERLIN = ZoneInfo("Europe/Berlin")
# A tenth of the demo's people, over a day on which clocks are set back.
PRODUCT = Product(
    datetime.date(2026, 10, 5), datetime.date(2026, 10, 29), BERLIN, base=3_100, newcomers=75, campaign_users=500
)
NOON = datetime.datetime(2026, 10, 28, 11, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
# Whatever the rows of the tables are, and how often each is there.
CONTENT = """
SELECT sum(rows), sum(hashes) FROM
(
    SELECT count() AS rows, sum(cityHash64(*)) AS hashes FROM simulator.feed_actions
    UNION ALL SELECT count(), sum(cityHash64(*)) FROM simulator.message_actions
    UNION ALL SELECT count(), sum(cityHash64(*)) FROM simulator.payments
)
"""
NUMBERS = """
SELECT *
FROM
(
    SELECT
        count() AS rows, uniqExact(user_id) AS users, countIf(action = 'like') AS likes,
        countIf(action = 'view') AS views, uniqExactIf(user_id, os = 'iOS') AS ios,
        uniqExactIf(user_id, os = 'Android') AS android
    FROM simulator.feed_actions
) AS feed,
(SELECT count() AS messages, uniqExact(user_id) AS senders FROM simulator.message_actions) AS messenger,
(SELECT countIf(status = 'ok') AS payments FROM simulator.payments) AS billing
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


def _forget(warehouse: Warehouse) -> None:
    for table in ("feed_actions", "message_actions", "payments"):
        warehouse.execute("TRUNCATE TABLE simulator.{table:Identifier}", {"table": table})


def _write(warehouse: Warehouse, *moments: datetime.datetime) -> None:
    for since, until in itertools.pairwise(moments):
        list(PRODUCT.write_events(warehouse, since, until))


def _content(warehouse: Warehouse) -> tuple[Any, ...]:
    (row,) = warehouse.query(CONTENT).rows
    return tuple(row.values())


def _numbers(warehouse: Warehouse) -> dict[str, float]:
    (row,) = warehouse.query(NUMBERS).rows
    return {name.rpartition(".")[2]: float(value) for name, value in row.items()}


def test_events_are_the_same_however_they_are_cut_into_pieces(warehouse: Warehouse) -> None:
    begin = datetime.datetime(2026, 10, 24, 21, tzinfo=UTC)  # an hour before midnight; then clocks are set back
    end = begin + 5 * HOUR
    _write(warehouse, begin, end)
    whole = _content(warehouse)
    assert whole[0] > 5_000
    assert warehouse.value("SELECT uniqExact(toStartOfHour(time)) FROM simulator.feed_actions") == 5
    _forget(warehouse)
    _write(warehouse, begin, begin + datetime.timedelta(minutes=1), begin + 2 * HOUR, end)
    assert _content(warehouse) == whole
    _write(warehouse, begin + 4 * HOUR, end)  # as after an attempt that was broken off
    assert _content(warehouse) == whole


def test_a_day_has_the_volumes_shares_and_course_of_a_real_product(warehouse: Warehouse) -> None:
    day = datetime.datetime(2026, 10, 26, 23, tzinfo=UTC)
    _write(warehouse, day, day + 24 * HOUR)
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
    by_hour = "SELECT toHour(time, 'Europe/Berlin') AS hour FROM simulator.feed_actions GROUP BY hour ORDER BY count()"
    hours = [row["hour"] for row in warehouse.query(by_hour).rows]
    assert len(hours) == 24
    assert hours[0] in {2, 3, 4, 5} and hours[-1] in {18, 19, 20, 21}


def test_new_and_monthly_users_are_plausible_from_the_first_day_on(warehouse: Warehouse) -> None:
    PRODUCT.write_earlier_days(warehouse)
    begin = PRODUCT.first_instant()
    assert warehouse.value("SELECT max(time) FROM simulator.feed_actions").replace(tzinfo=UTC) < begin
    new = (
        "SELECT countIf(first_day >= {first:Date} - 28) / 28 FROM "
        "(SELECT min(toDate(time, 'Europe/Berlin')) AS first_day FROM simulator.feed_actions GROUP BY user_id)"
    )
    assert warehouse.value(new, {"first": PRODUCT.first_day}) == pytest.approx(75, abs=10)
    _write(warehouse, begin, begin + 48 * HOUR)
    days = warehouse.query(
        "WITH events AS (SELECT user_id, toDate(time, 'Europe/Berlin') AS day FROM simulator.feed_actions "
        "UNION ALL SELECT user_id, toDate(time, 'Europe/Berlin') FROM simulator.message_actions), "
        "users AS (SELECT user_id, min(day) AS first_day, groupUniqArray(day) AS days FROM events GROUP BY user_id) "
        "SELECT {first:Date} + number AS day, countIf(first_day = day) AS new, countIf(has(days, day)) AS dau, "
        "countIf(arrayExists(active -> active > day - 28 AND active <= day, days)) AS mau, "
        "countIf(first_day = day - 1 AND has(days, day)) / countIf(first_day = day - 1) AS retention "
        "FROM users CROSS JOIN numbers(2) AS days_after GROUP BY number ORDER BY day",
        {"first": PRODUCT.first_day},
    ).rows
    assert [day["new"] for day in days] == pytest.approx([75] * 2, abs=30)
    assert [day["dau"] for day in days] == pytest.approx([1_850] * 2, rel=0.15)
    assert [day["mau"] for day in days] == pytest.approx([days[1]["mau"]] * 2, rel=0.03)
    assert all(0.25 < day["retention"] < 0.55 for day in days)


def test_each_incident_changes_only_what_it_names(warehouse: Warehouse) -> None:
    expected: dict[str, dict[str, tuple[float, float]]] = {
        "outage": {"users": (0.02, 0.2), "messages": (1, 1)},
        "spike": {"users": (1, 1), "messages": (4.5, 5.5), "senders": (1, 1)},
        "ctr": {"users": (0.9, 1), "views": (1, 1), "likes": (0.3, 0.5), "messages": (1, 1)},
        "ios": {"ios": (0, 0.2), "android": (1, 1), "messages": (1, 1)},
        "payments": {"users": (1, 1), "messages": (1, 1), "payments": (0, 0.2)},
    }
    assert set(expected) == set(INCIDENTS)
    end, after = NOON + HOUR / 2, NOON + HOUR / 2 + datetime.timedelta(minutes=5)
    _write(warehouse, NOON, end)
    usual = _numbers(warehouse)
    _forget(warehouse)
    _write(warehouse, end, after)
    usual_after = _content(warehouse)
    for kind, changes in expected.items():
        inject(warehouse, InjectedIncident(kind, NOON, end))
        _forget(warehouse)
        _write(warehouse, NOON, end)
        found = _numbers(warehouse)
        for name, (low, high) in changes.items():
            assert low <= found[name] / usual[name] <= high, (kind, name)
        warehouse.execute("DELETE FROM simulator.scenario WHERE kind = {kind:String}", {"kind": kind})
    for kind in expected:
        inject(warehouse, InjectedIncident(kind, NOON, end))
    _forget(warehouse)
    _write(warehouse, end, after)
    assert _content(warehouse) == usual_after
