"""The job `notify` and its sensor on Dagster's own storage, with Telegram on loopback: each message arrives, once."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from dagster._cli.utils import get_possibly_temporary_instance_for_cli

from metrics_platform.defs.delivery import sending
from metrics_platform.defs.delivery.notify import KEY
from metrics_platform.defs.delivery.storage import enqueue
from metrics_platform.notifications import kinds
from metrics_platform.settings import Settings
from metrics_platform_tests.defs.post_office import PostOffice, failure_of, notify_process, wait_until
from metrics_platform_tests.defs.running import QUIET
from metrics_platform_tests.notifications import slack_webhook
from metrics_platform_tests.notifications.examples import EXAMPLES, anomaly
from metrics_platform_tests.telegram.bot_api import BotApi, Fault
from metrics_platform_tests.telegram.state import Standing


@pytest.fixture
def instance(stored_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    return stored_instance


ALERT, ALL_CLEAR, FAILED_RUN, REPORT = (
    "anomaly-A7K2Q",
    "anomaly-A7K2Q-resolved",
    "run-7d1c3a55",
    "report-2026-11-21",
)


def _now(example: str, *, charts: bool = False, **changes: Any) -> kinds.Event:
    """An example that happens now; the alert without its chart, whose drawing takes longer than all else."""
    event = EXAMPLES[example]
    if example == ALERT and not charts:
        changes = {"anomalies": (anomaly(),), **changes}
    if example == REPORT:
        changes = {"parts": (), **changes}
    return event.model_copy(update={"occurred_at": datetime.datetime.now(datetime.UTC), **changes})


def _later(**much: float) -> Any:
    return time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(**much))


# --- what Dagster shows ----------------------------------------------------------------------------------------------


def test_one_run_sends_all_and_each_partition_shows_its_message_and_attempts(office: PostOffice, api: BotApi) -> None:
    office.queue(_now(ALERT, charts=True), _now(REPORT))
    (run,) = office.tick()
    assert run.success
    alert, report = api.messages(api.supergroup)
    shown = office.shown(ALERT)
    assert "CRITICAL" in shown["message"].value and "Views" in shown["message"].value
    assert shown["pictures"].value.startswith("![Views")
    assert shown["link"].value == f"https://t.me/c/{str(api.supergroup)[4:]}/{alert.message_id}"
    attempts = [(record.data["what"], record.data["answer"]) for record in shown["attempts"].records]
    assert [what for what, _ in attempts] == [
        "queued",
        "started",
        "sending step 1",
        "sent step 1 of 1",
        "delivered",
    ]
    assert f"message {alert.message_id}" in attempts[3][1]
    assert "Stands out" in office.shown(REPORT)["message"].value
    assert report.silent
    assert set(office.instance.get_dynamic_partitions("notifications")) == {ALERT, REPORT}


def test_the_messages_of_a_digest_are_materialised_with_it(office: PostOffice, api: BotApi) -> None:
    office.queue(*(_now(FAILED_RUN, key=f"run-{number}", job=f"job_{number}") for number in range(12)))
    (run,) = office.tick()
    assert run.success
    assert len(api.messages(api.supergroup)) == 1
    assert all(office.shown(f"run-{number}")["sent within"].value.startswith("digest-") for number in range(12))


def test_a_failed_attempt_is_shown_in_its_partition_and_in_the_failed_run(office: PostOffice, api: BotApi) -> None:
    api.remove_chat(api.supergroup)
    office.queue(_now(FAILED_RUN))
    (run,) = office.tick()
    assert not run.success
    for text in (failure_of(run), office.shown_failure(FAILED_RUN)[0]):
        assert "chat not found" in text and "TELEGRAM_CHAT_ID" in text and "tried again" in text
    assert "FAILED" in office.shown_failure(FAILED_RUN)[1]["message"].value


def test_a_dry_run_shows_message_and_picture_in_outbox_and_partition(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi
) -> None:
    settings = telegram_settings(dry_run=True)
    office = PostOffice(settings, instance)
    office.queue(_now(ALERT, charts=True))
    office.tick()
    assert api.calls == []
    page = next(path for path in settings.outbox.glob("*.html") if path.name != "index.html")
    assert "CRITICAL" in page.read_text(encoding="utf-8")
    assert len(list(settings.outbox.glob("*.png"))) == 1
    assert office.shown(ALERT)["link"] == dg.MetadataValue.path(str(page.resolve()))  # no browser follows file://
    assert "pictures" in office.shown(ALERT)


def test_dagster_lists_the_latest_partitions_only(
    office: PostOffice, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_PARTITIONS", 2)
    office.queue(*(_now(FAILED_RUN, key=f"run-{number}") for number in range(4)))
    office.until_quiet()
    assert len(office.instance.get_dynamic_partitions("notifications")) == 2
    assert len(api.messages(api.supergroup)) == 4


# --- once, whoever is killed -----------------------------------------------------------------------------------------


def test_an_event_queued_twice_is_one_message(office: PostOffice, api: BotApi) -> None:
    office.queue(_now(FAILED_RUN), _now(FAILED_RUN))
    office.until_quiet()
    office.queue(_now(FAILED_RUN))
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1
    assert len(office.runs) == 1


def test_a_daemon_killed_before_it_made_the_run_or_kept_its_cursor_changes_nothing(
    office: PostOffice, api: BotApi
) -> None:
    office.queue(_now(FAILED_RUN))
    office.result_of_a_tick()  # killed before the run was made
    office.tick()
    office.cursor = None  # killed before the cursor was kept
    office.queue(_now(ALERT))
    office.until_quiet()
    assert [message.text[:10] for message in api.messages(api.supergroup)] == ["❌ FAILED ·", "🔴 CRITICAL"]


def test_two_runs_at_once_send_nothing_twice(office: PostOffice, api: BotApi) -> None:
    office.queue(_now(FAILED_RUN))
    first, second = office.result_of_a_tick(), office.result_of_a_tick()
    for result in (first, second):
        (request,) = [request for request in result.run_requests or [] if request.job_name == "notify"]
        assert office.notify(request).success
    assert len(api.messages(api.supergroup)) == 1


def test_while_a_run_of_notify_is_queued_or_running_no_other_is_started(office: PostOffice, api: BotApi) -> None:
    office.tick()
    running = office.instance.add_run(dg.DagsterRun("notify"))
    office.queue(_now(FAILED_RUN))
    assert office.tick() == []
    assert office.reasons[-1] == "A run of notify is sending."
    office.instance.report_run_canceled(running)
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_a_dead_run_that_dagster_believes_alive_is_replaced(office: PostOffice, api: BotApi) -> None:
    office.tick()
    dead = office.instance.add_run(dg.DagsterRun("notify"))
    office.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="notify"), run_id=dead.run_id
    )
    office.queue(_now(FAILED_RUN))
    assert office.tick() == []
    with _later(minutes=16):
        office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_a_run_is_ready_when_a_check_of_the_monitor_may_queue_an_alert(office: PostOffice) -> None:
    office.tick()
    check = office.instance.add_run(dg.DagsterRun("anomaly_check"))
    office.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="anomaly_check"), run_id=check.run_id
    )
    assert [request.job_name for request in office.result_of_a_tick().run_requests or []] == ["notify"]
    with _later(seconds=30):
        assert not office.result_of_a_tick().run_requests
    office.instance.report_run_canceled(check)
    assert not office.result_of_a_tick().run_requests


BEFORE = Fault.hanging(processed=False)
AFTER = Fault.hanging(processed=True)
WAITING = Fault.too_many_requests(30)


@pytest.mark.parametrize(
    ("key", "killed", "in_chat", "in_the_end"),
    [(FAILED_RUN, BEFORE, 0, 1), (FAILED_RUN, AFTER, 1, 2), (FAILED_RUN, WAITING, 0, 1), (REPORT, AFTER, 1, 1)],
    ids=["before it is sent", "before it is recorded", "while it waits", "a report before it is recorded"],
)
def test_a_killed_run_repeats_alerts_and_not_reports(  # noqa: PLR0917
    office: PostOffice, api: BotApi, key: str, killed: Fault, in_chat: int, in_the_end: int
) -> None:
    office.queue(_now(key))
    api.faults.add(killed)
    with notify_process(office) as process:
        wait_until(lambda: api.faults.waiting == 0 and len(api.messages(api.supergroup)) == in_chat)
        process.kill()
    (run,) = office.instance.get_runs(dg.RunsFilter(job_name="notify"))
    office.instance.report_run_failed(run)  # what Dagster's run monitoring does
    with _later(minutes=1):
        office.until_quiet()
    assert len(api.messages(api.supergroup)) == in_the_end
    outcome = office.outcome(key)
    assert outcome is not None
    assert outcome.outcome == ("unknown" if key == REPORT else "delivered")


def test_sent_once_more_on_request_and_only_then(office: PostOffice, api: BotApi) -> None:
    office.queue(_now(FAILED_RUN))
    office.until_quiet()
    again = office.materialize(FAILED_RUN)
    assert again.success and len(api.messages(api.supergroup)) == 1
    assert office.shown(FAILED_RUN)["outcome"].value == "delivered: telegram"
    assert office.materialize(FAILED_RUN, again=True).success
    assert len(api.messages(api.supergroup)) == 2


def test_a_waiting_message_is_sent_when_its_partition_is_materialised(office: PostOffice, api: BotApi) -> None:
    api.down()
    office.queue(_now(FAILED_RUN))
    office.until_quiet()
    failed = office.materialize(FAILED_RUN)
    assert not failed.success and "tried again" in failure_of(failed)
    api.up()
    assert office.materialize(FAILED_RUN).success
    assert "FAILED" in office.shown(FAILED_RUN)["message"].value
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_an_unknown_partition_says_how_to_send_a_test_message(office: PostOffice) -> None:
    assert "notify-test" in failure_of(office.materialize("nothing"))


# --- without Telegram, without ClickHouse ----------------------------------------------------------------------------


def test_an_outage_from_queue_to_fallback_to_chat(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi
) -> None:
    with slack_webhook.running() as slack:
        office = PostOffice(telegram_settings(slack_webhook_url=slack.url), instance)
        api.down()
        office.queue(_now(FAILED_RUN))
        office.until_quiet()
        assert office.reasons[-1].startswith("Telegram cannot be reached: 1 waiting, next try at ")
        with _later(minutes=16):
            office.until_quiet()
            assert [payload["text"][:8] for payload in slack.payloads] == ["❌ FAILED"]
        api.up()
        with _later(hours=3):
            office.until_quiet()
            assert office.reasons[-1] == "Nothing is waiting."
        (message,) = api.messages(api.supergroup)
        assert "Delayed" in message.text
        assert len(slack.payloads) == 1


def test_while_nothing_waits_a_tick_changes_nothing(office: PostOffice) -> None:
    office.until_quiet()
    before = office.cursor
    office.until_quiet()
    assert office.cursor == before
    assert office.runs == []


# --- the journal -----------------------------------------------------------------------------------------------------


def test_messages_of_earlier_versions_are_sent_and_unreadable_ones_are_given_up(
    office: PostOffice, api: BotApi
) -> None:
    for key, notification in (
        ("from-the-future", {"kind": "telepathy"}),
        (FAILED_RUN, _now(FAILED_RUN).model_dump(mode="json")),
    ):
        entry = dg.MetadataValue.json({"entry": "asked", "notification": notification})
        office.instance.report_runless_asset_event(
            dg.AssetObservation("notifications", partition=key, metadata={"entry": entry})
        )
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1
    outcome = office.outcome("from-the-future")
    assert outcome is not None and "cannot read" in outcome.text


def test_the_token_is_nowhere_in_dagsters_storage_whatever_happens(
    office: PostOffice, api: BotApi, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    faults = [
        Fault.server_error(502),
        Fault.not_json(),
        Fault.redirect(f"{api.base}/bot{api.token}/sendMessage"),
        Fault.dropped(processed=False),
        Fault.refusal(401, "Unauthorized"),
        Fault.too_many_requests(900),
    ]
    cause = f"https://api.telegram.org/bot{api.token}/getMe failed"
    for number, fault in enumerate(faults):
        office.queue(_now(REPORT if number % 2 else FAILED_RUN, key=f"run-{number}"))
        api.faults.add(fault)
        assert not office.materialize(f"run-{number}").success
    assert api.faults.waiting == 0
    api.down()
    office.queue(_now(FAILED_RUN, key="run-down", cause=cause))
    with _later(hours=1):
        assert not office.notify().success
    secret = api.token.partition(":")[2].encode()
    stored = [path for path in (tmp_path / "dagster").rglob("*") if path.is_file()]
    assert len(stored) > 5
    assert [path for path in stored if secret in path.read_bytes()] == []


def test_a_run_queues_a_message_by_one_call_and_it_is_durable_at_once(office: PostOffice, api: BotApi) -> None:
    @dg.op
    def tell(context) -> None:
        enqueue(context, _now(FAILED_RUN))
        raise RuntimeError("the run goes on to fail")

    @dg.job
    def telling() -> None:
        tell()

    assert not telling.execute_in_process(instance=office.instance, raise_on_error=False).success
    office.until_quiet()
    assert [message.text[:8] for message in api.messages(api.supergroup)] == ["❌ FAILED"]


def test_a_run_whose_storage_does_not_last_queues_nothing_and_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def tell(context) -> None:
        enqueue(context, _now(FAILED_RUN))

    @dg.job
    def telling() -> None:
        tell()

    monkeypatch.chdir(tmp_path)  # Dagster makes its folder there
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)
    with get_possibly_temporary_instance_for_cli("a test") as instance:
        with pytest.raises(dg.Failure, match=r"DAGSTER_HOME=\$\{PWD\}/\.dagster in \.env") as refused:
            telling.execute_in_process(instance=instance)
        assert not refused.value.allow_retries
        assert instance.fetch_observations(KEY, limit=1).records == []
        monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")  # `dagster dev` keeps such a folder, and sends, until it ends
        assert telling.execute_in_process(instance=instance).success
        assert len(instance.fetch_observations(KEY, limit=2).records) == 1


# --- the check of the channels ----------------------------------------------------------------------------------------


def test_the_channels_are_checked_once_when_the_platform_starts(office: PostOffice) -> None:
    first = office.result_of_a_tick()
    assert [request.job_name for request in first.run_requests or []] == ["check_channels"]
    office.tick()
    assert not office.result_of_a_tick().run_requests


def test_the_check_names_bot_and_chat_or_what_to_do_and_sends_nothing(office: PostOffice, api: BotApi) -> None:
    job = office.definitions.resolve_job_def("check_channels")
    for standing, passed, said in (
        (Standing.WELCOME, True, ("the bot is Metrics", "Metrics, the supergroup")),
        (Standing.KICKED, False, ("add it again",)),
    ):
        api.chat(api.supergroup).standing = standing
        result = job.execute_in_process(instance=office.instance, run_config=QUIET)
        (evaluation,) = result.get_asset_check_evaluations()
        assert evaluation.passed == passed
        assert all(words in str(evaluation.description) for words in said)
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


def test_a_message_is_delivered_without_running_the_check(office: PostOffice) -> None:
    job = office.definitions.resolve_job_def("notify")
    assert not job.asset_layer.executable_asset_keys - {dg.AssetKey("notifications")}
    assert not job.asset_layer.asset_graph.asset_check_keys
