"""The check of the channels in Dagster: at the start of the code location and on demand, without sending anything."""

from __future__ import annotations

import dagster as dg

from metrics_platform_tests.defs.post_office import PostOffice
from metrics_platform_tests.telegram.bot_api import BotApi
from metrics_platform_tests.telegram.state import Standing

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _evaluation(office: PostOffice) -> dg.AssetCheckEvaluation:
    job = office.definitions.resolve_job_def("check_channels")
    result = job.execute_in_process(instance=office.instance, run_config=QUIET)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_it_is_asked_for_once_when_the_platform_starts(office: PostOffice) -> None:
    first = office.result_of_a_tick()
    assert [request.job_name for request in first.run_requests or []] == ["check_channels"]
    office.tick()
    assert not office.result_of_a_tick().run_requests


def test_it_names_the_bot_and_the_chat_and_sends_nothing(office: PostOffice, api: BotApi) -> None:
    evaluation = _evaluation(office)
    assert evaluation.passed
    assert "the bot is Metrics" in str(evaluation.description)
    assert "Metrics, the supergroup" in str(evaluation.description)
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


def test_it_fails_with_what_to_do_where_the_bot_cannot_write(office: PostOffice, api: BotApi) -> None:
    api.chat(api.supergroup).standing = Standing.KICKED
    evaluation = _evaluation(office)
    assert not evaluation.passed
    assert "add it again" in str(evaluation.description)


def test_a_message_is_delivered_without_running_it(office: PostOffice) -> None:
    job = office.definitions.resolve_job_def("notify")
    assert not job.asset_layer.executable_asset_keys - {dg.AssetKey("notifications")}
    assert not job.asset_layer.asset_graph.asset_check_keys
