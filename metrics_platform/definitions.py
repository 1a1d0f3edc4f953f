"""The definitions that Dagster loads."""

from metrics_platform.defs import build_definitions
from metrics_platform.forked_runs import fork_runs
from metrics_platform.settings import load_settings

fork_runs()
defs = build_definitions(load_settings())
