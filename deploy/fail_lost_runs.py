"""Fails the runs that a code location took with it when it died; run it beside a code location that starts.

Runs are processes of the code location. Where one of them is killed, its server says so. Where the server itself is
killed (the machine went down, the container ran out of memory), nothing does: such runs would stay "started" and hold
the places of their pools, until their `max_runtime` is over. There is one code location, so what was started before it
cannot be alive. It is failed here once the new server answers, and Dagster starts it again (`run_retries`; not runs of
backfills, which have ended for Dagster). Runs executed in a command's process (`dagster asset materialize`) have no
server, and are left alone.
"""

import os
import time

import grpc
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

# Dagster's tag of a run that a code server executes: the server's address.
SERVER = ".dagster/grpc_info"
# Runs that are starting have a time limit of their own (`start_timeout_seconds`).
GOING_ON = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
WHY = "The code location that executed this run was killed."


def main() -> None:
    """Wait for the server on DAGSTER_CODE_PORT of this machine, then fail what began before."""
    begun = time.time()
    # gRPC would take HTTP_PROXY for this machine, too.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"localhost:{os.environ['DAGSTER_CODE_PORT']}", options=options) as channel:
        HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), wait_for_ready=True)
    with DagsterInstance.get() as instance:
        for record in instance.get_run_records(RunsFilter(statuses=GOING_ON)):
            run = record.dagster_run
            if SERVER in run.tags and record.start_time and record.start_time < begun:
                instance.report_run_failed(run, WHY)


if __name__ == "__main__":
    main()
