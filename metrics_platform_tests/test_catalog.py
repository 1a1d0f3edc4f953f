"""The catalogue's files: what they add and override, and what they are refused for."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from metrics_platform.catalog import Catalog, CatalogError, load_catalog, load_catalog_or_builtin
from metrics_platform.settings import load_settings

PAYMENTS = """
sources:
  payments: {table: shop.payments, user: user_id, time: paid_at, dimensions: [country, plan]}
dimensions:
  plan: {sql: plan_name}
metrics:
  revenue: {source: payments, sql: sum(amount)}
  payers: {source: payments, sql: uniqExact(user)}
  arppu: {numerator: revenue, denominator: payers}
"""


def _load(directory: Path, text: str, **settings: object) -> Catalog:
    file = directory / "metrics.yaml"
    file.write_text(text, encoding="utf-8")
    return load_catalog(load_settings(None, catalog=file, **settings))


def _problems(directory: Path, text: str) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        _load(directory, text)
    assert str(caught.value).startswith(f"METRICS_CATALOG = {directory / 'metrics.yaml'} is not valid:\n  - ")
    return list(caught.value.problems)


@pytest.mark.parametrize("text", ["", "metrics: {}\n", "sources:\ndimensions:\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert _load(tmp_path, text) == load_catalog(load_settings(None))


def test_a_file_adds_sources_dimensions_and_metrics(tmp_path: Path) -> None:
    catalog = _load(tmp_path, PAYMENTS)
    assert list(catalog.metrics)[-3:] == ["revenue", "payers", "arppu"]
    assert [dimension.name for dimension in catalog.sources["payments"].monitored_dimensions] == ["country", "plan"]
    assert {name: (m.kind, m.empty) for name, m in catalog.metrics.items() if m.source == "payments"} == {
        "revenue": ("gauge", "zero"),
        "payers": ("count", "zero"),
        "arppu": ("ratio", "unknown"),
    }


@pytest.mark.parametrize(
    ("sql", "kind", "empty"),
    [
        ("count()", "count", "zero"),
        ("uniqExact(user)", "count", "zero"),
        ("SUM(amount)", "gauge", "zero"),
        ("avg(amount)", "gauge", "unknown"),
        ("count() / uniqExact(user)", "gauge", "unknown"),
        ("count(DISTINCT user)", "gauge", "unknown"),
    ],
)
def test_kind_and_empty_follow_from_the_aggregate(tmp_path: Path, sql: str, kind: str, empty: str) -> None:
    metric = _load(tmp_path, f'metrics: {{new: {{source: feed_actions, sql: "{sql}"}}}}').metrics["new"]
    assert (metric.kind, metric.empty) == (kind, empty)


def test_a_file_overrides_the_keys_it_names_and_no_other(tmp_path: Path) -> None:
    before = load_catalog(load_settings(None)).metrics
    text = "metrics: {views: {title: {ru: Показы}, monitor: {seasonal: {slot_threshold: 4.5}}}}"
    after = _load(tmp_path, text).metrics
    assert after["views"].title == {"en": "Views", "ru": "Показы"}
    assert after["views"].monitor.total is not None and before["views"].monitor.total is not None
    assert after["views"].monitor.total.seasonal.slot_threshold == 4.5
    assert after["views"].monitor.total.minimum_volume == before["views"].monitor.total.minimum_volume
    assert after["views"].definition == before["views"].definition
    assert {name: metric for name, metric in after.items() if name != "views"} == {
        name: metric for name, metric in before.items() if name != "views"
    }


def test_slices_inherit_from_the_total_and_need_three_times_its_volume(tmp_path: Path) -> None:
    monitor = (
        _load(tmp_path, "metrics: {views: {monitor: {direction: down, minimum_volume: 7}}}").metrics["views"].monitor
    )
    assert monitor.total is not None and monitor.slices is not None
    assert (monitor.slices.direction, monitor.slices.minimum_volume) == ("down", 21)
    assert monitor.slices.seasonal.slot_threshold == 4.9


def test_monitoring_can_be_switched_off_for_slices_or_altogether(tmp_path: Path) -> None:
    metrics = _load(tmp_path, "metrics: {views: {monitor: {slices: false}}, likes: {monitor: false}}").metrics
    assert metrics["views"].monitor.total is not None
    assert metrics["views"].monitor.slices is metrics["likes"].monitor.total is metrics["likes"].monitor.slices is None


def test_a_muted_metric_keeps_its_time(tmp_path: Path) -> None:
    metric = _load(tmp_path, "metrics: {views: {monitor: {muted_until: 2026-12-01T09:00:00+03:00}}}").metrics["views"]
    assert metric.monitor.muted_until == datetime.datetime(2026, 12, 1, 6, tzinfo=datetime.UTC)


def test_a_list_replaces_the_list_below_it(tmp_path: Path) -> None:
    source = _load(tmp_path, "sources: {feed_actions: {dimensions: [os]}}").sources["feed_actions"]
    assert [dimension.name for dimension in source.dimensions] == ["os"]


def test_a_disabled_source_takes_its_metrics_with_it(tmp_path: Path) -> None:
    catalog = _load(tmp_path, "sources: {feed_actions: {enabled: false}}")
    assert (list(catalog.metrics), list(catalog.sources)) == (["messages", "senders"], ["message_actions"])


def test_a_disabled_metric_is_left_out(tmp_path: Path) -> None:
    assert "senders" not in _load(tmp_path, "metrics: {senders: {enabled: false}}").metrics


def test_a_renamed_metric_keeps_its_definition(tmp_path: Path) -> None:
    text = """
    metrics:
      senders: {enabled: false}
      writers: {source: message_actions, sql: uniqExact(user), was: senders}
    """
    metric = _load(tmp_path, text).metrics["writers"]
    assert metric.was == "senders"
    assert metric.definition == load_catalog(load_settings(None)).metrics["senders"].definition


@pytest.mark.parametrize(
    ("change", "metrics"),
    [
        ("metrics: {revenue: {sql: sum(total)}}", {"revenue", "arppu"}),
        ("metrics: {revenue: {empty: unknown}}", {"revenue", "arppu"}),
        ("sources: {payments: {where: ok}}", {"revenue", "payers", "arppu"}),
        ("sources: {payments: {columns: {amount: total}}}", {"revenue", "payers", "arppu"}),
        ("dimensions: {plan: {sql: lower(plan_name)}}", {"revenue", "payers", "arppu"}),
        ("metrics: {revenue: {title: {en: Money}, unit: €, monitor: false, kind: count}}", set()),
        ("sources: {payments: {table: archive.payments, lag_seconds: 5, stale_hours: [2, 4]}}", set()),
        ("dimensions: {plan: {title: {en: Plan}, values: 9, monitor: false}}", set()),
    ],
)
def test_a_definition_changes_with_what_values_depend_on(tmp_path: Path, change: str, metrics: set[str]) -> None:
    import yaml

    from metrics_platform.catalog_file import merged

    before = _load(tmp_path, PAYMENTS).metrics
    after = _load(tmp_path, yaml.safe_dump(merged(yaml.safe_load(PAYMENTS), yaml.safe_load(change)))).metrics
    assert {name for name in after if after[name].definition != before[name].definition} == metrics


def test_a_new_title_replaces_the_builtin_short_one_of_its_language(tmp_path: Path) -> None:
    before, after = load_catalog(load_settings(None)), _load(tmp_path, "daily: {messages_sent: {title: {en: Chats}}}")
    assert before.title("messages_sent", "en", short=True) != "Chats"
    assert after.title("messages_sent", "en", short=True) == "Chats"
    assert after.title("messages_sent", "ru", short=True) == before.title("messages_sent", "ru", short=True)


def test_placeholders_take_settings_and_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "live_shop")
    monkeypatch.setenv("KEPT", "7")
    text = """
    sources:
      payments: {table: "${SHOP}.payments", stale_hours: "${METRICS_FEED_STALE_HOURS}", dimensions: [plan]}
    dimensions: {plan: {values: "${KEPT}"}}
    """
    catalog = _load(tmp_path, text, feed_stale_hours=(2, 5))
    source = catalog.sources["payments"]
    assert str(source.table) == "live_shop.payments"
    assert source.stale_limits == (datetime.timedelta(hours=2), datetime.timedelta(hours=5))
    assert catalog.dimensions["plan"].values == 7


@pytest.mark.parametrize("name", ["METRICS_CLICKHOUSE_URL", "TELEGRAM_BOT_TOKEN"])
@pytest.mark.parametrize("value", [None, "http://user:very-secret@host:8123/metrics"])
def test_a_placeholder_cannot_read_a_secret(tmp_path: Path, name: str, value: str | None) -> None:
    settings = {"clickhouse_url": value} if value and "URL" in name else {}
    file = tmp_path / "metrics.yaml"
    file.write_text(f'metrics: {{views: {{description: "${{{name}}}"}}}}', encoding="utf-8")
    with pytest.raises(CatalogError) as caught:
        load_catalog(load_settings(None, catalog=file, **settings))
    assert caught.value.problems == (
        f"metrics.views.description = '${{{name}}}': {name} is a secret, and catalogues are shown in the UI; remove it",
    )
    assert "very-secret" not in str(caught.value)


def test_a_file_that_is_not_valid_leaves_the_builtin_catalogue(tmp_path: Path) -> None:
    file = tmp_path / "metrics.yaml"
    file.write_text("metrics: {vews: {title: {en: Views}}}", encoding="utf-8")
    catalog = load_catalog_or_builtin(load_settings(None, catalog=file))
    assert catalog.metrics == load_catalog(load_settings(None)).metrics
    assert "metrics.vews: has nothing to compute it from" in catalog.problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"METRICS_CATALOG = .*absent\.yaml is not valid"):
        load_catalog(load_settings(None, catalog=tmp_path / "absent.yaml"))


_NEW = "metrics: {new: {source: feed_actions, sql: count(), %s}}"
_SOURCE = "sources: {pay: {table: shop.p, %s}}"
_QUOTIENT = "metrics: {new: {numerator: views, denominator: %s}}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- views", "write one or more of the sections sources, dimensions, metrics, daily"),
        ("metric: {views: {}}", "metric: is not a section; did you mean metrics?"),
        ("metrics: 5", "metrics = 5: write its entries below it, each as a name and its keys"),
        ("metrics: {views: 3}", "metrics.views = 3: write its keys below it, as `key: value`"),
        ("metrics:\n  views: {unit: x}\n  views: {unit: y}", "the key 'views' is given twice; keep one of them at"),
        ("metrics: {views: {", "while parsing a flow node expected the node content, but found '<stream end>' at"),
        (_SOURCE % "usr: id", "sources.pay.usr: no such key; did you mean user?"),
        ("sources: {pay: {user: id}}", "sources.pay.table: is missing; add it"),
        ("sources: {pay: {table: payments}}", "sources.pay.table = 'payments': write it as database.table"),
        (_SOURCE % "timezone: Europe/Berln", "sources.pay.timezone = 'Europe/Berln': use an IANA time zone name; did"),
        (_SOURCE % "stale_hours: [3, 1]", "sources.pay.stale_hours = [3, 1]: write two increasing numbers, such as"),
        (_SOURCE % "stale_hours: 3", "sources.pay.stale_hours = 3: write a list in square brackets, such as [a, b]"),
        (_SOURCE % "lag_seconds: -1", "sources.pay.lag_seconds = -1: write at least 0"),
        (_SOURCE % "lag_seconds: soon", "sources.pay.lag_seconds = 'soon': write a whole number"),
        (_SOURCE % "dimensions: [contry]", "sources.pay.dimensions = 'contry': no such dimension; did you mean"),
        (_SOURCE % "dimensions: [os, os]", "sources.pay.dimensions = ['os', 'os']: os is given twice; keep one of"),
        (_SOURCE % "columns: {time: t}", "sources.pay.columns.time = 'time': write it as the key `time` of the source"),
        (_SOURCE % 'where: ""', "sources.pay.where = '': write an SQL expression"),
        (_SOURCE % "user: 5", "sources.pay.user = 5: write text, in quotes"),
        (_SOURCE % 'columns: {a: "x; y"}', "sources.pay.columns.a = 'x; y': write one expression, without ;"),
        ("sources: {Pay: {table: shop.p}}", "sources.Pay: use lower-case letters, digits and _ in a name"),
        ('sources: {pay: {table: "${NOT_SET}"}}', "sources.pay.table = '${NOT_SET}': NOT_SET is not set; set it in"),
        ("dimensions: {total: {sql: os}}", "dimensions.total: this name is reserved; choose another"),
        ("dimensions: {plan: {title: {de: Plan}}}", "dimensions.plan.title.de = 'de': write en or ru; did you mean"),
        ("metrics: {new: {source: feed_actions}}", "metrics.new: has source; write `source` and `sql`, or `numerator`"),
        (_NEW % "numerator: views", "metrics.new: has numerator, source, sql; write `source` and `sql`, or"),
        ("metrics: {new: {source: feed, sql: x}}", "metrics.new.source = 'feed': no such source; did you mean feed_"),
        (_QUOTIENT % "like", "metrics.new.denominator = 'like': no such metric; did you mean likes?"),
        (_QUOTIENT % "ctr", "metrics.new.denominator = 'ctr': is a quotient itself; name a metric with `sql`"),
        ("metrics: {likes: {enabled: false}}", "metrics.ctr.numerator = 'likes': that metric is disabled; enable it,"),
        (_NEW % "kind: counter", "metrics.new.kind = 'counter': write count, gauge, share or ratio; did you mean"),
        (_NEW % "kind: share", "metrics.new.kind = 'share': is for quotients; write `numerator` and `denominator`"),
        (_QUOTIENT % "likes, kind: gauge", "metrics.new.kind = 'gauge': a quotient is a share or a ratio"),
        (_NEW % "empty: nul", "metrics.new.empty = 'nul': write zero or unknown"),
        (_NEW % "unit: a very long unit", "metrics.new.unit = 'a very long unit': write at most 8 characters"),
        (_NEW % "report: {}", "metrics.new.report.section: is missing; add it"),
        (_NEW % "monitor: true", "metrics.new.monitor = True: write its keys below it, as `key: value`, or false"),
        (_NEW % "monitor: {direction: x}", "metrics.new.monitor.direction = 'x': write both, up or down"),
        (_NEW % "monitor: {slices: {iqr: {m: 3}}}", "metrics.new.monitor.slices.iqr.m: no such key"),
        (_NEW % "monitor: {seasonal: {slot_threshold: -3}}", "metrics.new.monitor.seasonal.slot_threshold = -3:"),
        (_NEW % "monitor: {seasonal: {slot_threshold: .nan}}", "metrics.new.monitor.seasonal.slot_threshold = nan:"),
        (_NEW % 'monitor: {muted_until: "2026-12-01"}', "metrics.new.monitor.muted_until = '2026-12-01': write a"),
        (_NEW % "was: views", "metrics.new.was = 'views': that metric still exists; remove it, or remove `was`"),
        (_NEW % "enabled: maybe", "metrics.new.enabled = 'maybe': write true or false"),
    ],
)
def test_a_mistake_names_entry_key_value_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = _problems(tmp_path, text)
    assert found.startswith(problem)


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    text = "sources: {pay: {table: x, timezone: Mars}}\nmetrics: {new: {source: feed_actions, sql: 'count(('}, a: {}}"
    found = [problem.split(" ")[0] for problem in _problems(tmp_path, text)]
    assert found == ["sources.pay.table", "sources.pay.timezone", "metrics.new.sql", "metrics.a:"]
    text = "sources: {pay: {table: a.b, dimensions: [x]}}\nmetrics: {new: {source: pays, sql: count()}}"
    found = [problem.split(" ")[0] for problem in _problems(tmp_path, text)]
    assert found == ["sources.pay.dimensions", "metrics.new.source"]
    text = "metrics: {a: {source: feed_actions, sql: a, was: old}, b: {source: feed_actions, sql: b, was: old}}"
    assert _problems(tmp_path, text) == [
        f"metrics.{name}.was = 'old': another metric has the same; keep one of them" for name in "ab"
    ]
