"""The check of the channels: it names the bot and the chats, says what is missing and what to do, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from metrics_platform.cli import main
from metrics_platform.findings import Finding
from metrics_platform.notifications.channel import RetryPolicy
from metrics_platform.notifications.channels import inspect_channels, send_test_message
from metrics_platform.settings import Settings, load_settings
from metrics_platform_tests.notifications import mail_server, slack_webhook
from metrics_platform_tests.notifications.telegram_chat import standing
from metrics_platform_tests.telegram.bot_api import TOKEN, BotApi
from metrics_platform_tests.telegram.state import Standing

AT_ONCE = RetryPolicy(budget=0, tries=1)


def _settings(api: BotApi, chat: int | str, **more: Any) -> Settings:
    given = {"telegram_bot_token": api.token, "telegram_chat_id": str(chat), "telegram_api_base": api.base}
    return load_settings(None, **{**given, **more})


def _findings(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in inspect_channels(settings, AT_ONCE)}


def test_the_bot_and_every_chat_are_named_and_nothing_is_sent(api: BotApi) -> None:
    routes = f"failed={api.channel_name},daily_report={api.forum}/{api.other_topic}"
    findings = _findings(_settings(api, api.group, telegram_routes=routes))
    assert findings["Telegram"].detail == "the bot is Metrics (@metrics_desk_bot)"
    assert "Metrics, the group" in findings[f"Telegram chat {api.group}"].detail
    assert "Metrics, the channel" in findings[f"Telegram chat {api.channel_name}"].detail
    assert "Metrics, the forum" in findings[f"Telegram chat {api.forum}, topic {api.other_topic}"].detail
    assert {finding.status for finding in findings.values()} == {"ok", "note"}
    assert {call.method for call in api.calls} == {"getMe", "getChat", "getChatMember"}


_EXISTS = '{0.supergroup} exists, "Metrics, the supergroup": is that the one?'


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (standing("supergroup", Standing.KICKED), "add it again"),
        (standing("supergroup", Standing.NOT_A_MEMBER), "Add the bot to the chat"),
        (standing("supergroup", Standing.NO_MESSAGES), "send messages"),
        (standing("supergroup", Standing.NO_PHOTOS), "send photos"),
        (standing("supergroup", Standing.NO_DOCUMENTS), "send files"),
        (standing("channel", Standing.NO_MESSAGES), "administrator"),
        (lambda api: api.upgrade_group(api.group) and api.group, "TELEGRAM_CHAT_ID=-1003001234567"),
        (lambda _: -100777, "TELEGRAM_CHAT_ID"),
        (lambda _: 777, "a member of -777 or -100777?"),
        (lambda api: -api.group, '{0.group} exists, "Metrics, the group": is that the one?'),
        (lambda _: 2555000111, _EXISTS),
        (lambda _: -2555000111, _EXISTS),
        (lambda _: 1002555000111, _EXISTS),
    ],
)
def test_what_is_wrong_with_a_chat_has_its_remedy(api: BotApi, arrange: Callable[[BotApi], int], said: str) -> None:
    chat = arrange(api)
    finding = _findings(_settings(api, chat))[f"Telegram chat {chat}"]
    assert finding.status == "problem"
    assert said.format(api) in f"{finding.detail} {finding.remedy}"


def test_a_topic_in_a_chat_without_topics_is_a_problem(api: BotApi) -> None:
    findings = _findings(_settings(api, api.supergroup, telegram_thread_id=7))
    finding = findings[f"Telegram chat {api.supergroup}, topic 7"]
    assert (finding.status, "TELEGRAM_THREAD_ID" in finding.remedy) == ("problem", True)


def test_a_wrong_token_says_which_setting_to_correct_and_is_not_shown(api: BotApi) -> None:
    other = "1" * 9 + ":" + "x" * 35
    finding = _findings(_settings(api, api.group, telegram_bot_token=other))["Telegram"]
    assert (finding.status, "TELEGRAM_BOT_TOKEN" in finding.detail) == ("problem", True)
    assert other not in str(finding)


def test_telegram_being_away_is_a_problem_of_the_network_without_the_token(api: BotApi) -> None:
    api.down()
    finding = _findings(_settings(api, api.group))["Telegram"]
    assert (finding.status, "network" in finding.remedy) == ("problem", True)
    assert TOKEN not in str(finding)


def test_without_a_channel_it_says_where_messages_go() -> None:
    (finding,) = inspect_channels(load_settings(None))
    assert finding.status == "note"
    assert "outbox" in finding.detail and "TELEGRAM_BOT_TOKEN" in finding.remedy


def test_the_webhook_and_the_mail_server_are_asked_and_get_no_message(tmp_path: Path) -> None:
    certificate = mail_server.make_certificate(tmp_path)
    with slack_webhook.running() as slack, mail_server.running(certificate, tls="none", login=False) as mail:
        slack.answers = [(400, "invalid_payload", {})]
        settings = load_settings(
            None,
            slack_webhook_url=slack.url,
            smtp_url=f"smtp://127.0.0.1:{mail.port}",
            email_from="desk@example.com",
            email_to="team@example.com",
        )
        findings = _findings(settings)
        assert {name: finding.status for name, finding in findings.items()} == {"Slack": "ok", "E-mail": "ok"}
        assert slack.payloads == [{}] and mail.mails == []
        slack.answers = [(404, "no_service", {})]
        mail.answers = {"MAIL": ["550 who are you"]}
        findings = _findings(settings)
        assert {name: finding.status for name, finding in findings.items()} == {"Slack": "problem", "E-mail": "problem"}
        assert "SLACK_WEBHOOK_URL" in findings["Slack"].detail and "EMAIL_FROM" in findings["E-mail"].detail


@pytest.mark.parametrize(
    ("given", "others"),
    [
        ({"smtp_url": "smtp://127.0.0.1:1", "email_from": "a@example.com", "email_to": "a@example.com"}, "Slack"),
        ({"slack_webhook_url": "http://127.0.0.1:1/services/T/B/x"}, "e-mail"),
        (
            {"telegram_bot_token": TOKEN, "telegram_chat_id": "7", "telegram_api_base": "http://127.0.0.1:1"},
            "Slack or e-mail",
        ),
    ],
)
def test_to_an_only_channel_another_one_is_recommended(given: dict[str, str], others: str) -> None:
    finding = _findings(load_settings(None, **given))["Messages"]
    assert finding.remedy == f"Set up {others} as well, for when it cannot be reached."


def test_a_test_message_with_a_picture_arrives_over_every_channel(api: BotApi) -> None:
    with slack_webhook.running() as slack:
        settings = _settings(api, api.supergroup, slack_webhook_url=slack.url)
        findings = list(send_test_message(settings, AT_ONCE))
        assert [(finding.subject, finding.status) for finding in findings] == [("telegram", "ok"), ("slack", "ok")]
        (message,) = api.messages(api.supergroup)
        assert message.text.startswith("👋 TEST") and message.kind == "photo"
        assert f"/{message.message_id}" in findings[0].detail
        assert len(slack.payloads) == 1


@pytest.fixture
def in_the_environment(api: BotApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    monkeypatch.chdir(tmp_path)

    def put(chat: int) -> None:
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", api.token)
        monkeypatch.setenv("TELEGRAM_CHAT_ID", str(chat))
        monkeypatch.setenv("TELEGRAM_API_BASE", api.base)

    return put


def test_the_command_sends_it_and_says_where_it_arrived(api: BotApi, in_the_environment: Callable[[int], None]) -> None:
    in_the_environment(api.supergroup)
    result = CliRunner().invoke(main, ["notify-test"])
    assert result.exit_code == 0, result.output
    assert "telegram: sent to" in result.output and "https://t.me/c/" in result.output
    assert len(api.messages(api.supergroup)) == 1


def test_the_command_ends_with_1_if_it_did_not_arrive(api: BotApi, in_the_environment: Callable[[int], None]) -> None:
    in_the_environment(-100777)
    result = CliRunner().invoke(main, ["notify-test"])
    assert result.exit_code == 1
    assert "TELEGRAM_CHAT_ID" in result.output and api.token not in result.output


def test_without_a_channel_the_command_writes_it_to_the_outbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["notify-test"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / ".metrics/outbox/index.html").exists()


def test_the_doctor_looks_at_the_channels_too(api: BotApi, in_the_environment: Callable[[int], None]) -> None:
    in_the_environment(-100777)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "the bot is Metrics" in result.output and "TELEGRAM_CHAT_ID" in result.output
    assert api.calls_of("sendMessage", "sendPhoto") == []
