"""The names of the delivery in Dagster: what its pages are found by, without anything that delivers."""

from __future__ import annotations

import dagster as dg

ASSET = "notifications"
KEY = dg.AssetKey(ASSET)
PARTITIONS = dg.DynamicPartitionsDefinition(name=ASSET)
JOB = "notify"
CHANNELS = "channels"
CHECK = "channels_answer"
CHECK_JOB = "check_channels"
SENSOR = "notify_sensor"
