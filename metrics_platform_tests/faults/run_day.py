"""A run of `daily_etl` as a process of its own, so that it can be killed.

The processes are forked from a server that has loaded Dagster once: a run begins in milliseconds. Everything in
them is the product's own; only the waits between a step's retries are shorter.
"""

from __future__ import annotations

import datetime
import functools
import multiprocessing
import os
import signal
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import dagster as dg

from metrics_platform.defs import day_assets
from metrics_platform.settings import Settings
from metrics_platform.warehouse import client
from metrics_platform_tests.defs.running import CodeLocation, failure_texts

KILLED = -signal.SIGKILL
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["metrics_platform_tests.faults.warm"])


@dataclass(frozen=True)
class Plan:
    """What the process runs.

    Attributes:
        settings: the code location's.
        first: the day, or the first of a range in one run.
        last: the last day of the range.
        assets: the assets to run; empty: all of the job.
        retry_delay: seconds before a step's first retry, instead of the policy's.
        client_waits: the client's waits between its tries, instead of its own.
    """

    settings: Settings
    first: datetime.date
    last: datetime.date | None = None
    assets: tuple[str, ...] = ()
    retry_delay: float = 0.3
    client_waits: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """How the process ended.

    Attributes:
        exit_code: negative: the signal that killed it.
        success: whether Dagster calls the run a success; None if it did not come to say.
        failures: step → what Dagster shows as the cause.
        retried: the steps that were retried, one entry per retry.
        crash: the traceback, if the run raised.
    """

    exit_code: int
    success: bool | None = None
    failures: dict[str, str] = field(default_factory=dict)
    retried: tuple[str, ...] = ()
    crash: str = ""


class RunProcess:
    """A run as a process, for the time of a `with` block: started with it, ended with it at the latest."""

    def __init__(self, plan: Plan) -> None:
        self._answers, self._answer = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_run, args=(plan, self._answer), daemon=True)

    def __enter__(self) -> RunProcess:
        self._process.start()
        self._answer.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self._answers.close()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self, seconds: float = 600) -> Outcome:
        """How it ended; a run that does not end in time is a failed test."""
        said = self._said(seconds)
        self._process.join(seconds)
        assert self._process.exitcode is not None, f"the run has not ended within {seconds:g} s"
        return Outcome(self._process.exitcode, **said)

    def _said(self, seconds: float) -> dict[str, Any]:
        try:
            return self._answers.recv() if self._answers.poll(seconds) else {}
        except EOFError:  # killed
            return {}


def run_to_its_end(plan: Plan) -> Outcome:
    """Run and wait."""
    with RunProcess(plan) as run:
        return run.wait()


def _run(plan: Plan, answer: Connection) -> None:
    """What the process does."""
    policy = day_assets.RETRY_POLICY
    day_assets.RETRY_POLICY = dg.RetryPolicy(policy.max_retries, plan.retry_delay, policy.backoff, policy.jitter)
    if plan.client_waits is not None:
        client.Warehouse.from_settings = functools.partial(  # type: ignore[method-assign]
            client.Warehouse.from_settings, retry_waits=plan.client_waits
        )
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            result = CodeLocation(plan.settings, instance).run(plan.first, plan.last, assets=plan.assets or None)
            retried = tuple(str(event.step_key) for event in result.all_events if event.is_step_up_for_retry)
            answer.send({"success": result.success, "failures": _failures(result), "retried": retried})
    except BaseException:
        answer.send({"crash": traceback.format_exc()})
        raise


def _failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step → what Dagster shows, with the causes: of retries that are used up the last error is only a cause."""
    texts = failure_texts(result)
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error and (error := error.cause):
                texts[str(event.step_key)] += f"\n{error.message}"
    return texts
