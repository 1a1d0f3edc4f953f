"""Which values of a dimension are slices of their own on a day; all others are `other`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence

from metrics_platform.catalog import Dimension, Source
from metrics_platform.time_windows import SLOT, day_of
from metrics_platform.warehouse.client import Parameters, Warehouse, sql_text
from metrics_platform.warehouse.source_rows import SourceRows, slice_name_sql
from metrics_platform.warehouse.value_sql import Cells, Scope, filled, sql_array


def choose_slices(warehouse: Warehouse, scope: Scope) -> None:
    """Choose which values of each dimension are slices of their own on the day, unless some were chosen before.

    By the volume of the seven days before; in a dimension that had no values then, by the events of the stretch.
    """
    for source, rows in scope.rows.items():
        dimensions = scope.dimensions_of(rows.source)
        if new := _not_in(dimensions, _chosen(warehouse, scope, rows.source)):
            _choose(warehouse, scope, source, new, *_candidates_before(warehouse, scope, source, new))
            if new := _not_in(dimensions, _chosen(warehouse, scope, rows.source)):
                _choose_from_stretch(warehouse, scope, source, new)


def add_slices(warehouse: Warehouse, scope: Scope, staging: str) -> bool:
    """Turn values that are `other` in the staged rows into slices, if their dimension has room.

    Returns whether there are any; then the stretch has to be computed again.
    """
    folded = warehouse.query(
        "SELECT metric, dimension FROM {staging:Identifier} WHERE dimension_value = 'other' AND value > 0 "
        "AND NOT is_deleted AND has({metrics:Array(String)}, toString(metric))",
        {"staging": staging, "metrics": [rows.source.events_metric for rows in scope.rows.values()]},
        operation=f"Looking for new slices on {scope.date}",
    ).rows
    folded_dimensions = {(row["metric"], row["dimension"]) for row in folded}
    added = False
    for source, rows in scope.rows.items():
        with_others = [
            dimension
            for dimension in scope.dimensions_of(rows.source)
            if (rows.source.events_metric, dimension.name) in folded_dimensions
        ]
        if not with_others:
            continue
        chosen = _chosen(warehouse, scope, rows.source)
        if with_room := [dimension for dimension in with_others if chosen.get(dimension.name, 0) < dimension.values]:
            _choose_from_stretch(warehouse, scope, source, with_room)
            added = added or _chosen(warehouse, scope, rows.source) != chosen
    return added


def _not_in(dimensions: Iterable[Dimension], chosen: Mapping[str, int]) -> list[Dimension]:
    return [dimension for dimension in dimensions if dimension.name not in chosen]


def _choose_from_stretch(warehouse: Warehouse, scope: Scope, source: str, dimensions: Sequence[Dimension]) -> None:
    stretch = {"from": scope.start, "until": scope.end}
    _choose(warehouse, scope, source, dimensions, _candidates_sql(scope.rows[source], dimensions), stretch)


def _chosen(warehouse: Warehouse, scope: Scope, source: Source) -> dict[str, int]:
    """Dimension → how many of its values are slices of their own on the day."""
    rows = warehouse.query(
        "SELECT dimension, uniqExact(dimension_value) AS chosen FROM slice_values WHERE event_date = {event_date:Date} "
        "AND source = {source:String} AND definition = {rows_definition:UInt64} GROUP BY dimension",
        {"event_date": scope.date, "source": source.name, "rows_definition": source.definition},
        operation=f"Reading the slices of {scope.date}",
    ).rows
    return {row["dimension"]: row["chosen"] for row in rows}


def _choose(  # noqa: PLR0917  (one statement, whose parts come from six places)
    warehouse: Warehouse,
    scope: Scope,
    source: str,
    dimensions: Sequence[Dimension],
    candidates: str,
    parameters: Parameters,
) -> None:
    sql = filled(
        "queries/slice_values.sql",
        candidates=candidates,
        dimension_names=sql_array(sql_text(dimension.name) for dimension in dimensions),
        dimension_limits=sql_array(str(dimension.values) for dimension in dimensions),
    )
    warehouse.execute(
        f"INSERT INTO slice_values (event_date, source, dimension, definition, dimension_value)\n{sql}",
        {
            "event_date": scope.date,
            "source": source,
            "rows_definition": scope.rows[source].source.definition,
            **parameters,
        },
        operation=f"Choosing the slices of {source} on {scope.date}",
        repeatable=True,
    )


def _candidates_before(
    warehouse: Warehouse, scope: Scope, source: str, dimensions: Sequence[Dimension]
) -> tuple[str, Parameters]:
    """The volumes of the seven days before: from the table, except where it lacks some or values were folded there."""
    start, end = scope.week_before
    event = scope.rows[source].source
    names = [dimension.name for dimension in dimensions]
    parameters = {
        "metric": event.events_metric,
        "definition": event.definition,
        "dimensions": [*names, "total"],
        "event_date": scope.date,
    }
    stretch = (
        f"FROM {scope.table.name} FINAL WHERE metric = {{metric:String}} AND definition = {{definition:UInt64}} "
        "AND event_date >= {event_date:Date} - 7 AND event_date < {event_date:Date} "
        "AND has({dimensions:Array(String)}, toString(dimension))"
    )
    (row,) = warehouse.query(
        "SELECT countIf(dimension = 'total') AS totals, sumIf(value, dimension = 'total') AS events, "
        "groupUniqArrayIf(toString(dimension), dimension_value = 'other' AND value > 0) AS folded, "
        f"sumMap([toString(dimension)], [ifNull(value, 0)]) AS by_dimension {stretch}",
        parameters,
        operation=f"Reading the slices before {scope.date}",
    ).rows
    days = [scope.date - datetime.timedelta(days=number) for number in range(1, 8)]
    wanted = (end - start) // SLOT if scope.by_slot else sum(bool(day_of(day, scope.zone).hours) for day in days)
    sums = dict(zip(*row["by_dimension"], strict=True))
    known = [
        name
        for name in names
        if row["totals"] == wanted and name not in row["folded"] and sums.get(name, 0) == row["events"]
    ]
    stored = (
        "SELECT dimension AS candidate_dimension, dimension_value AS candidate_value, "
        "toUInt64(assumeNotNull(value)) AS candidate_events\n"
        f"{stretch} AND dimension != 'total' AND value > 0"
    )
    counted = [dimension for dimension in dimensions if dimension.name not in known]
    candidates = [*([stored] if known else []), *([_candidates_sql(scope.rows[source], counted)] if counted else [])]
    return "\nUNION ALL\n".join(candidates), {**parameters, "dimensions": known, "from": start, "until": end}


def _candidates_sql(rows: SourceRows, dimensions: Sequence[Dimension]) -> str:
    return "\nUNION ALL\n".join(_candidates_of(rows, dimension) for dimension in dimensions)


def _candidates_of(rows: SourceRows, dimension: Dimension) -> str:
    """A query for one dimension. Grouping by one column is much faster than by all of them."""
    cells = Cells.of([dimension])
    ((name, value),) = cells.values
    return filled(
        "queries/slice_candidates.sql",
        cell_key=cells.key,
        cell_columns=", ".join(cells.columns),
        rows=rows.sql,
        dimension=sql_text(name),
        value=slice_name_sql(value),
    )
