"""Metric incidents: the alert engine over the verdicts, kept in ClickHouse, and the facts of their notifications."""
