"""Generated catalogues with the events of their sources, for property tests of the long tables.

A world has one or two sources. Each has its own shape of table: types of ids, times and amounts, names that need
quotes, a view or a table, a filter. The events of both are few, and most lie at the borders of days and slots.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter

from metrics_platform.settings import Settings
from metrics_platform.table_names import quote_identifier
from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.schema import create_database
from metrics_platform_tests.generated_events import telling_instants
from metrics_platform_tests.values_oracle import Event, Product, metrics_over

ZONES_AND_DATES = (
    ("UTC", date(2026, 3, 8)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("Europe/Berlin", date(2026, 10, 25)),
    ("Asia/Kathmandu", date(2026, 3, 8)),
    ("America/Sao_Paulo", date(2018, 11, 4)),  # begins at 01:00
    ("America/Sao_Paulo", date(2018, 2, 17)),  # 25 hours
)
TABLES = ("payments", "pay-ments", "pay.ments", "платежи", "pay ments")
# The type of a user's id, and the expression that makes an integer of it.
IDS = {
    "UInt32": "{0}",
    "Int64": "{0}",
    "Nullable(Int32)": "{0}",
    "String": "sipHash64({0})",
    "LowCardinality(Nullable(String))": "sipHash64({0})",
    "Nullable(UUID)": "sipHash64({0})",
}
TIMES = {
    "DateTime": "{0}",
    "DateTime64(3, 'Asia/Tokyo')": "{0}",
    "Nullable(DateTime('UTC'))": "{0}",
    "UInt32": "toDateTime({0})",
    "Int64": "toDateTime(intDiv({0}, 1000))",
    "String": "{0}",
    "Nullable(String)": "parseDateTimeBestEffortOrNull({0}, 'UTC')",
}
AMOUNTS = ("Nullable(Decimal(18, 2))", "Nullable(Float64)", "Nullable(Int32)", "Decimal(18, 2)", "Float64")
FILTERS = (None, "status = 'ok'", "status = 'ok' OR status = 'new; {x} -- it''s'")
STATUSES = ("ok", "new; {x} -- it's", "failed", None)
PLANS = ("pro", "free", " pro ", "", "   ", None, "other", "unknown", "total", "a'b", "null", "Ж")
VALUES = st.integers(1, 3)


@dataclass(frozen=True)
class Shape:
    """How one source's table looks."""

    table: str
    is_view: bool
    id_type: str
    time_type: str
    amount_type: str
    where: str | None
    has_plan: bool
    zone: str


@dataclass(frozen=True)
class GeneratedCatalog:
    """A catalogue file, the shapes of its sources, and the events."""

    zone: str
    days: tuple[date, ...]
    shapes: Mapping[str, Shape]
    product: Product

    def write(self, settings: Settings, database: str) -> dict[str, Any]:
        """Create the tables with their events; returns the content of the catalogue file."""
        warehouse = Warehouse.from_settings(settings)
        create_database(warehouse, warehouse.database)
        create_database(warehouse, database)
        for name, shape in self.shapes.items():
            _create(warehouse, database, f"{shape.table}_{name}", shape, self.product.events[name])
        return self.content(database)

    def content(self, database: str) -> dict[str, Any]:
        """The catalogue file."""
        sources: dict[str, Any] = {"feed_actions": {"enabled": False}, "message_actions": {"enabled": False}}
        for name, shape in self.shapes.items():
            sources[name] = {
                "table": f"{quote_identifier(database)}.{quote_identifier(f'{shape.table}_{name}')}",
                "user": IDS[shape.id_type].format("`client id`"),
                "time": TIMES[shape.time_type].format("paid_at"),
                "columns": {"amount": "`Сумма`", **({} if shape.has_plan else {"plan": None})},
                "dimensions": ["plan", "size"],
                "where": shape.where,
                "timezone": shape.zone if shape.time_type == "String" else None,
            }
        dimensions = {
            "plan": {"sql": "plan", "values": self.product.limits["plan"]},
            "size": {"sql": "if(amount > 10, 'big', 'small')", "values": self.product.limits["size"]},
        }
        metrics = {}
        for metric in self.product.metrics:
            entry = {"source": metric.source, "sql": metric.sql}
            quotient = {"numerator": metric.numerator, "denominator": metric.denominator}
            metrics[metric.name] = entry if metric.sql else quotient
        return {"sources": sources, "dimensions": dimensions, "metrics": metrics}

    def _repr_pretty_(self, printer: RepresentationPrinter, _cycle: bool) -> None:
        printer.text(repr(self))

    def __repr__(self) -> str:
        events = "\n".join(f"{name}: {event}" for name, found in self.product.events.items() for event in found)
        return f"{yaml.safe_dump(self.content('db'), allow_unicode=True)}{self.zone} {self.days}\n{events}"


@st.composite
def catalogs(draw: st.DrawFn) -> GeneratedCatalog:
    """Catalogues of one or two sources with two days of events: a day of the zone's, and the one before or after it."""
    zone, telling = draw(st.sampled_from(ZONES_AND_DATES))
    first = telling - timedelta(days=draw(st.integers(0, 1)))
    days = (first, first + timedelta(days=1))
    instants = telling_instants(zone, days)
    shapes, events = {}, {}
    for name in ("payments", "refunds")[: draw(st.integers(1, 2))]:
        shape = Shape(
            draw(st.sampled_from(TABLES)),
            draw(st.booleans()),
            draw(st.sampled_from(tuple(IDS))),
            draw(st.sampled_from(tuple(TIMES))),
            draw(st.sampled_from(AMOUNTS)),
            draw(st.sampled_from(FILTERS)),
            draw(st.integers(0, 4)) > 0,
            draw(st.sampled_from(("Europe/Berlin", "America/Sao_Paulo", "UTC"))),
        )
        moments = [
            instants[number % len(instants)] for number in draw(st.lists(st.integers(0, 199), min_size=1, max_size=6))
        ]
        rows = draw(
            st.lists(
                st.tuples(
                    st.sampled_from((1, 2, 3, 4, None)),
                    st.sampled_from(moments),
                    st.sampled_from(STATUSES),
                    st.sampled_from(PLANS),
                    st.sampled_from((0, 1, 2.5, 10, 11.25, -4, None)),
                ),
                min_size=2,
                max_size=16,
            )
        )
        shapes[name] = shape
        events[name] = tuple(_event(shape, *row) for row in rows)
    limits = {"plan": draw(VALUES), "size": draw(VALUES)}
    return GeneratedCatalog(
        zone, days, shapes, Product(zone, events, limits, metrics_over(tuple(shapes), _kept(shapes)))
    )


def _kept(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Source → whether an event passes its filter."""
    accepted = {FILTERS[0]: None, FILTERS[1]: {"ok"}, FILTERS[2]: {"ok", STATUSES[1]}}
    return {name: accepted[shape.where] for name, shape in shapes.items()}


def _event(  # noqa: PLR0917  (an event's values, in their order)
    shape: Shape, user: int | None, second: int, status: str | None, plan: str | None, amount: Any
) -> Event:
    """An event as the table can hold it."""
    moment = datetime.fromtimestamp(second, UTC)
    if shape.time_type == "String":  # the second of two equal clock times cannot be written down
        moment = moment.astimezone(ZoneInfo(shape.zone)).replace(fold=0).astimezone(UTC)
    nullable = "Nullable" in shape.amount_type
    value = amount if amount is not None or nullable else 0
    return Event(
        user if user is not None or "Nullable" in shape.id_type else 0,
        moment,
        status,
        plan if shape.has_plan else None,
        int(value) if value is not None and "Int" in shape.amount_type else value,
    )


def _create(warehouse: Warehouse, database: str, table: str, shape: Shape, events: tuple[Event, ...]) -> None:
    name = f"{quote_identifier(database)}.{quote_identifier(table)}"
    stored = f"{quote_identifier(database)}.{quote_identifier(f'{table} stored')}" if shape.is_view else name
    plan = "plan LowCardinality(Nullable(String)), " if shape.has_plan else ""
    warehouse.execute(
        f"CREATE TABLE {stored} (`client id` {shape.id_type}, paid_at {shape.time_type}, status Nullable(String), "
        f"{plan}`Сумма` {shape.amount_type}, bucket UInt8, slice String) ENGINE = MergeTree ORDER BY tuple()"
    )
    if shape.is_view:
        warehouse.execute(f"CREATE VIEW {name} AS SELECT * FROM {stored}")
    rows = []
    for event in events:
        values = [_user(shape, event.user), _time(shape, event.time), _text(event.status)]
        values += [_text(event.plan)] if shape.has_plan else []
        values += ["NULL" if event.amount is None else str(event.amount), "7", "'x'"]
        rows.append("SELECT " + ", ".join(f"{value} AS value_{number}" for number, value in enumerate(values)))
    if rows:
        warehouse.execute(f"INSERT INTO {stored} {' UNION ALL '.join(rows)}")


def _user(shape: Shape, user: int | None) -> str:
    if user is None:
        return "NULL"
    if "String" in shape.id_type:
        return f"'u{user}'"
    return f"'{uuid.UUID(int=user)}'" if "UUID" in shape.id_type else str(user)


def _time(shape: Shape, moment: datetime) -> str:
    if shape.time_type == "UInt32":
        return str(int(moment.timestamp()))
    if shape.time_type == "Int64":
        return str(int(moment.timestamp()) * 1000)
    if shape.time_type == "String":
        return f"'{moment.astimezone(ZoneInfo(shape.zone)):%Y-%m-%d %H:%M:%S}'"
    if shape.time_type == "Nullable(String)":
        return f"'{moment:%Y-%m-%dT%H:%M:%SZ}'"
    return f"toDateTime({int(moment.timestamp())})"


def _text(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "\\'") + "'"
