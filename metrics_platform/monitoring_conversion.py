"""Converts a file of the removed setting METRICS_MONITORING_FILE into a catalogue for METRICS_CATALOG.

In the old file, `slices` did not inherit from `total`; in a catalogue they do. So keys that `total` changed are also
written for the slices, with the values that they had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from metrics_platform.catalog import Catalog, load_catalog
from metrics_platform.catalog_problems import CatalogError, problem_texts
from metrics_platform.detection.config import Strict
from metrics_platform.settings import Settings
from metrics_platform.suggestions import near

_HEAD = """\
# Converted from {file}. Set METRICS_CATALOG to this file, and remove METRICS_MONITORING_FILE.
"""


class _Metric(Strict):
    """An entry of the old file. What its values may be is checked in the catalogue that they become."""

    total: dict[str, Any] | None = None
    slices: dict[str, Any] | None = None
    judge_slices: bool = True
    critical_change: Any = None
    muted_until: Any = None


class _File(Strict):
    metrics: dict[str, _Metric] | None = None


def convert_monitoring_file(file: Path) -> str:
    """The catalogue, as YAML, that evaluates metrics as the monitoring file `file` did.

    Raises:
        CatalogError: the file cannot be read, or has something that the old format did not have.
    """
    import yaml  # noqa: PLC0415

    builtin = _catalog(None)
    monitors = {name: _monitor(name, entry, builtin) for name, entry in _read(file, builtin).items()}
    entries = {name: {"monitor": monitor} for name, monitor in monitors.items() if monitor}
    text = _HEAD.format(file=file)
    text += yaml.safe_dump({"metrics": entries}, sort_keys=False, allow_unicode=True) if entries else ""
    _check(file, text)
    return text


def _read(file: Path, builtin: Catalog) -> dict[str, _Metric]:
    import yaml  # noqa: PLC0415

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(str(file), [" ".join(str(error).split())]) from None
    if not isinstance(content, Mapping):
        raise CatalogError(str(file), ["write `metrics:` with the metrics' names below it"])
    try:
        metrics = _File.model_validate(content).metrics or {}
    except ValidationError as error:
        raise CatalogError(str(file), problem_texts(error, _File)) from None
    if unknown := [name for name in metrics if name not in builtin.metrics]:
        problems = [f"metrics.{name}: no such metric{near(name, builtin.metrics)}" for name in unknown]
        raise CatalogError(str(file), problems)
    return metrics


def _monitor(name: str, entry: _Metric, builtin: Catalog) -> dict[str, Any]:
    """The key `monitor` of a metric."""
    total = entry.total or {}
    monitor = {**entry.model_dump(include={"critical_change", "muted_until"}, exclude_unset=True), **total}
    slices: Any = entry.slices or {}
    if not entry.judge_slices:
        slices = False
    elif config := builtin.metrics[name].monitor.slices:
        slices = _with_former(slices, total, config.model_dump(mode="json"))
    return {**monitor, "slices": slices} if slices or slices is False else monitor


def _with_former(slices: Mapping[str, Any], total: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """Add to `slices` the former values of keys that they would otherwise inherit from `total`."""
    found = dict(slices)
    for key, value in total.items():
        if isinstance(value, Mapping) and key in former:
            # Slices have their own default for every key of `seasonal`.
            inner = {} if key == "seasonal" else _with_former(slices.get(key) or {}, value, former[key])
            found |= {key: inner} if inner else {}
        elif key not in found and key in former:
            found[key] = former[key]
    return found


def _check(file: Path, text: str) -> None:
    """Raise the errors of the resulting catalogue under the name of the old file."""
    with tempfile.TemporaryDirectory() as directory:
        converted = Path(directory) / "catalogue.yaml"
        converted.write_text(text, encoding="utf-8")
        try:
            _catalog(converted)
        except CatalogError as error:
            raise CatalogError(str(file), error.problems) from None


def _catalog(file: Path | None) -> Catalog:
    """The catalogue under default settings, since those of the environment still have the removed one."""
    return load_catalog(Settings.model_construct(catalog=file))
