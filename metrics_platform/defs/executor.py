"""Where the steps of a run are executed: of a few days in the run's own process, of more in a process for each step.

The eleven steps of a small day take less time than their processes need to start. In a long range, extracts and slices
run in parallel.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.multiprocess import MultiprocessExecutor

from metrics_platform.time_windows import RANGE_END, RANGE_START

# The nightly run has two days by default. The processes take some four seconds to start.
MOST_DAYS_IN_ONE_PROCESS = 6


class ShortRunsInProcess(MultiprocessExecutor):
    """Dagster's multiprocess executor, which leaves runs of a few days to its in-process executor."""

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Execute the steps of a run."""
        if number_of_days(plan_context.dagster_run.tags) <= MOST_DAYS_IN_ONE_PROCESS:
            return InProcessExecutor(self.retries).execute(plan_context, execution_plan)
        return super().execute(plan_context, execution_plan)


@dg.executor(name="short_runs_in_process", requirements=dg.multiple_process_executor_requirements())
def run_executor(_context: dg.InitExecutorContext) -> dg.Executor:
    """Run the steps of long ranges in processes of their own.

    A fork server that has loaded the code location once starts a process much faster than a new interpreter (measured:
    a run of seven steps takes 11 s instead of 16 s).
    """
    return ShortRunsInProcess(
        RetryMode.ENABLED,
        max_concurrent=None,
        start_method="forkserver",
        explicit_forkserver_preload=["metrics_platform.preloaded"],
    )


def number_of_days(tags: Mapping[str, str]) -> int:
    """The number of days of a run with these tags; 1 where they name no range."""
    if RANGE_START not in tags:
        return 1
    first, last = (datetime.date.fromisoformat(tags[name]) for name in (RANGE_START, RANGE_END))
    return (last - first).days + 1
