"""METRICS_MONITORING_FILE: what it changes, and what it is refused for."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from metrics_platform.monitor.configuration import MonitoringFileError, load_monitoring

from metrics_platform.catalog import SLOT_METRICS
from metrics_platform.detection.config import MetricMonitoring
from metrics_platform.settings import load_settings


def _load(tmp_path: Path, text: str) -> dict[str, MetricMonitoring]:
    file = tmp_path / "monitoring.yaml"
    file.write_text(text, encoding="utf-8")
    return load_monitoring(load_settings(None, monitoring_file=file))


def test_without_a_file_the_catalogue_says_how_metrics_are_judged() -> None:
    found = load_monitoring(load_settings(None))
    assert found == {metric.name: metric.monitoring for metric in SLOT_METRICS}
    assert all(each.total.detectors == ("seasonal",) for each in found.values())


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    found = _load(
        tmp_path,
        """
        metrics:
          views:
            muted_until: 2026-12-01T09:00:00+03:00
            total:
              detectors: [seasonal, iqr]
              seasonal: {slot_threshold: 4.5}
        """,
    )
    before = load_monitoring(load_settings(None))
    zone = datetime.timezone(datetime.timedelta(hours=3))
    assert found["views"].muted_until == datetime.datetime(2026, 12, 1, 9, tzinfo=zone)
    assert found["views"].total.detectors == ("seasonal", "iqr")
    assert found["views"].total.seasonal.slot_threshold == 4.5
    assert found["views"].total.seasonal.hour_threshold == before["views"].total.seasonal.hour_threshold
    assert found["views"].total.minimum_volume == before["views"].total.minimum_volume
    assert found["views"].slices == before["views"].slices
    assert {name: each for name, each in found.items() if name != "views"} == {
        name: each for name, each in before.items() if name != "views"
    }


@pytest.mark.parametrize("text", ["", "metrics:\n", "metrics: {}\n", "# nothing yet\n"])
def test_an_empty_file_changes_nothing(tmp_path: Path, text: str) -> None:
    assert _load(tmp_path, text) == load_monitoring(load_settings(None))


@pytest.mark.parametrize(("text", "said"), [
    ("metrics:\n  vews: {}\n", "metrics.vews: there is no such metric; did you mean views?"),
    ("metric:\n  views: {}\n", "metric: is no setting; did you mean metrics?"),
    ("metrics:\n  views: {muted_untill: 2026-12-01}\n",
     "metrics.views.muted_untill: is no setting; did you mean muted_until?"),
    ("metrics:\n  views: {total: {seasonal: {slot_treshold: 3}}}\n",
     "metrics.views.total.seasonal.slot_treshold: is no setting; did you mean slot_threshold?"),
    ("metrics:\n  views: {total: {seasonal: {slot_threshold: -3}}}\n", "total.seasonal.slot_threshold = -3: "),
    ("metrics:\n  views: {total: {seasonal: {slot_threshold: .nan}}}\n", "slot_threshold = nan"),
    ("metrics:\n  views: {total: {detectors: [prophet]}}\n", "metrics.views.total.detectors.0 = 'prophet': "),
    ("metrics:\n  views: {total: {detectors: []}}\n", "metrics.views.total.detectors = []: "),
    ("metrics:\n  views: {muted_until: 2026-12-01 09:00}\n", "metrics.views.muted_until = "),
    ("metrics:\n  views: 3\n", "metrics.views: write settings as «name: value», not 3"),
    ("metrics: [views]\n", "metrics: write the metrics' names below it"),
    ("- views\n", "write «metrics:» and below it the metrics' names"),
    ("metrics: {views: {\n", "cannot be read"),
])  # fmt: skip
def test_what_is_no_setting_is_refused_by_its_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MonitoringFileError) as caught:
        _load(tmp_path, text)
    assert said in str(caught.value)
    assert f"METRICS_MONITORING_FILE = {tmp_path / 'monitoring.yaml'}" in str(caught.value)


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(MonitoringFileError) as caught:
        _load(tmp_path, "metrics:\n  vews: {}\n  views: {critical_change: -1, tootal: {}}\n")
    assert len(str(caught.value).splitlines()) == 4


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = load_settings(None, monitoring_file=tmp_path / "none.yaml")
    with pytest.raises(MonitoringFileError, match=r"none\.yaml cannot be read: .*No such file"):
        load_monitoring(settings)
