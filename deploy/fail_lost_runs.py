"""Fail the runs that died with the previous code location. Run this beside a code location that starts.

Runs are processes of the code location. If one of them is killed, its server reports it. If the server itself is killed
(the machine went down, the container ran out of memory), nothing does: such runs would stay "started" and block their
pools until their `max_runtime` is over. There is only one code location, so runs that started before it cannot be
alive. This script fails them once the new server answers, and Dagster starts them again (`run_retries`), from the step
that was interrupted. Runs in a command's process (`dagster asset materialize`) have no server, and are left alone.
"""

import os
import time

import grpc
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

# Dagster's tag of a run that a code server executes: the server's address.
SERVER = ".dagster/grpc_info"
# Starting runs have their own time limit (`start_timeout_seconds`).
GOING_ON = [DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
WHY = "The code location that executed this run was killed."


def main() -> None:
    """Wait for the server on DAGSTER_CODE_PORT of this machine, then fail the runs that began before."""
    begun = time.time()
    # gRPC would use HTTP_PROXY for this machine, too.
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
