"""Loaded once by the server that runs are forked from: whatever a run would import while it is running."""

import clickhouse_connect
import dagster as dg

from metrics_platform_tests.faults import run_day

with dg.DagsterInstance.ephemeral():
    pass

__all__ = ["clickhouse_connect", "run_day"]
