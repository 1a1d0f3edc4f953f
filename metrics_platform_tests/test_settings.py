"""Settings: what is unknown, missing or bad is refused with the name, the value and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from metrics_platform.generated_files import settings_document
from metrics_platform.settings import Settings, SettingsError, load_settings, setting_name
from metrics_platform.warehouse.client import NoWarehouseError, connection_of

SECRET = "pa55-w0rd"
ROOT = Path(__file__).parents[1]


def test_the_environment_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("METRICS_TIMEZONE=Europe/Moscow\nMETRICS_RECOMPUTE_DAYS=3\nSLACK_SIGNING=x\n")
    monkeypatch.setenv("METRICS_TIMEZONE", "Asia/Tokyo")
    settings = load_settings(env_file)
    assert (settings.timezone, settings.recompute_days) == ("Asia/Tokyo", 3)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("METRICS_TIMEZONE", "Europe/Moscw", "did you mean Europe/Moscow"),
        ("METRICS_TIMEZONE", "MSK", "such as Europe/Moscow"),  # and not MST, which is in America
        ("METRICS_TIMEZONE", "GMT+3", "such as Europe/Moscow"),  # and not Etc/GMT+3, which is west of Greenwich
        ("METRICS_START_DATE", "01.01.2026", "write a date as 2026-01-31"),
        ("METRICS_START_DATE", "01.02.2026", "First day"),
        ("METRICS_ETL_AT", "25:00", "Local time"),
        ("METRICS_ETL_AT", "00:05:30", "HH:MM"),
        ("METRICS_RECOMPUTE_DAYS", "0", "write at least 1"),
        ("METRICS_RECOMPUTE_DAYS", "two", "write a whole number"),
        ("METRICS_FEED_TABLE", "feed_actions", "database.table"),
        ("METRICS_FEED_TABLE", "simulator.feed; DROP TABLE x", "database.table"),
        ("METRICS_RECEIVER_COLUMN", "receiver id", "column name"),
        ("METRICS_EXTRA_DIMENSIONS", "source,planet", "'planet' is unknown; choose source, country, city,"),
        ("METRICS_EXTRA_DIMENSIONS", "contry", "did you mean country?"),
        ("METRICS_MONITORED_DIMENSIONS", "os,cities", "did you mean city?"),
        ("METRICS_LANGUAGE", "russian", "write en or ru; did you mean ru?"),
        ("METRICS_REPORT_AT", "11", "HH:MM, such as 11:00"),
        ("METRICS_REMINDER_HOURS", "x", "write a number"),
        ("METRICS_FEED_STALE_HOURS", "a,b", "write a number"),
        ("METRICS_EXTRA_DIMENSIONS", "source,source", "name each only once"),
        ("METRICS_OWNER", "the metrics team", "team:name"),
        ("METRICS_CLICKHOUSE_MAX_MEMORY_MB", "1", "64"),
        ("METRICS_FEED_STALE_HOURS", "3,1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "nan,3", "write two numbers of hours"),
        ("METRICS_FEED_STALE_HOURS", "1,8785", "at most 8784 hours"),
        ("METRICS_MESSAGES_STALE_HOURS", "one,three", "write a number"),
        ("METRICS_SEVERITIES", "odd_volume=failed", "set odd_volume to warning or critical or off"),
        ("METRICS_SEVERITIES", "failed_run=critical", "set failed_run to off"),
        ("METRICS_SEVERITIES", "nonsense=warning", "write kind=severity"),
        ("METRICS_SEVERITIES", "stale_data=off,stale_data=warning", "name each kind only once: stale_data"),
        ("METRICS_TELL_SUCCESS", "perhaps", "write true or false"),
        ("METRICS_REPORT_GRACE_MINUTES", "0", "write at least 1"),
        ("METRICS_KEEP_SLOTS_DAYS", "30", "write at least 60"),
        ("METRICS_MUTES", "views", "write label:value, such as metric:views"),
        ("METRICS_MUTES", "metrics:views", "did you mean metric:views?"),
        ("METRICS_MUTES", "kind:odd_volumes", "did you mean odd_volume?"),
        ("METRICS_MUTES", "severity:info", "severity is one of warning, critical, failed"),
        ("METRICS_MUTES", "metric:views until tomorrow", "write the end with its offset"),
        ("METRICS_MUTES", "metric:views, metric:views", "name each only once"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly 9-21", "write the hours as 09:00-21:00"),
        ("METRICS_ACTIVE_HOURS", "kind:anomaly 09:00-25:00", "write the hours as 09:00-21:00"),
    ],
)
def test_a_bad_value_is_refused_with_name_value_and_remedy(
    refusal_of: Callable[[str, str], str], name: str, value: str, remedy: str
) -> None:
    assert remedy in refusal_of(name, value)


# Whatever these hold is a name or a path.
FREE = {"METRICS_ENVIRONMENT", "METRICS_DATA_DIR", "METRICS_CATALOG", "METRICS_CLICKHOUSE_CA_FILE"}
FIELDS = {setting_name(field): field for field in Settings.model_fields}
NAMES = sorted(FIELDS)
# How pydantic speaks.
RAW = re.compile(r"Input should|Value error|unable to|valid (?!band)|validation|type=|for further information")
TOKEN = "123456789:AAF0_made-up_for_tests_of_alerts_00"
MISPLACED = {
    "a bot's token": TOKEN,
    "a bot's token with its prefix": f"bot{TOKEN}",
    "the address of a call": f"https://api.telegram.org/bot{TOKEN}/sendMessage",
    "a webhook": "https://hooks.slack.com/services/T0SECRET/B0SECRET/s3cr3tS3cr3tS3cr3t",
    "an address with a password": f"smtp://anna:{SECRET}@mail.example.com",
}


@pytest.mark.parametrize("name", sorted({*NAMES} - FREE))
def test_every_setting_refuses_nonsense_in_plain_words(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for nonsense in ("☃ nonsense", "-99999999999999999999"):
        monkeypatch.setenv(name, nonsense)
        try:
            load_settings(None)
        except SettingsError as refusal:
            (line,) = [line for line in str(refusal).splitlines() if line.startswith(f"  - {name} = ")]
            assert not RAW.search(line.partition(" It means: ")[0])
        else:
            assert nonsense != "☃ nonsense" and name == "TELEGRAM_CHAT_ID"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *((name, what) for name in NAMES for what in ("a bot's token", "an address with a password")),
        *(
            (name, what)
            for name in ("TELEGRAM_API_BASE", "TELEGRAM_ROUTES", "METRICS_ENVIRONMENT")
            for what in MISPLACED
        ),
    ],
)
def test_a_secret_in_the_wrong_setting_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    monkeypatch.setenv(name, MISPLACED[what])
    is_secret = Settings.model_fields[FIELDS[name]].annotation == (SecretStr | None)
    try:
        settings = load_settings(None)
    except SettingsError as refusal:
        shown = str(refusal)
        assert name in shown
    else:
        assert is_secret
        shown = repr(settings) + settings.model_dump_json()
    for secret in (TOKEN, TOKEN.partition(":")[2], "s3cr3tS3cr3t", SECRET):
        assert secret not in shown


@pytest.mark.parametrize("name", ["TELEGRAM_CHAT_ID", "TELEGRAM_ROUTES", "METRICS_EXTRA_DIMENSIONS", "METRICS_OWNER"])
def test_the_value_of_another_secret_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("METRICS_CLICKHOUSE_URL", "http://anna:tr0ub4dor@host:8123/metrics")
    monkeypatch.setenv(name, "tr0ub4dor")
    with pytest.raises(SettingsError) as refusal:
        load_settings(None)
    assert name in str(refusal.value) and "tr0ub4dor" not in str(refusal.value)


@pytest.mark.parametrize("name", ["METRICS_TIMZONE", "METRIC_TIMEZONE"])
@pytest.mark.parametrize("where", ["environment", "env_file"])
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    env_file = tmp_path / ".env"
    if where == "environment":
        monkeypatch.setenv(name, "UTC")
    else:
        env_file.write_text(f"{name}=UTC\n")
    with pytest.raises(SettingsError, match=rf"{name}.*did you mean METRICS_TIMEZONE"):
        load_settings(env_file)


def test_a_removed_setting_is_refused_with_what_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_MONITORING_FILE", "monitoring.yaml")
    with pytest.raises(
        SettingsError, match=r"no longer a setting: METRICS_CATALOG replaces it\. .*metrics\.NAME\.monitor"
    ):
        load_settings(None)


def test_a_name_of_another_program_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    without = load_settings(None)
    monkeypatch.setenv("METRIC_COLOUR", "red")
    assert load_settings(None) == without


def test_an_end_date_before_the_start_date_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_START_DATE", "2026-02-01")
    monkeypatch.setenv("METRICS_END_DATE", "2026-01-01")
    with pytest.raises(SettingsError, match=r"METRICS_END_DATE = 2026-01-01 .* METRICS_START_DATE = 2026-02-01"):
        load_settings(None)


def test_all_problems_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TIMEZONE", "Nowhere")
    monkeypatch.setenv("METRICS_RECOMPUTE_DAYS", "99")
    monkeypatch.setenv("METRICS_COLOUR", "red")
    with pytest.raises(SettingsError) as refusal:
        load_settings(None)
    for name in ("METRICS_TIMEZONE", "METRICS_RECOMPUTE_DAYS", "METRICS_COLOUR"):
        assert name in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"clickhouse://user:{SECRET}@host:9000/metrics", "use ClickHouse's HTTP interface"),
        (f"http://user:{SECRET}@host:8123", "no database"),
        (f"http://user:{SECRET}@host:8123/a-b", "bad database"),
        (f"http://user:{SECRET}@host:99999/metrics", "cannot be read"),
        (f"http://user:{SECRET}@host:8123/metrics?secure=1", "after the database"),
        (f"http://user:{SECRET}@/metrics", "no host"),
        (f"user:{SECRET}@host/metrics", "HTTP"),
    ],
)
def test_a_bad_url_is_refused_without_repeating_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, problem: str
) -> None:
    monkeypatch.setenv("METRICS_CLICKHOUSE_URL", url)
    with pytest.raises(SettingsError) as refusal:
        load_settings(None)
    assert "METRICS_CLICKHOUSE_URL" in str(refusal.value)
    assert problem in str(refusal.value)
    chain: BaseException | None = refusal.value
    while chain is not None:
        assert SECRET not in str(chain) + repr(chain)
        chain = chain.__cause__ or chain.__context__


def test_no_representation_shows_the_password() -> None:
    settings = load_settings(None, clickhouse_url=f"https://user:{SECRET}@host/metrics")
    connection = connection_of(settings)
    assert connection.password == SECRET
    assert (connection.port, connection.secure, connection.database) == (8443, True, "metrics")
    for shown in (repr(settings), str(settings), repr(connection), connection.display_url, settings.model_dump_json()):
        assert SECRET not in shown


def test_percent_encoded_characters_in_the_password_are_decoded() -> None:
    settings = load_settings(None, clickhouse_url="http://user:p%40ss%2Fw%3Aord@[::1]:8123/metrics")
    connection = connection_of(settings)
    assert (connection.password, connection.host) == ("p@ss/w:ord", "::1")


def test_without_a_clickhouse_the_error_names_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(NoWarehouseError) as refusal:
        connection_of(load_settings(None, data_dir=tmp_path))
    assert "metrics-platform clickhouse" in str(refusal.value)
    assert "METRICS_CLICKHOUSE_URL" in str(refusal.value)


def test_every_setting_is_in_the_example_file_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#?([A-Z]+_\w+)=(.*)$", text, flags=re.MULTILINE))
    assert shown.pop("DAGSTER_HOME") == "${PWD}/.dagster"  # Dagster's own
    assert set(shown) == {setting_name(field) for field in Settings.model_fields}
    defaults = load_settings(None)
    for field in Settings.model_fields:
        default = getattr(defaults, field)
        if default is not None and field != "email_to":  # what has no default is shown by an example
            given = load_settings(None, **{field: shown[setting_name(field)]})
            assert getattr(given, field) == default, field


def test_the_document_of_settings_is_current() -> None:
    remedy = "write it anew: python -m metrics_platform.generated_files"
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_document(), remedy
