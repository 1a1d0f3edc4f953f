"""The names of the delivery in Dagster: what its pages are found by, without anything that delivers."""

from __future__ import annotations

import dagster as dg

GROUP = "delivery"
ASSET = "notifications"
KEY = dg.AssetKey(ASSET)
PARTITIONS = dg.DynamicPartitionsDefinition(name=ASSET)
JOB = "notify"
DRAIN = "send_waiting"
# Its runs may queue alerts.
MONITOR_JOB = "anomaly_check"
CHANNELS = "channels"
# Assets whose runs queue messages. Alerts about the platform itself are queued by sensors.
SENDERS = ("daily_report", "incidents")
CHECK = "channels_answer"
CHECK_JOB = "check_channels"
SENSOR = "notify_sensor"
# A run of `notify` that takes longer is ended, and another one continues. It ends itself earlier.
LONGEST_RUN_SECONDS = 900
