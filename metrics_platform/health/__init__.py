"""Probes of the sources: their latest event, and their rows. No Dagster."""
