"""What each asset of the monitor is, in the words of Dagster's UI."""

from __future__ import annotations

DESCRIPTIONS = {
    "slot_metrics": """\
**The 15-minute metrics**: feed users, views, likes, CTR, messages and senders of every quarter of an hour, for the \
whole product and by slice, on a full grid: a slot without events stands there with zeros, so that an outage is seen.

Only the slots asked for are read from the source; slots around them stay as they are. Partitions are slots in UTC.
""",
    "verdicts": """\
**Is it normal?** Every metric of every slot, as a whole and by slice, with what was expected, the band, and why. Each \
metric is a check: it warns where the latest slot of the run is anomalous. An anomaly never fails a run.

A slot is judged against its past only, so judging it again gives the same answer. How each metric is judged is in the \
catalogue, and in METRICS_MONITORING_FILE where that is set.
""",
    "incidents": """\
**Anomalies that belong together in time**: one incident from the first anomalous slot until the metric has been back \
in its band for two. People are told once when it opens, again after hours, and when it is over.

Slots are taken in once and in their order: running a slot again changes nothing, and of slots older than \
METRICS_ALERT_MAX_AGE_MINUTES nothing is told.
""",
}
