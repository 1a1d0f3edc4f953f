"""The job `notify` and its sensor on Dagster's own storage, with Telegram on loopback: each message arrives, once."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine
from dagster._cli.utils import get_possibly_temporary_instance_for_cli

from metrics_platform.defs.delivery import tick as delivery_tick
from metrics_platform.defs.delivery.names import KEY
from metrics_platform.defs.delivery.storage import ask
from metrics_platform.notifications import kinds
from metrics_platform.settings import Settings
from metrics_platform_tests.defs.post_office import PostOffice, metadata_of, notify_process, wait_until
from metrics_platform_tests.notifications.examples import EXAMPLES, anomaly
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.telegram.faults import Fault

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
    return event.model_copy(update={"occurred_at": datetime.datetime.now(datetime.UTC), **changes})


def test_a_message_is_a_run_that_shows_it_its_pictures_attempts_and_link(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(ALERT, charts=True))
    (run,) = office.tick()
    assert run.success
    (message,) = api.messages(api.supergroup)
    shown = metadata_of(run)
    assert "CRITICAL" in shown["message"].value and "Views" in shown["message"].value
    assert shown["pictures"].value.startswith("![Views")
    assert shown["link"].value == f"https://t.me/c/{str(api.supergroup)[4:]}/{message.message_id}"
    attempts = [(record.data["what"], record.data["answer"]) for record in shown["attempts"].records]
    assert [what for what, _ in attempts] == ["asked for", "sending step 1", "sent step 1 of 1", "delivered"]
    assert f"message {message.message_id}" in attempts[2][1]
    assert office.instance.get_dynamic_partitions("notifications") == [ALERT]


def test_the_same_event_asked_for_twice_is_one_message(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(FAILED_RUN), _now(FAILED_RUN))
    office.until_quiet()
    office.ask(_now(FAILED_RUN))
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1
    assert len(office.runs) == 1


def test_a_daemon_killed_before_it_stored_its_cursor_sends_nothing_twice(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(FAILED_RUN))
    before = office.cursor
    office.tick()
    office.cursor = before
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_a_daemon_killed_before_it_made_the_run_loses_nothing(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(FAILED_RUN))
    office.store(office.result_of_a_tick())  # … and here it was killed
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_without_its_cursor_the_sensor_finds_what_waits_and_leaves_what_is_delivered(
    office: PostOffice, api: BotApi
) -> None:
    office.ask(_now(FAILED_RUN))
    office.until_quiet()
    office.ask(_now(ALERT))
    office.cursor = None
    office.until_quiet()
    assert [message.text[:10] for message in api.messages(api.supergroup)] == ["❌ FAILED ·", "🔴 CRITICAL"]


def test_messages_leave_one_at_a_time_the_oldest_first(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(FAILED_RUN), _now(ALERT))
    assert len(office.tick()) == 1
    assert [message.text[:8] for message in api.messages(api.supergroup)] == ["❌ FAILED"]
    office.until_quiet()
    assert [message.text[:8] for message in api.messages(api.supergroup)] == ["❌ FAILED", "🔴 CRITIC"]


def test_while_a_run_of_notify_is_going_on_no_other_is_asked_for(office: PostOffice, api: BotApi) -> None:
    office.tick()
    going_on = office.instance.create_run_for_job(office.definitions.resolve_job_def("notify"))
    office.ask(_now(FAILED_RUN))
    assert office.tick() == []
    assert "one at a time" in office.reasons[-1]
    office.instance.report_run_canceled(going_on)
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_a_run_of_notify_that_dagster_believes_alive_for_ever_holds_up_nothing(office: PostOffice, api: BotApi) -> None:
    office.tick()
    dead = office.instance.create_run_for_job(office.definitions.resolve_job_def("notify"))
    office.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, job_name="notify"), run_id=dead.run_id
    )
    office.ask(_now(FAILED_RUN))
    assert office.tick() == []
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=16)):
        office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1


def test_the_all_clear_is_a_silent_reply_and_changes_the_first_line_of_the_alert(
    office: PostOffice, api: BotApi
) -> None:
    office.ask(_now(ALERT))
    office.until_quiet()
    office.ask(_now(ALL_CLEAR))
    office.until_quiet()
    alert, all_clear = api.messages(api.supergroup)
    assert (all_clear.reply_to, all_clear.silent) == (alert.message_id, True)
    assert alert.text.startswith("✅ RESOLVED")
    assert alert.edits[0].text.startswith("🔴 CRITICAL")


@pytest.mark.parametrize(("key", "arrives"), [(FAILED_RUN, 2), (REPORT, 1)])
def test_a_run_killed_after_telegram_took_the_message_repeats_alerts_and_not_reports(
    office: PostOffice, api: BotApi, key: str, arrives: int
) -> None:
    office.ask(_now(key, parts=()) if key == REPORT else _now(key))
    result = office.result_of_a_tick()
    office.store(result)
    api.faults.add(Fault.hanging(processed=True))
    with notify_process(office, key) as process:
        wait_until(lambda: api.messages(api.supergroup))
        process.kill()
    (run,) = office.instance.get_runs(dg.RunsFilter(job_name="notify"))
    office.instance.report_run_failed(run)  # what Dagster's run monitoring does
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)):
        office.until_quiet()
    assert len(api.messages(api.supergroup)) == arrives
    outcome = office.outcome(key)
    assert outcome is not None
    assert (outcome.outcome, office.runs[-1].success) == (
        ("delivered", True) if key == FAILED_RUN else ("unknown", False)
    )


def test_what_could_not_be_delivered_within_its_time_is_given_up_and_says_so(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi
) -> None:
    office = PostOffice(telegram_settings(message_max_age_hours=1), instance)
    office.ask(_now(FAILED_RUN))
    api.down()
    office.tick()
    with time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=70)):
        office.until_quiet()
    outcome = office.outcome(FAILED_RUN)
    assert outcome is not None and outcome.outcome == "given_up"
    assert "METRICS_MESSAGE_MAX_AGE_HOURS" in outcome.text
    api.up()
    office.until_quiet()
    assert api.messages(api.supergroup) == []


def test_a_failed_run_says_what_telegram_said_and_that_it_is_tried_again(office: PostOffice, api: BotApi) -> None:
    api.remove_chat(api.supergroup)
    office.ask(_now(FAILED_RUN))
    (run,) = office.tick()
    assert not run.success
    (text,) = [
        event.step_failure_data.user_failure_data.description
        for event in run.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data
    ]
    assert "chat not found" in str(text) and "TELEGRAM_CHAT_ID" in str(text) and "tried again" in str(text)
    assert "FAILED" in metadata_of(run)["message"].value


def test_a_message_that_this_version_cannot_read_is_given_up_and_stops_no_other(
    office: PostOffice, api: BotApi
) -> None:
    entry = dg.MetadataValue.json({"entry": "asked", "notification": {"kind": "telepathy"}})
    office.instance.report_runless_asset_event(
        dg.AssetObservation("notifications", partition="from-the-future", metadata={"entry": entry})
    )
    office.ask(_now(FAILED_RUN))
    office.until_quiet()
    assert len(api.messages(api.supergroup)) == 1
    outcome = office.outcome("from-the-future")
    assert outcome is not None and "cannot read" in outcome.text


def test_sent_once_more_on_request_and_only_then(office: PostOffice, api: BotApi) -> None:
    office.ask(_now(FAILED_RUN))
    office.until_quiet()
    again = office.notify(FAILED_RUN)
    assert again.success and len(api.messages(api.supergroup)) == 1
    assert metadata_of(again)["outcome"].value == "delivered: telegram"
    assert office.notify(FAILED_RUN, again=True).success
    assert len(api.messages(api.supergroup)) == 2


def test_a_partition_nobody_asked_for_says_how_to_send_a_test_message(office: PostOffice) -> None:
    office.instance.add_dynamic_partitions("notifications", ["nothing"])
    run = office.notify("nothing")
    (failure,) = [event for event in run.all_events if event.is_step_failure]
    assert "notify-test" in str(failure.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]


def test_in_a_dry_run_the_message_and_picture_are_in_the_outbox_and_in_the_run(
    telegram_settings: Callable[..., Settings], instance: dg.DagsterInstance, api: BotApi
) -> None:
    settings = telegram_settings(dry_run=True)
    office = PostOffice(settings, instance)
    office.ask(_now(ALERT, charts=True))
    (run,) = office.tick()
    assert api.calls == []
    page = next(path for path in settings.outbox.glob("*.html") if path.name != "index.html")
    assert "CRITICAL" in page.read_text(encoding="utf-8")
    assert len(list(settings.outbox.glob("*.png"))) == 1
    assert metadata_of(run)["link"] == dg.MetadataValue.path(str(page.resolve()))  # no browser follows file://
    assert "pictures" in metadata_of(run)


def test_clickhouse_is_not_asked_for_anything(office: PostOffice, api: BotApi) -> None:
    # The settings name a ClickHouse that is away; a message that says so gets out all the same.
    office.ask(_now(FAILED_RUN, cause="ClickHouse cannot be reached: connection refused"))
    office.until_quiet()
    assert "ClickHouse cannot be reached" in api.messages(api.supergroup)[0].text


def test_dagster_lists_the_latest_partitions_only(
    office: PostOffice, api: BotApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_tick, "MOST_PARTITIONS", 2)
    for number in range(4):
        office.ask(_now(FAILED_RUN, key=f"run-{number}"))
        office.until_quiet()
    assert office.instance.get_dynamic_partitions("notifications") == ["run-1", "run-2", "run-3"]
    assert len(api.messages(api.supergroup)) == 4


def test_a_burst_of_fifty_is_few_messages_within_telegrams_limits(office: PostOffice, api: BotApi) -> None:
    api.limits.enabled = True
    office.budget_seconds = 30
    office.ask(*(_now(FAILED_RUN, key=f"run-{number}", job=f"job_{number}") for number in range(50)))
    office.until_quiet()
    messages = api.messages(api.supergroup)
    assert 1 < len(messages) <= 4
    told = "".join(message.text for message in messages)
    assert {f"job_{number}" for number in range(50)} <= set(re.findall(r"job_\d+", told))
    assert all(call.ok for call in api.calls_of("sendMessage"))
    assert all(office.outcome(f"run-{number}") for number in range(50))


def test_the_token_is_nowhere_in_dagsters_storage_whatever_happens(
    office: PostOffice, api: BotApi, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    faults = [
        Fault.server_error(502),
        Fault.not_json(),
        Fault.too_many_requests(900),
        Fault.redirect(f"{api.base}/bot{api.token}/sendMessage"),
        Fault.dropped(processed=False),
        Fault.refusal(401, "Unauthorized"),
    ]
    for number, fault in enumerate(faults):
        api.faults.add(fault)
        office.ask(_now(FAILED_RUN, key=f"run-{number}", cause=f"https://api.telegram.org/bot{api.token}/getMe failed"))
        office.instance.add_dynamic_partitions("notifications", [f"run-{number}"])
        assert not office.notify(f"run-{number}").success
    assert api.faults.waiting == 0
    api.down()
    office.instance.add_dynamic_partitions("notifications", ["run-down"])
    office.ask(_now(FAILED_RUN, key="run-down"))
    assert not office.notify("run-down").success
    secret = api.token.partition(":")[2].encode()
    stored = [path for path in (tmp_path / "dagster").rglob("*") if path.is_file()]
    assert len(stored) > 5
    assert [path for path in stored if secret in path.read_bytes()] == []


def test_a_run_asks_for_a_message_by_one_call_and_it_is_durable_at_once(office: PostOffice, api: BotApi) -> None:
    @dg.op
    def tell(context) -> None:
        ask(context, _now(FAILED_RUN))
        raise RuntimeError("the run goes on to fail")

    @dg.job
    def telling() -> None:
        tell()

    assert not telling.execute_in_process(instance=office.instance, raise_on_error=False).success
    office.until_quiet()
    assert [message.text[:8] for message in api.messages(api.supergroup)] == ["❌ FAILED"]


def test_a_run_whose_storage_ends_with_its_command_asks_for_nothing_and_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def tell(context) -> None:
        ask(context, _now(FAILED_RUN))

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
