"""Fails the runs that a code location took with it when it died; run it before a code location starts.

Runs are processes of the code location. Where one of them is killed, its server says so. Where the server itself is
killed (the machine went down, the container ran out of memory), nobody does: such runs would stay «started», and hold
the places of their pools, until their `max_runtime` is over. As the only code location begins to start, none of its runs
can be alive: they are failed here, and Dagster starts them again (`run_retries`). Runs that a command on another
machine executes by itself (`dagster asset materialize`) have no server, and are left alone.
"""

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

# Dagster's tag of a run that a code server executes: the server's address.
SERVER = ".dagster/grpc_info"
GOING_ON = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
WHY = "The code location that executed this run was killed."

if __name__ == "__main__":
    with DagsterInstance.get() as instance:
        for record in instance.get_run_records(RunsFilter(statuses=GOING_ON)):
            run = record.dagster_run
            if SERVER in run.tags:
                instance.report_run_failed(run, WHY)
