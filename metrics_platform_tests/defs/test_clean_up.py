"""Deleting old runs: what the UI and messages need stays, everything else goes, with its files."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from metrics_platform.defs.clean_up import clean_up
from metrics_platform.defs.delivery.notify import ASSET

LATER = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
DAYS = dg.StaticPartitionsDefinition(["monday", "tuesday"])


@dg.asset(partitions_def=DAYS)
def slots(context: dg.AssetExecutionContext) -> None:
    """Slots of a day."""


@dg.op
def send(context: dg.OpExecutionContext) -> None:
    """Store an entry of a message."""
    context.log_event(dg.AssetObservation(ASSET, partition="report"))


@dg.op
def fail(context: dg.OpExecutionContext) -> None:
    """Fail."""
    raise dg.Failure("no")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def _job(op: dg.OpDefinition) -> dg.JobDefinition:
    return dg.GraphDefinition(name=f"{op.name}_job", node_defs=[op]).to_job()


def test_runs_that_partitions_or_messages_need_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    def check(day: str) -> str:
        return dg.materialize([slots], instance=instance, partition_key=day).run_id

    superseded, monday, tuesday = check("monday"), check("monday"), check("tuesday")
    message = _job(send).execute_in_process(instance=instance).run_id
    failed = _job(fail).execute_in_process(instance=instance, raise_on_error=False).run_id
    running = instance.create_run_for_job(_job(send), status=dg.DagsterRunStatus.STARTED).run_id
    assert clean_up(instance, datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)) == (0, 0)
    assert clean_up(instance, LATER, max_seconds=0) == (0, 2)
    assert clean_up(instance, LATER) == (2, 0)
    assert {run.run_id for run in instance.get_runs()} == {monday, tuesday, message, running}
    assert instance.get_materialized_partitions(dg.AssetKey("slots")) == {"monday", "tuesday"}
    assert instance.fetch_observations(dg.AssetKey(ASSET), limit=9).records
    for gone in (superseded, failed):
        assert not instance.has_run(gone)
        assert [file for file in tmp_path.rglob(f"*{gone}*") if file.is_file()] == []
    assert clean_up(instance, LATER) == (0, 0)


def test_partitions_of_single_slots_of_earlier_versions_keep_no_runs(instance: dg.DagsterInstance) -> None:
    @dg.op
    def check(context: dg.OpExecutionContext) -> None:
        slot = str(context.run.tags["slot"])
        context.log_event(dg.AssetMaterialization("slots", partition=slot))

    runs = [
        _job(check).execute_in_process(instance=instance, tags={"slot": slot}).run_id
        for slot in ("2026-11-20-10:45", "2026-11-20-11:00", "2026-11-20")
    ]
    assert clean_up(instance, LATER) == (2, 0)
    assert [run.run_id for run in instance.get_runs()] == [runs[-1]]
