"""Converts a file of the removed setting METRICS_MONITORING_FILE into a catalogue for METRICS_CATALOG.

In the old file, `slices` did not inherit from `total`; in a catalogue they do. So keys that `total` changed are also
written for the slices, with the values that they had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metrics_platform.catalog import Catalog, load_catalog
from metrics_platform.catalog_problems import CatalogError
from metrics_platform.settings import Settings
from metrics_platform.suggestions import near

_UNCHANGED = ("critical_change", "muted_until")
_OLD_KEYS = {"total", "slices", "judge_slices", *_UNCHANGED}
_HEAD = """\
# Converted from {file}. Set METRICS_CATALOG to this file, and remove METRICS_MONITORING_FILE.
"""


def convert_monitoring_file(file: Path) -> str:
    """The catalogue, as YAML, that evaluates metrics as the monitoring file `file` did.

    Raises:
        CatalogError: the file cannot be read, or has something that the old format did not have.
    """
    import yaml  # noqa: PLC0415

    builtin = _catalog(None)
    metrics = _read(file, builtin)
    monitors = {name: _monitor(name, changes, builtin) for name, changes in metrics.items()}
    entries = {name: {"monitor": monitor} for name, monitor in monitors.items() if monitor}
    text = _HEAD.format(file=file)
    text += yaml.safe_dump({"metrics": entries}, sort_keys=False, allow_unicode=True) if entries else ""
    _check(file, text)
    return text


def _read(file: Path, builtin: Catalog) -> dict[str, Mapping[str, Any]]:
    import yaml  # noqa: PLC0415

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogError(str(file), [" ".join(str(error).split())]) from None
    if not isinstance(content, Mapping) or not isinstance(content.get("metrics") or {}, Mapping):
        raise CatalogError(str(file), ["write `metrics:` with the metrics' names below it"])
    metrics = content.get("metrics") or {}
    problems = [f"{key}: no such key{near(str(key), ['metrics'])}" for key in content if key != "metrics"]
    for name, changes in metrics.items():
        if name not in builtin.metrics:
            problems.append(f"metrics.{name}: no such metric{near(str(name), builtin.metrics)}")
        elif not isinstance(changes, Mapping):
            problems.append(f"metrics.{name} = {changes!r}: write its keys below it, as `key: value`")
        else:
            problems += [
                f"metrics.{name}.{key}: no such key{near(str(key), _OLD_KEYS)}"
                for key in changes
                if key not in _OLD_KEYS
            ]
            problems += [
                f"metrics.{name}.{key} = {changes[key]!r}: write its keys below it, as `key: value`"
                for key in ("total", "slices")
                if not isinstance(changes.get(key) or {}, Mapping)
            ]
    if problems:
        raise CatalogError(str(file), problems)
    return dict(metrics)


def _monitor(name: str, changes: Mapping[str, Any], builtin: Catalog) -> dict[str, Any]:
    """The key `monitor` of a metric."""
    total = changes.get("total") or {}
    monitor = {**{key: changes[key] for key in _UNCHANGED if key in changes}, **total}
    slices: Any = changes.get("slices") or {}
    if changes.get("judge_slices") is False:
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
