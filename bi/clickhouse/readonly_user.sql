-- A user for Redash and Superset that reads the platform's results and nothing else, and cannot hurt the server.
--
-- Run it once as an administrator: clickhouse client --multiquery < bi/clickhouse/readonly_user.sql
-- First replace `metrics` if METRICS_CLICKHOUSE_URL names another database. On a cluster, add ON CLUSTER.
-- The user has no password, and no one can log in, until you run the statement at the end of this file.

CREATE SETTINGS PROFILE IF NOT EXISTS metrics_bi SETTINGS
    -- 1: may read, but not change settings. With 2, every query could lift the limits below.
    readonly = 1,
    -- Times without a zone are the product's local times. The zone of a server or session must not shift them.
    session_timezone = 'UTC',
    -- Versions of a row are in one partition, so that FINAL need not compare days. Newer servers see that themselves.
    do_not_merge_across_partitions_select_final = 1,
    max_execution_time = 60,                -- seconds a query may take
    max_memory_usage = 4000000000,          -- bytes a query may take
    max_memory_usage_for_user = 8000000000, -- bytes all its queries together may take
    max_threads = 4,
    max_concurrent_queries_for_user = 20,   -- a dashboard asks for all charts of a tab at once
    max_result_rows = 1000000,
    result_overflow_mode = 'throw';

CREATE USER IF NOT EXISTS metrics_bi IDENTIFIED WITH no_authentication HOST NONE SETTINGS PROFILE 'metrics_bi';

-- The results. Neither the tables with a row per user nor the events: BI needs none of them.
GRANT SELECT ON metrics.app_daily TO metrics_bi;
GRANT SELECT ON metrics.dimension_metrics TO metrics_bi;
GRANT SELECT ON metrics.metric_daily TO metrics_bi;
GRANT SELECT ON metrics.slot_metrics TO metrics_bi;
GRANT SELECT ON metrics.user_cohorts TO metrics_bi;
GRANT SELECT ON metrics.verdicts TO metrics_bi;
GRANT SELECT ON metrics.incidents TO metrics_bi;

-- Run this yourself, with the addresses of your BI tools, so that the password is in no file:
--   ALTER USER metrics_bi IDENTIFIED WITH sha256_hash BY '<hash>' HOST IP '10.0.0.0/8';
-- The hash: python3 -c "import getpass, hashlib; print(hashlib.sha256(getpass.getpass().encode()).hexdigest())"
