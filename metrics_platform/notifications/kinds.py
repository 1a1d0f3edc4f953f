"""The facts of each kind of notification, without any wording.

A notification is stored as JSON in Dagster's event log before it is sent. It is rendered with words, pictures and
markup when it is sent. An event has one `key`, however often it is queued. Numbers are plain (shares as 0…1), instants
have an offset, None means "not known".
"""

from __future__ import annotations

import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from metrics_platform.catalog_entries import Unit
from metrics_platform.channel_settings import Severity

# A partition key of Dagster and part of file names: no slashes, no spaces.
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._+=-]{0,150}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Values = tuple[Number | None, ...]
Automation = Literal["schedule", "sensor", "code location"]


def relative_change(value: float | None, base: float | None) -> float | None:
    """The change as a share of the base, positive for a rise also from a negative base; None if unknown or 0."""
    return (value - base) / abs(base) if value is not None and base else None


class Facts(BaseModel):
    """Base of all facts: frozen, and without NaN."""

    # Ignore fields of earlier versions that no longer exist. Build the model on first use: every process of the
    # platform loads this module, and few send anything.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class Event(Facts):
    """Base of all notifications."""

    # If the answer is lost, a report is not sent again; everything else is.
    at_most_once: ClassVar[bool] = False
    # Whether it may become one line of a digest when many are due.
    digestible: ClassVar[bool] = True

    kind: str
    key: Key  # unique: an event that is queued twice is one message
    occurred_at: AwareDatetime  # when it happened; a message that leaves much later says so
    severity: Severity = "info"
    thread: Key | None = None  # the notification that this one replies to
    run_id: str | None = None  # the Dagster run it is about, for its link


class MetricFacts(Facts):
    """Base of facts about one metric."""

    metric: str
    unit: Unit


class SeriesFacts(MetricFacts):
    """Base of facts about a metric, or a slice of it."""

    dimension: str | None = None
    dimension_value: str | None = None


# --- the report ------------------------------------------------------------------------------------------------------


class ReportRow(MetricFacts):
    """One metric of the report: its value and what it was a day and a week before (None: missing or undefined)."""

    value: Number | None
    day_before: Number | None = None
    week_before: Number | None = None


class ReportSeries(MetricFacts):
    """A metric's last seven days up to the report's, oldest first, and the seven days before them."""

    values: Values
    values_before: Values


class ReportPart(Facts):
    """A part of the report: its table, and its picture's panels.

    Attributes:
        name: a part of the built-in report, or the name of a section of the catalogue.
    """

    name: str = Field(min_length=1)
    rows: tuple[ReportRow, ...]
    series: tuple[ReportSeries, ...] = ()


class Contribution(Facts):
    """How a slice moved: its own change, and its share of the total's change."""

    dimension: str
    value: str
    change: Number | None
    share_of_change: Number | None = None


class Highlight(MetricFacts):
    """A metric of a day outside the band of usual values."""

    value: Number
    expected: Number
    lower: Number
    upper: Number
    score: Number  # the deviation in units of the metric's usual deviation
    week_before: Number | None = None
    record_weeks: int | None = None  # it is the highest or lowest value for N weeks
    record_weekday: bool = False  # the record is of the same weekday, not of all days
    # If it is a record: the days of the last eight weeks, oldest first; only the same weekdays if record_weekday.
    trend: Values = ()
    is_holiday: bool = False
    moved_with: tuple[str, ...] = ()  # metrics of the same kind that are unusual, too
    contributions: tuple[Contribution, ...] = ()

    @property
    def change(self) -> float | None:
        """The deviation as a share of the expected value."""
        return relative_change(self.value, self.expected)

    @property
    def rose(self) -> bool:
        """Whether it is above what was expected."""
        return self.value > self.expected


class WeekRow(MetricFacts):
    """A metric of a week: its value, and the mean of the four weeks before it (None: a day is missing)."""

    value: Number | None
    before: Number | None


class WeeklyCohort(Facts):
    """The users who began in a week: how many there are, and the share active 7, 14, … days after their first day."""

    first_day: datetime.date
    users: int = Field(ge=0)
    retention: tuple[Number | None, ...]


class ReportWeek(Facts):
    """Last week against the four before it, and how weekly cohorts come back."""

    first_day: datetime.date
    rows: tuple[WeekRow, ...]
    cohorts: tuple[WeeklyCohort, ...] = ()


class DayIncident(SeriesFacts):
    """An incident of the reported day, or one that is open when the report is made (`closed_at` is None)."""

    severity: Literal["critical", "warning"] = "critical"
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    worst_change: Number | None = None


class DailyReport(Event):
    """The report of one day."""

    at_most_once: ClassVar[bool] = True
    digestible: ClassVar[bool] = False

    kind: Literal["daily_report"] = "daily_report"
    date: datetime.date
    period_start: AwareDatetime
    period_end: AwareDatetime
    parts: tuple[ReportPart, ...]
    # What stands out, most unusual first; None: too little history to know.
    highlights: tuple[Highlight, ...] | None = None
    week: ReportWeek | None = None  # on Mondays: last week
    correction: bool = False  # the day was reported before (`thread`), and its numbers have changed since
    # What is wrong with its data: the first line says so.
    problem: Literal["missing", "partial", "incomplete", "failed_checks"] | None = None
    not_computed: tuple[str, ...] = ()  # tables behind the numbers that have not been computed for the day
    fresh_at: AwareDatetime | None = None  # when the day's load was last computed
    checks_passed: int | None = None
    checks_total: int | None = None
    day_incidents: tuple[DayIncident, ...] = ()


# --- anomalies -------------------------------------------------------------------------------------------------------


class History(Facts):
    """What an anomaly's chart shows: per slot, oldest first, the value, the expected band and earlier days."""

    times: tuple[AwareDatetime, ...]
    values: Values
    lower: Values = ()
    upper: Values = ()
    day_before: Values = ()

    @model_validator(mode="after")
    def _check_lengths(self) -> History:
        for name in ("values", "lower", "upper", "day_before"):
            length = len(getattr(self, name))
            if length != len(self.times) and (length or name == "values"):
                raise ValueError(f"{name} has {length} values for {len(self.times)} times")
        return self


class Anomaly(SeriesFacts):
    """A metric (of a slice, if named) that left its band in one slot."""

    incident: str  # the incident's short id, such as A7K2Q
    severity: Literal["critical", "warning"] = "critical"
    slot_start: AwareDatetime
    slot_end: AwareDatetime
    value: Number | None  # None: no data at all
    expected: Number | None
    lower: Number | None = None
    upper: Number | None = None
    day_before: Number | None = None
    detector: str = ""
    reason: str = ""  # the detector's reason code, such as `last_hour`
    score: Number | None = None  # the deviation in the detector's own unit
    contributions: tuple[Contribution, ...] = ()
    history: History | None = None

    @property
    def change(self) -> float | None:
        """The deviation as a share of what was expected."""
        return relative_change(self.value, self.expected)

    @property
    def rose(self) -> bool:
        """Whether the value is above the expected one."""
        return self.value is not None and self.value > (self.expected or 0)


class _Anomalies(Event):
    """Base of the notifications about open anomalies: as severe as the worst of them."""

    anomalies: tuple[Anomaly, ...] = Field(min_length=1)
    moved_with: tuple[str, ...] = ()  # metrics that moved with it, without an incident
    fresh_at: AwareDatetime | None = None

    @property
    def worst_first(self) -> list[Anomaly]:
        """The anomalies, critical ones first."""
        return sorted(self.anomalies, key=lambda anomaly: anomaly.severity != "critical")

    @model_validator(mode="after")
    def _take_severity(self) -> _Anomalies:
        severities = {anomaly.severity for anomaly in self.anomalies}
        object.__setattr__(self, "severity", "critical" if "critical" in severities else "warning")
        return self


class AnomalyOpened(_Anomalies):
    """One metric or several left their bands in one slot."""

    kind: Literal["anomaly_opened"] = "anomaly_opened"


class AnomalyUpdated(_Anomalies):
    """The current state of an open incident: an edit of its message (`thread`)."""

    digestible: ClassVar[bool] = False

    kind: Literal["anomaly_updated"] = "anomaly_updated"


class AnomalyStillOpen(_Anomalies):
    """A reminder, some hours after the opening."""

    kind: Literal["anomaly_still_open"] = "anomaly_still_open"
    opened_at: AwareDatetime


class ResolvedAnomaly(SeriesFacts):
    """An incident that is over: the metric has been back in its band."""

    incident: str
    opened_at: AwareDatetime
    resolved_at: AwareDatetime
    value: Number | None = None
    worst_change: Number | None = None  # the largest deviation, a share of the expected
    worst_at: AwareDatetime | None = None
    new_normal: bool = False  # its level has lasted, and is expected from now on
    turned: Literal["", "up", "down"] = ""  # it ended because it is unusual in this, the other direction
    history: History | None = None


class AnomalyResolved(Event):
    """The all-clear, when nothing of the opening is open: a silent reply to it, and an edit of it."""

    kind: Literal["anomaly_resolved"] = "anomaly_resolved"
    severity: Severity = "resolved"
    resolved: tuple[ResolvedAnomaly, ...] = Field(min_length=1)


# --- the platform itself ---------------------------------------------------------------------------------------------


class FailedRun(Event):
    """A run failed, and so did its retries."""

    kind: Literal["failed_run"] = "failed_run"
    severity: Severity = "failed"
    job: str
    steps: tuple[str, ...] = ()
    partition: str | None = None
    attempt: int | None = None
    attempts: int | None = None
    cause: str  # the unwrapped cause, not only `Steps failed`
    killed: bool = False  # the run's process ended without an error
    never_started: bool = False  # the run failed before its process began
    impact: tuple[str, ...] = ()  # assets that are stale now
    repeats: int = Field(default=0, ge=0)  # how often the same cause occurred again since the last message


class FailedTick(Event):
    """A tick of a schedule or a sensor raised, so it started no run; or the code location does not answer at all."""

    kind: Literal["failed_tick"] = "failed_tick"
    severity: Severity = "failed"
    automation: Automation
    name: str
    cause: str  # the innermost exception
    repeats: int = Field(default=0, ge=0)  # how often the same cause occurred again since the last message


class FailedRuns(Event):
    """Many runs failed for different reasons: after the first few they are reported together."""

    digestible: ClassVar[bool] = False

    kind: Literal["failed_runs"] = "failed_runs"
    severity: Severity = "failed"
    failures: int = Field(ge=1)
    since: AwareDatetime
    subjects: tuple[tuple[str, int], ...]  # jobs and checks with the number of failures, most first
    causes: tuple[tuple[str, int], ...] = ()  # causes with the number of failures, most first


class Recovered(Event):
    """A job, check, schedule, sensor or code location works again after it failed."""

    kind: Literal["recovered"] = "recovered"
    severity: Severity = "resolved"
    job: str | None = None
    asset: str | None = None
    check: str | None = None
    automation: Automation | None = None
    name: str | None = None  # the name of the schedule, sensor or code location
    failures: int = Field(ge=1)
    failed_since: AwareDatetime
    failed_until: AwareDatetime


class FailedCheck(Event):
    """An asset check with severity ERROR failed."""

    kind: Literal["failed_check"] = "failed_check"
    severity: Severity = "critical"
    asset: str
    check: str
    partition: str | None = None
    description: str = ""
    blocking: bool = False
    numbers: tuple[tuple[str, str], ...] = ()  # what the check found, as name and value
    repeats: int = Field(default=0, ge=0)  # how often it has failed again since the last message


class StaleData(Event):
    """A source has had no new events for longer than its limit."""

    kind: Literal["stale_data"] = "stale_data"
    severity: Severity = "warning"
    table: str
    last_event_at: AwareDatetime | None  # None: there is no event at all
    limit: datetime.timedelta
    still: bool = False  # a reminder


class FreshData(Event):
    """A source that was stale has new events again."""

    kind: Literal["fresh_data"] = "fresh_data"
    severity: Severity = "resolved"
    table: str
    stale_since: AwareDatetime
    last_event_at: AwareDatetime


class OddVolume(Event):
    """A complete day or slot has far more or fewer rows than the same weekday's baseline."""

    kind: Literal["odd_volume"] = "odd_volume"
    severity: Severity = "warning"
    table: str
    period_start: AwareDatetime
    period_end: AwareDatetime
    rows: int = Field(ge=0)
    expected: Number
    lower: Number
    upper: Number


class Success(Event):
    """The nightly load is done (opt-in)."""

    kind: Literal["success"] = "success"
    severity: Severity = "resolved"
    job: str
    partition: str | None = None
    took: datetime.timedelta
    warnings: int = Field(default=0, ge=0)


class ReportNotDelivered(Event):
    """The morning report has not arrived some time after it was due."""

    kind: Literal["report_not_delivered"] = "report_not_delivered"
    severity: Severity = "failed"
    date: datetime.date
    due_at: AwareDatetime
    reason: str = ""


class TestMessage(Event):
    """Sent on request, to see that messages arrive."""

    __test__: ClassVar[bool] = False  # for pytest: it is not a test class
    digestible: ClassVar[bool] = False

    kind: Literal["test_message"] = "test_message"


class Digest(Event):
    """Many notifications at once, one line each. The delivery creates it from a burst."""

    digestible: ClassVar[bool] = False

    kind: Literal["digest"] = "digest"
    notifications: tuple[Key, ...] = Field(min_length=1)


Notification = Annotated[
    DailyReport
    | AnomalyOpened
    | AnomalyUpdated
    | AnomalyStillOpen
    | AnomalyResolved
    | FailedRun
    | FailedTick
    | FailedRuns
    | Recovered
    | FailedCheck
    | StaleData
    | FreshData
    | OddVolume
    | Success
    | ReportNotDelivered
    | TestMessage
    | Digest,
    Field(discriminator="kind"),
]
