"""The ClickHouse settings that every query sends, so that no settings profile can change what a query returns.

`FIXED` covers what alters a result without an error: rows left out, groups cut off, approximate counts, other NULLs.
Most values are ClickHouse's defaults. They are sent all the same: shards and other servers have profiles of
their own, and ClickHouse passes on to them only what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A limit that is reached must be an error, not a shorter answer.
_OVERFLOW_MODES = (
    "distinct_overflow_mode",
    "group_by_overflow_mode",
    "join_overflow_mode",
    "read_overflow_mode",
    "read_overflow_mode_leaf",
    "result_overflow_mode",
    "set_overflow_mode",
    "sort_overflow_mode",
    "timeout_overflow_mode",
    "timeout_overflow_mode_leaf",
    "transfer_overflow_mode",
)

FIXED: Mapping[str, Any] = {
    # First, because it changes the defaults of others.
    "compatibility": "",
    **dict.fromkeys(_OVERFLOW_MODES, "throw"),
    # Distributed sources: every shard answers, from a replica that lags at most five minutes, and all shards' groups
    # are merged. Shards are not skipped by their sharding key: rows may have been written past it.
    "skip_unavailable_shards": 0,
    "fallback_to_stale_replicas_for_distributed_queries": 0,
    "max_replica_delay_for_distributed_queries": 300,
    "distributed_group_by_no_merge": 0,
    "distributed_product_mode": "deny",
    "optimize_skip_unused_shards": 0,
    # Parallel replicas divide a table among them by a key or a sample.
    "max_parallel_replicas": 1,
    "parallel_replicas_count": 0,
    # Filters, limits and caches around the query.
    "additional_table_filters": {},
    "additional_result_filter": "",
    "apply_deleted_mask": 1,
    "final": 0,
    "ignore_cold_parts_seconds": 0,
    "limit": 0,
    "offset": 0,
    "partial_result_on_first_cancel": 0,
    "use_query_cache": 0,
    # Exact counts.
    "count_distinct_implementation": "uniqExact",
    "optimize_trivial_approximate_count_query": 0,
    "rewrite_count_distinct_if_with_count_distinct_implementation": 0,
    # NULLs, types and names.
    "aggregate_functions_null_for_empty": 0,
    "any_join_distinct_right_table_keys": 0,
    "asterisk_include_alias_columns": 0,
    "asterisk_include_materialized_columns": 0,
    "cast_keep_nullable": 0,
    "data_type_default_nullable": 0,
    "date_time_overflow_behavior": "ignore",
    "decimal_check_overflow": 1,
    "empty_result_for_aggregation_by_constant_keys_on_empty_set": 1,
    "empty_result_for_aggregation_by_empty_set": 0,
    "enable_analyzer": 1,
    "enable_extended_results_for_datetime_functions": 0,
    "enable_positional_arguments": 1,
    "external_table_functions_use_nulls": 1,
    "group_by_use_nulls": 0,
    "insert_null_as_default": 1,
    "join_any_take_last_row": 0,
    "join_default_strictness": "ALL",
    "join_use_nulls": 0,
    "prefer_column_name_to_alias": 1,
    "session_timezone": "",
    "transform_null_in": 0,
    # The day is in every key, so FINAL need not compare rows of different days.
    "do_not_merge_across_partitions_select_final": 1,
    # A statement that has returned is done, on this replica and on every host of ON CLUSTER, and an insert that is sent
    # again is not stored again.
    "alter_sync": 1,
    "async_insert": 0,
    "distributed_ddl_output_mode": "none",
    "distributed_ddl_task_timeout": 180,
    "insert_deduplicate": 1,
    "mutations_sync": 1,
}

# Settings that ClickHouse 24.8 does not have yet: a server would refuse a query with a setting that it does not know.
FIXED_WHERE_KNOWN: Mapping[str, Any] = {
    "apply_patch_parts": 1,
    "deduplicate_insert": "enable",
    "enable_named_columns_in_function_tuple": 0,
    "ignore_on_cluster_for_replicated_database": 1,
    "run_query_in_background": 0,
}

# Sent where METRICS_CLICKHOUSE_CLUSTER is named, with `insert_quorum` = all replicas: the next statement may go to
# another replica, which must have what this one has written. A replica that is away is an error after a minute.
ON_EVERY_REPLICA: Mapping[str, Any] = {
    "alter_sync": 2,
    "insert_quorum_timeout": 60_000,
    "mutations_sync": 2,
    "replication_wait_for_inactive_replica_timeout": 60,
}
