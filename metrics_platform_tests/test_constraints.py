"""`constraints.txt` can be read by any pip, and pins what `pyproject.toml` asks for."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def test_every_line_pins_exactly_one_version() -> None:
    for line in PINS:
        (version,) = Requirement(line).specifier
        assert version.operator == "==" and "*" not in version.version, line


def test_every_declared_dependency_is_pinned_to_a_version_it_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [Requirement(line) for line in project["dependencies"]]
    declared += [Requirement(line) for extra in project["optional-dependencies"].values() for line in extra]
    pinned = {canonicalize_name(pin.name): pin for pin in map(Requirement, PINS)}
    for requirement in declared:
        if canonicalize_name(requirement.name) == "metrics-platform":
            continue
        (version,) = (specifier.version for specifier in pinned[canonicalize_name(requirement.name)].specifier)
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_no_package_is_pinned_twice() -> None:
    names = [canonicalize_name(Requirement(line).name) for line in PINS]
    assert sorted(names) == sorted(set(names))
