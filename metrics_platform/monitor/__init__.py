"""The 15-minute monitor without Dagster: the history of metrics, their verdicts, and the back-test."""
