"""Converting a file of METRICS_MONITORING_FILE: the catalogue evaluates every metric as the file did."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from metrics_platform.catalog import CatalogError, load_catalog
from metrics_platform.cli import main
from metrics_platform.detection.config import DetectorConfig, MonitorConfig
from metrics_platform.monitoring_conversion import convert_monitoring_file
from metrics_platform.settings import load_settings

# The example of the documentation of the version that had the setting.
DOCUMENTED = """
metrics:
  messages:
    muted_until: 2026-12-01T09:00:00+03:00   # incidents are recorded, no one is notified
  views:
    critical_change: 0.5
    total:
      detectors: [seasonal, day_over_day]
      combine: all
      direction: down
      minimum_volume: 200
      slots_in_a_row: 2
      seasonal: {slot_threshold: 4.5, hour_threshold: 4.5, two_hours_threshold: 4.5, minimum_change: 0.2}
      day_over_day: {threshold_pct: 60}
      iqr: {n: 5, a: 4}
    judge_slices: false
  ctr:
    slices:
      minimum_volume: 1000
"""
ONLY_TOTAL = """
metrics:
  views:
    total: {direction: down, minimum_volume: 200, seasonal: {slot_threshold: 9}, iqr: {n: 7}, slots_in_a_row: 3}
  likes:
    total: {detectors: [iqr], iqr: {n: 7}}
    slices: {direction: up, iqr: {a: 2}, seasonal: {minimum_change: 0.5}}
    judge_slices: true
"""


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: _merged(below[name], value) for name, value in above.items() if isinstance(value, Mapping)}
    return {**below, **above, **inner}


def _as_before(text: str) -> dict[str, MonitorConfig]:
    """What the file meant to the version that had the setting: total and slices are changed separately."""
    found = {name: metric.monitor for name, metric in load_catalog(load_settings(None)).metrics.items()}
    for name, changes in (yaml.safe_load(text) or {"metrics": {}})["metrics"].items():
        old = found[name].model_dump()
        parts: dict[str, Any] = {key: changes[key] for key in ("critical_change", "muted_until") if key in changes}
        parts["total"] = DetectorConfig.model_validate(_merged(old["total"], changes.get("total", {})))
        parts["slices"] = DetectorConfig.model_validate(_merged(old["slices"], changes.get("slices", {})))
        if not changes.get("judge_slices", True):
            parts["slices"] = None
        found[name] = MonitorConfig.model_validate({**old, **parts})
    return found


@pytest.mark.parametrize("text", [DOCUMENTED, ONLY_TOTAL, "", "metrics: {}"])
def test_the_catalogue_evaluates_every_metric_as_the_file_did(tmp_path: Path, text: str) -> None:
    old, new = tmp_path / "monitoring.yaml", tmp_path / "catalogue.yaml"
    old.write_text(text, encoding="utf-8")
    new.write_text(convert_monitoring_file(old), encoding="utf-8")
    catalog = load_catalog(load_settings(None, catalog=new))
    assert {name: metric.monitor for name, metric in catalog.metrics.items()} == _as_before(text)


def test_the_command_prints_the_catalogue_while_the_old_setting_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "monitoring.yaml"
    file.write_text(DOCUMENTED, encoding="utf-8")
    monkeypatch.setenv("METRICS_MONITORING_FILE", str(file))
    answer = CliRunner().invoke(main, ["convert-monitoring", str(file)])
    assert answer.exit_code == 0, answer.output
    assert yaml.safe_load(answer.output)["metrics"]["ctr"] == {"monitor": {"slices": {"minimum_volume": 1000}}}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("metrics: {vews: {}}", "metrics.vews: no such metric; did you mean views?"),
        ("metric: {views: {}}", "metric: no such key; did you mean metrics?"),
        ("metrics: {views: {totl: {}}}", "metrics.views.totl: no such key; did you mean total?"),
        ("metrics: {views: {total: 3}}", "metrics.views.total = 3: write its keys below it"),
        ("metrics: {views: 3}", "metrics.views = 3: write its keys below it"),
        ("metrics: {views: {critical_change: -1}}", "critical_change = -1"),
        ("metrics: {views: {slices: {seasonal: {slot_treshold: 3}}}}", "slot_treshold: no such key"),
        ("metrics: [views]", "metrics = ['views']: write its keys below it"),
        ("[views]", "write `metrics:` with the metrics' names below it"),
        ("metrics: {views: {", "is not valid"),
    ],
)
def test_a_key_that_the_old_format_did_not_have_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "monitoring.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogError) as refusal:
        convert_monitoring_file(file)
    assert problem in str(refusal.value)
    assert str(file) in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["convert-monitoring", str(tmp_path / "none.yaml")])
    assert answer.exit_code == 1
    assert "none.yaml" in answer.output and "No such file" in answer.output
