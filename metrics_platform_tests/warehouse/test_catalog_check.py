"""Entries that do not fit ClickHouse: each is named with its value and the remedy, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metrics_platform.catalog import load_catalog
from metrics_platform.connection import parse_url
from metrics_platform.local.clickhouse import running_server
from metrics_platform.settings import Settings
from metrics_platform.warehouse.catalog_check import check_catalog
from metrics_platform.warehouse.client import Warehouse
from metrics_platform_tests.conftest import settings_factory
from metrics_platform_tests.restricted_server import restricted_server
from metrics_platform_tests.warehouse.payments import DAY, MIDNIGHT, Payments

_COLUMNS = (
    "user UInt32, paid_at DateTime, plan String, amount Float64, "
    "day Date, name String, id UUID, price Decimal(9, 2), huge UInt256, stamp UInt32, moment DateTime64(3), "
    "tags Array(String), flag Bool, maybe Nullable(UInt64)"
)


@pytest.fixture
def payments(make_settings: Callable[..., Settings], tmp_path: Path) -> Payments:
    return Payments(make_settings, tmp_path, columns=_COLUMNS)


def _problem(payments: Payments, entry: str) -> str:
    """What is said about an entry; everything else has to be well, but for what is made of it."""
    checked = payments.check()
    others = set(checked.problems) - {entry}
    assert {"payers"} <= set(checked.metrics) or entry.startswith("sources")
    assert all(checked.problems[other].startswith(f"{other}: its ") for other in others)
    return checked.problems[entry].replace(payments.table, "TABLE")


_NO_TIME = "a DateTime; a date has no time of day, so slots and days in another zone are unknown"
_PARSED = "a DateTime; write `parseDateTimeBestEffort(name)`, or set the source's `timezone`"
_EPOCH = (
    "a DateTime; write `toDateTime(stamp)` for seconds since 1970, `toDateTime(intDiv(stamp, 1000))` for milliseconds"
)
_AGGREGATE = "it is an aggregate; write an expression over one row."
_COLUMN = "Correct the column's name, or map it under `columns`."


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("time", "day", f" is Date; it must be {_NO_TIME}."),
        ("time", "name", f" is String; it must be {_PARSED}."),
        ("time", "stamp", f" is UInt32; it must be {_EPOCH}."),
        *(
            ("user", name, f" is {kind}; it must be an integer; write `sipHash64({name})` for text and UUIDs.")
            for name, kind in {"name": "String", "id": "UUID", "huge": "UInt256"}.items()
        ),
        ("user", "usr", f": Unknown expression identifier `usr`. Maybe you meant: ['user']. {_COLUMN}"),
        (
            "where",
            "state = 'ok'",
            f": Unknown expression or function identifier `state`. Maybe you meant: ['stamp']. {_COLUMN}",
        ),
        ("columns.amount", "pais", f": Unknown expression identifier `pais`. Maybe you meant: ['tags']. {_COLUMN}"),
        ("where", "count() > 1", f": {_AGGREGATE}"),
        ("user", "max(user)", f": {_AGGREGATE}"),
        ("where", "plan", " is String; write a condition, such as status = 'ok'."),
    ],
)
def test_a_source_that_does_not_fit_its_table_is_named_with_the_remedy(
    payments: Payments, key: str, value: str, problem: str
) -> None:
    name, _, column = key.partition(".")
    payments.source = {name: {column: value} if column else value}
    entry = f"sources.payments.{key}"
    assert _problem(payments, entry) == f"{entry} = {value!r}{problem}"


_UNGROUPED = "is not under aggregate function and not in GROUP BY keys. Put every column inside an aggregate"
_NO_AGGREGATES = {
    "amount": f"Column platform_events.amount {_UNGROUPED}",
    "sum(amount) + amount": _UNGROUPED,
    "toUnixTimestamp(time)": _UNGROUPED,
    "1": "it has no aggregate; write one, such as count() or sum(amount)",
    "no_such(amount)": "Function with name no_such does not exist",
    "sum(ammount)": "Unknown expression or function identifier ammount. Maybe you meant: ['amount']. Correct the",
    "sum(name)": "Illegal type String of argument for aggregate function sum. Convert the argument, as in",
    "max(name)": "it returns String; write one that returns a number",
    "max(time)": "it returns DateTime; write one that returns a number",
    "groupArray(amount)": "it returns Array(Float64); write one that returns a number",
    "sum(count())": "Aggregate function count() is found inside another aggregate function in query. Write one",
    "count() AS x": "Write one SQL expression.",
    "sum(amount) GROUP BY plan": "Write one SQL expression.",
}


def test_metrics_that_are_no_aggregates_of_numbers_are_named_with_the_remedy(payments: Payments) -> None:
    for number, sql in enumerate(_NO_AGGREGATES):
        payments.metrics[f"bad_{number}"] = {"source": "payments", "sql": sql}
    checked = payments.check()
    assert set(checked.metrics) == {"payers", "revenue", "arppu"}
    for number, (sql, problem) in enumerate(_NO_AGGREGATES.items()):
        found = checked.problems[f"metrics.bad_{number}"]
        assert found.startswith(f"metrics.bad_{number}.sql = {sql!r}: ")
        assert problem in found.replace("`", "").replace("'platform_events.amount'", "platform_events.amount")


def test_a_quotient_of_a_bad_metric_says_so(payments: Payments) -> None:
    payments.metrics["revenue"] = {"source": "payments", "sql": "sum(name)"}
    checked = payments.check()
    assert checked.problems["metrics.arppu"] == "metrics.arppu: its numerator or denominator is not usable."
    assert set(checked.metrics) == {"payers"}


def test_a_dimension_that_does_not_fit_is_left_out_and_metrics_go_on(payments: Payments) -> None:
    payments.dimensions = {"plan": {}, "region": {}}
    checked = payments.check()
    assert checked.problems["dimensions.region"].replace(payments.table, "TABLE") == (
        "dimensions.region.sql = 'region' does not fit TABLE: Unknown expression or function identifier "
        "`region`. Correct the column's "
        "name, or map it under `columns`."
    )
    payments.pay((1, MIDNIGHT, "pro", 2.0))
    payments.slots(0, 1)
    assert payments.values("revenue", "plan") == {(0, "pro"): 2}
    assert payments.values("revenue", "region") == {}


_SOUND = (
    "count(DISTINCT user)",
    "arraySum(x -> x * 2, groupArray(amount))",
    "countIf(plan = 'it\\'s {a:String} $x -- ; /* */ %s')",
    "countIf(plan = 'it''s' OR plan LIKE '%(%')",
    "sum(price)",
    "avg(price) * 1.5e-3",
    "max(flag)",
    "uniqExact(tags[1])",
    "quantileExactIf(0.9)(amount, plan = 'pro')",
    "countIf(plan IN ('pro', 'free'))",
    "CASE WHEN count() > 5 THEN 1 ELSE 0 END",
    "sum(amount) FILTER (WHERE plan = 'pro')",
    "max(huge)",
    "COUNT(*)",
    "countDistinct(user)",
    "uniq(user)",
    "argMax(amount, user)",
    "stddevPopStable(amount)",
    "sumOrNull(amount)",
    "dateDiff('minute', min(time), max(time))",
)


def test_every_sound_expression_is_computed_and_reconciles(payments: Payments) -> None:
    payments.metrics = {f"sound_{number}": {"source": "payments", "sql": sql} for number, sql in enumerate(_SOUND)}
    assert payments.check().problems == {}
    payments.pay((1, MIDNIGHT, "pro", 2.0), (2, MIDNIGHT, "it's {a:String} $x -- ; /* */ %s", 3.0))
    for result in [*payments.slots(0, 2), *payments.days(DAY)]:
        assert (result.published, dict(result.problems)) == (True, {})
    for number, sql in enumerate(_SOUND):
        expected = payments.warehouse.value(
            f"SELECT toFloat64({sql}) FROM (SELECT *, paid_at AS time FROM {payments.table})"
        )
        assert payments.values(f"sound_{number}")[0] == expected, sql
        assert payments.values(f"sound_{number}", table="metric_daily") == {DAY: expected}, sql


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("sum(intDiv(10, toInt32(amount)))", "Division by zero. Guard the division, as in intDivOrZero(a, b) or"),
        # The total's divisor is not zero; that of a slice is.
        ("intDiv(10, sum(toInt32(amount)))", "Division by zero. Guard the division, as in intDivOrZero(a, b) or"),
        ("sum(toInt32(plan))", "Cannot parse string 'pro' as Int32"),
    ],
)
def test_a_metric_that_fails_on_the_rows_is_left_out_and_the_others_go_on(
    payments: Payments, sql: str, problem: str
) -> None:
    payments.metrics = {"bad": {"source": "payments", "sql": sql}, **payments.metrics}
    payments.metrics["made_of_it"] = {"numerator": "bad", "denominator": "payers"}
    assert payments.check().problems == {}
    payments.pay((1, MIDNIGHT, "pro", 2.0), (2, MIDNIGHT, "free", 0.0))
    for (result,) in (payments.slots(0, 1), payments.days(DAY)):
        assert result.published
        assert set(result.problems) == {"metrics.bad"}
        assert f"metrics.bad.sql = {sql!r}: {problem}" in result.problems["metrics.bad"]
    assert payments.values("revenue", "plan") == {(0, "pro"): 2, (0, "free"): 0}
    assert payments.values("arppu", table="metric_daily") == {DAY: 1}
    assert payments.values("bad") == payments.values("made_of_it") == {}


def test_a_source_that_fails_on_the_rows_leaves_the_other_sources(payments: Payments) -> None:
    payments.more_sources = {"refunds": {"table": payments.table, "where": "toUInt32(plan) > 0", "time": "paid_at"}}
    payments.metrics["refunds"] = {"source": "refunds", "sql": "count()"}
    payments.pay((1, MIDNIGHT, "pro", 2.0))
    (result,) = payments.slots(0, 1)
    assert set(result.problems) == {"sources.refunds", "metrics.refunds"}
    assert payments.values("revenue") == {0: 2}
    assert payments.values("refunds") == {}


def test_a_text_that_is_no_time_leaves_out_its_row_only(payments: Payments) -> None:
    payments.source = {"time": "name", "timezone": "Europe/Berlin"}
    payments.pay((1, MIDNIGHT, "pro", 2.0), (2, MIDNIGHT, "pro", 3.0))
    payments.warehouse.execute(
        f"ALTER TABLE {payments.table} UPDATE name = if(user = 1, '2026-11-20 01:05:00', 'soon') WHERE true "
        "SETTINGS mutations_sync = 1"
    )
    payments.slots(0, 1)
    assert payments.values("revenue") == {0: 2}


def test_amounts_that_cancel_each_other_out_reconcile(payments: Payments) -> None:
    payments.warehouse.execute(
        f"INSERT INTO {payments.table} (user, paid_at, plan, amount) SELECT number, {{at:DateTime('UTC')}}, "
        "toString(number % 7), (cityHash64(number) % 1000000007) * 12.345 * if(number % 2, 1, -1) FROM numbers(50000) "
        "UNION ALL SELECT number, {at:DateTime('UTC')}, toString(number % 5), "
        "(cityHash64(number) % 1000000007) * -12.345 * if(number % 2, 1, -1) FROM numbers(50000)",
        {"at": f"{MIDNIGHT:%Y-%m-%d %H:%M:%S}"},
    )
    payments.metrics["mean"] = {"source": "payments", "sql": "avg(amount)"}
    (result,) = payments.slots(0, 1)
    assert (result.published, dict(result.problems)) == (True, {})


def test_an_aggregate_that_depends_on_the_order_of_rows_is_left_out(payments: Payments) -> None:
    for sql, first, users in (("cityHash64(groupArray(user)) / 1", 0, 10), ("argMax(user, plan)", 1000, 300_000)):
        payments.metrics["odd"] = {"source": "payments", "sql": sql}
        payments.warehouse.execute(
            f"INSERT INTO {payments.table} (user, paid_at, plan, amount) "
            "SELECT number, {at:DateTime('UTC')}, 'pro', 1 FROM numbers({first:UInt32}, {users:UInt32})",
            {"at": f"{MIDNIGHT:%Y-%m-%d %H:%M:%S}", "first": first, "users": users},
        )
        (result,) = payments.slots(0, 1)
        assert result.published
    assert payments.values("payers") == {0: 300010}


def test_a_source_with_many_dimensions_keeps_its_slices_apart(payments: Payments) -> None:
    payments.dimensions = {f"d{number}": {"sql": f"splitByChar(',', plan)[{number + 1}]"} for number in range(9)}
    for first in range(9):
        for second in range(first):
            values = ["a"] * 9
            values[first], values[second] = "b", "c"
            payments.pay((1, MIDNIGHT, ",".join(values), 1.0))
    payments.slots(0, 1)
    for number in range(9):
        found = payments.values("revenue", f"d{number}")
        assert found == {
            (0, "a"): 28,
            **({(0, "b"): number} if number else {}),
            **({(0, "c"): 8 - number} if number < 8 else {}),
        }


def test_a_missing_right_is_named_and_metrics_without_it_go_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        payments = Payments(settings_factory(server.url), tmp_path, columns=_COLUMNS)
        payments.check()
        catalog = load_catalog(payments.settings)
    with restricted_server(tmp_path / "data", f"GRANT SELECT(user, paid_at, plan) ON {payments.table}") as url:
        checked = check_catalog(Warehouse(replace(parse_url(url), database="system")), catalog)
        assert set(checked.metrics) == {"payers"}
        assert "metrics.revenue.sql = 'sum(amount)': " in checked.problems["metrics.revenue"]
    with restricted_server(tmp_path / "data", "GRANT SELECT ON nothing.nothing") as url:
        checked = check_catalog(Warehouse(replace(parse_url(url), database="system")), catalog)
        assert f"GRANT SELECT ON {payments.table} TO the account" in checked.problems["sources.payments.table"]


def test_a_dimension_that_fails_on_the_rows_of_one_source_is_left_out_there_alone(payments: Payments) -> None:
    payments.dimensions = {"plan": {}, "number": {"sql": "toInt32(name)"}}
    payments.more_sources = {
        "renamed": {
            "table": payments.table,
            "time": "paid_at",
            "columns": {"name": "toString(user)"},
            "dimensions": ["number"],
        }
    }
    payments.metrics["renamed"] = {"source": "renamed", "sql": "count()"}
    payments.pay((1, MIDNIGHT, "pro", 2.0))
    (result,) = payments.slots(0, 1)
    assert set(result.problems) == {"dimensions.number"}
    assert result.problems["dimensions.number"].startswith("dimensions.number.sql = 'toInt32(name)' fails on a row of ")
    assert payments.values("revenue", "plan") == {(0, "pro"): 2}
    assert payments.values("revenue", "number") == {}
    assert payments.values("renamed", "number") == {(0, "1"): 1}
