"""How each 15-minute metric is judged: the catalogue's defaults under METRICS_MONITORING_FILE.

The file names only what differs, metric by metric:

    metrics:
      views:
        muted_until: 2026-12-01T09:00:00+03:00
        total:
          seasonal: {slot_threshold: 4.5}
      ctr:
        judge_slices: false
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metrics_platform.catalog import SLOT_METRICS
from metrics_platform.detection.config import MetricMonitoring
from metrics_platform.settings import Settings


class MonitoringFileError(ValueError):
    """METRICS_MONITORING_FILE cannot be read, or holds something that is no setting; the text names each problem."""


def load_monitoring(settings: Settings) -> dict[str, MetricMonitoring]:
    """Each metric's monitoring, by the metric's name.

    Raises:
        MonitoringFileError: naming the file and everything in it that is not usable.
    """
    defaults = {metric.name: metric.monitoring for metric in SLOT_METRICS}
    if settings.monitoring_file is None:
        return defaults
    given, problems = _metrics_of(settings.monitoring_file)
    found = dict(defaults)
    for name, changes in given.items():
        if name not in defaults:
            problems.append(f"metrics.{name}: there is no such metric{_near(name, defaults)}")
        elif not isinstance(changes, Mapping):
            problems.append(f"metrics.{name}: write settings as «name: value», not {changes!r}")
        else:
            try:
                found[name] = MetricMonitoring.model_validate(_merged(defaults[name].model_dump(), changes))
            except ValidationError as error:
                problems += [_problem(f"metrics.{name}", detail) for detail in error.errors()]
    if problems:
        lines = [
            f"METRICS_MONITORING_FILE = {settings.monitoring_file} is not usable:",
            *(f"  - {p}" for p in problems),
        ]
        raise MonitoringFileError("\n".join(lines))
    return found


def _metrics_of(file: Path) -> tuple[Mapping[str, Any], list[str]]:
    """The file's metrics as they are written, and what is wrong with the file around them."""
    import yaml  # noqa: PLC0415  (only where a file is set)

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
    else:
        problem = ""
    if problem:
        raise MonitoringFileError(f"METRICS_MONITORING_FILE = {file} cannot be read: {problem}")
    if content is None:
        return {}, []
    if not isinstance(content, Mapping):
        return {}, ["write «metrics:» and below it the metrics' names"]
    problems = [f"{name}: is no setting{_near(str(name), ['metrics'])}" for name in content if name != "metrics"]
    metrics = content.get("metrics") or {}
    if not isinstance(metrics, Mapping):
        return {}, [*problems, f"metrics: write the metrics' names below it, not {metrics!r}"]
    return {str(name): changes for name, changes in metrics.items()}, problems


def _merged(below: Mapping[str, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    """`below` with what `above` changes, at any depth."""
    merged = dict(below)
    for name, value in above.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _problem(where: str, detail: Any) -> str:
    path = ".".join([where, *map(str, detail["loc"])])
    if detail["type"] == "extra_forbidden":
        return f"{path}: is no setting{_near(str(detail['loc'][-1]), _names(detail['loc'][:-1]))}"
    return f"{path} = {detail['input']!r}: {detail['msg'].removeprefix('Value error, ')}"


def _names(path: tuple[Any, ...]) -> list[str]:
    """The settings there are at a place within a metric."""
    place = MetricMonitoring().model_dump()
    for name in path:
        place = place.get(name, {}) if isinstance(place, Mapping) else {}
    return list(place)


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
