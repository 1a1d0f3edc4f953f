"""The 15-minute monitor without Dagster: how metrics are judged, their history, their verdicts."""
