"""The JSON schema of catalogue files: it is current, accepts valid files and rejects others."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import fastjsonschema
import pytest
import yaml

from metrics_platform.generated_files import SCHEMA, catalog_schema_text

EXAMPLE = """
sources:
  feed_actions:
    user: user_id
    time: time
    dimensions: [os, gender, age, source, country, city, exp_group]
  payments:
    table: shop.payments
    user: sipHash64(customer_uuid)
    time: paid_at
    where: status = 'ok'
    dimensions: [country, plan]
    stale_hours: [2, 6.5]
    lag_seconds: ${PAYMENTS_LAG}
    columns: {amount: total, city: null}
dimensions:
  gender: {sql: "multiIf(sex = 1, 'male', 'female')"}
  plan: {sql: plan_name, values: 20, title: {en: Plan, ru: Тариф}}
metrics:
  views: {source: feed_actions, sql: "countIf(action = 'view')", kind: count, title: {en: Views, ru: Просмотры}}
  ctr: {numerator: likes, denominator: views, kind: share, title: {en: CTR, ru: CTR}}
  revenue: {source: payments, sql: sum(amount), kind: gauge, unit: €, title: {en: Revenue, ru: Выручка},
            monitor: {direction: down, slices: {seasonal: {slot_threshold: 7}}}, report: {section: Payments}}
  payers: {source: payments, sql: uniqExact(user), kind: count, monitor: {slices: false}}
  arppu: {numerator: revenue, denominator: payers, kind: ratio, monitor: false, report: false}
  senders: {enabled: false}
"""


@pytest.fixture(scope="module")
def validate() -> Callable[[Any], Any]:
    schema: Callable[[Any], Any] = fastjsonschema.compile(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return schema


def _refusal(validate: Callable[[Any], Any], content: Any) -> str | None:
    try:
        validate(content)
    except fastjsonschema.JsonSchemaValueException as error:
        return str(error)
    return None


def test_the_schema_file_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == catalog_schema_text()


def test_the_builtin_catalogue_is_valid_and_names_the_schema(validate: Callable[[Any], Any]) -> None:
    text = (files("metrics_platform") / "metrics.yaml").read_text(encoding="utf-8")
    assert f"$schema={SCHEMA.name}" in text.splitlines()[0]
    assert _refusal(validate, yaml.safe_load(text)) is None


@pytest.mark.parametrize("text", [EXAMPLE, "{}", "metrics:", "metrics: {views: {monitor: {minimum_volume: 3}}}"])
def test_a_valid_file_is_accepted(validate: Callable[[Any], Any], text: str) -> None:
    assert _refusal(validate, yaml.safe_load(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "metric: {}",
        "metrics: [views]",
        "metrics: {Views: {}}",
        "metrics: {views: {kind: counter}}",
        "metrics: {views: {tittle: {en: Views}}}",
        "metrics: {views: {title: {de: Views}}}",
        "metrics: {views: {report: true}}",
        "metrics: {views: {monitor: true}}",
        "metrics: {views: {monitor: {direction: sideways}}}",
        "metrics: {views: {monitor: {slices: {seasonal: {slot_treshold: 3}}}}}",
        "sources: {pay: {table: 5}}",
        "sources: {pay: {lag_seconds: soon}}",
        "sources: {pay: {lag_seconds: -1}}",
        "sources: {pay: {stale_hours: [1, 2, 3]}}",
        "dimensions: {plan: {values: 0}}",
    ],
)
def test_a_mistake_is_refused(validate: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate(yaml.safe_load(text))
