"""The definitions that Dagster loads. On Linux, it starts runs as forks of a process that has loaded everything.

Dagster's code server starts a new interpreter for each run, which loads Dagster, the platform and its libraries again:
most of the time between a slot's end and its alert. Here that process is a fork of multiprocessing's fork server.
Everything else stays Dagster's: how a run is watched, cancelled and reported.
"""

from __future__ import annotations

import multiprocessing
import sys

from metrics_platform.defs import build_definitions
from metrics_platform.settings import load_settings

# What a run of any job needs, and what the check and its alert need. Nothing of it may start threads or open anything.
LOADED_ONCE = (
    "metrics_platform.preloaded",
    "metrics_platform.defs.monitoring.computing",
    "metrics_platform.defs.delivery.sending",
    "metrics_platform.charts.figure",
    "dagster._grpc.impl",
)


def fork_runs() -> None:
    """Let the code server that runs in this process, if one does, fork its runs.

    Only on Linux: libraries of macOS do not survive a fork. In a Dagster without this private attribute, runs start as
    usual.
    """
    server = sys.modules.get("dagster._grpc.server")
    if server is None or sys.platform != "linux":
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED_ONCE))
    # A property takes precedence over what each server sets of its own.
    server.DagsterApiServer._mp_ctx = property(lambda _: context, lambda _, __: None)


fork_runs()
defs = build_definitions(load_settings())
