"""The facts: what is stored reads back the same, and what is wrong is refused by its name."""

from __future__ import annotations

import datetime
import json
import math
import zoneinfo
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from metrics_platform.notifications import kinds
from metrics_platform.notifications.history import read_entry
from metrics_platform_tests.notifications.examples import EXAMPLES, NOON, anomaly, history
from metrics_platform_tests.notifications.test_template_limits import EVENTS


def stored(event: kinds.Event) -> Any:
    """As Dagster's event log gives it back."""
    return json.loads(json.dumps(event.model_dump(mode="json"), allow_nan=False))


def read_notification(facts: Any) -> kinds.Event:
    """As the journal reads it."""
    return read_entry({"entry": "asked", "notification": facts}).notification


def test_every_kind_reads_back_as_it_was_stored() -> None:
    for event in EXAMPLES.values():
        read = read_notification(stored(event))
        assert read == event
        assert type(read) is type(event)
        assert stored(read) == stored(event)


@settings(max_examples=30)
@given(EVENTS)
def test_any_facts_read_back_as_they_were_stored(event: kinds.Event) -> None:
    assert read_notification(stored(event)) == event


def test_fields_of_earlier_versions_are_ignored() -> None:
    facts = stored(EXAMPLES["report-2026-11-20"])
    earlier = {"critical": 1, "warning": 0, "normal": 7, "incidents": [stored(anomaly())]}
    assert read_notification({**facts, **earlier}) == EXAMPLES["report-2026-11-20"]


def test_an_unknown_kind_and_one_that_is_missing_are_refused() -> None:
    for facts in ({**stored(EXAMPLES["test-1"]), "kind": "joke"}, {"key": "a"}, None, "text", []):
        with pytest.raises(ValidationError):
            read_notification(facts)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "NaN"])
def test_what_is_no_number_is_refused_everywhere(value: Any) -> None:
    facts = anomaly().model_dump()
    for name in ("value", "expected", "lower", "upper", "day_before", "score"):
        with pytest.raises(ValidationError, match=rf"{name}\n +Input should be a finite number"):
            kinds.Anomaly(**{**facts, name: value})
    with pytest.raises(ValidationError, match="finite"):
        kinds.ReportRow(metric="views", unit="count", value=value)
    with pytest.raises(ValidationError, match="finite"):
        kinds.History(times=(NOON,), values=(value,))


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a/b", "../a", ".a", "-a", "a\n", "a\x00", "ключ", "a" * 152, "a...b/..."]
)
def test_a_key_that_is_no_file_name_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="key\n"):
        kinds.TestMessage(key=key, occurred_at=NOON)


def test_a_moment_without_its_offset_is_refused() -> None:
    with pytest.raises(ValidationError, match="occurred_at\n"):
        kinds.TestMessage(key="a", occurred_at=NOON.replace(tzinfo=None))


def test_a_moment_keeps_its_instant_in_the_hour_that_the_clocks_repeat() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    twice = [datetime.datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1)]
    read = [read_notification(stored(kinds.TestMessage(key="a", occurred_at=each))).occurred_at for each in twice]
    assert read[1] - read[0] == datetime.timedelta(hours=1)


def test_anomalies_are_as_severe_as_the_worst_of_them() -> None:
    mild, bad = anomaly(severity="warning"), anomaly()
    for anomalies, severity in (((mild,), "warning"), ((mild, bad), "critical"), ((bad,), "critical")):
        event = kinds.AnomalyOpened(key="a", occurred_at=NOON, severity="info", anomalies=anomalies)
        assert event.severity == severity
        assert read_notification(stored(event)).severity == severity


def test_some_kinds_are_never_digested() -> None:
    assert {type(event) for event in EXAMPLES.values() if not event.digestible} == {
        kinds.DailyReport,
        kinds.AnomalyUpdated,
        kinds.FailedRuns,
        kinds.TestMessage,
        kinds.Digest,
    }


def test_series_as_long_as_their_times_are_required() -> None:
    facts = history().model_dump()
    with pytest.raises(ValidationError, match="lower has 1 values for 96 times"):
        kinds.History(**{**facts, "lower": (1.0,)})
    with pytest.raises(ValidationError, match="values has 0 values for 96 times"):
        kinds.History(**{**facts, "values": ()})
    with pytest.raises(ValidationError, match="views: values and values_before must have one value per day"):
        kinds.ReportPart(
            name="feed",
            rows=(),
            days=(NOON.date(), NOON.date() + datetime.timedelta(days=1)),
            series=(kinds.ReportSeries(metric="views", unit="count", values=(1,), values_before=(1, 2)),),
        )
