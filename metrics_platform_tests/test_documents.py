"""The documents and the deployment's files keep to the code: columns, versions, Dagster's settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from metrics_platform.catalog import load_catalog
from metrics_platform.catalog_entries import DimensionEntry, MetricEntry, SourceEntry
from metrics_platform.detection.config import DetectorConfig, MonitorConfig
from metrics_platform.settings import load_settings
from metrics_platform.warehouse import tables

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
FILES = [table.file for table in (*tables.daily_tables(("os",)), tables.METRIC_DAILY, *tables.MONITOR_TABLES)]


@pytest.mark.parametrize("file", FILES)
def test_every_column_is_explained_in_the_section_of_its_table(file: str) -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    name = "dimension_metrics" if file == "slice" else file
    (section,) = (part for part in text.split("\n## ") if f"`{name}`" in part.splitlines()[0])
    named = set(re.findall(r"`(\w+)`", section))
    assert {column.name for column in tables.columns_of(file)} - named == set()


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("A source", [SourceEntry]),
        ("A dimension", [DimensionEntry]),
        ("A metric", [MetricEntry]),
        ("How a metric is evaluated", [DetectorConfig, MonitorConfig]),
    ],
)
def test_every_key_of_a_catalogue_is_explained(heading: str, models: list[type[BaseModel]]) -> None:
    text = (ROOT / "docs/catalog.md").read_text(encoding="utf-8")
    (section,) = (part for part in text.split("\n## ") if part.splitlines()[0] == heading)
    cells = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))
    keys = {key for model in models for key in model.model_fields} - {"total"}  # the keys of `monitor` itself
    assert keys - set(re.findall(r"`(\w+)`", cells)) == set()


def test_the_examples_of_the_catalogue_are_valid(tmp_path: Path) -> None:
    for name in ("catalog", "extending", "monitoring"):
        text = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
        examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        assert examples
        for number, example in enumerate(examples):
            file = tmp_path / f"{name}_{number}.yaml"
            file.write_text(example, encoding="utf-8")
            assert load_catalog(load_settings(None, catalog=file)).problem == ""


def test_the_deployment_keeps_every_setting_of_the_local_dagster() -> None:
    own, deployed = (
        yaml.safe_load((ROOT / path / "dagster.yaml").read_text(encoding="utf-8")) for path in (".dagster", "deploy")
    )
    own.pop("run_launcher")  # it looks for processes of its own machine; see "When the code location dies"
    assert {name: deployed.get(name) for name in own} == own
    assert set(deployed) - set(own) == {"storage", "compute_logs"}


def test_dagsters_postgres_is_the_companion_of_the_pinned_dagster() -> None:
    pinned = re.search(r"^dagster==1\.13\.(\d+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert f"dagster-postgres==0.29.{pinned[1]}\n" in (ROOT / "deploy/requirements.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", DOCUMENTS)
def test_every_link_and_picture_of_a_document_is_there(file: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    missing = [target for target in local if target and not (ROOT / file).parent.joinpath(target).exists()]
    assert missing == []
