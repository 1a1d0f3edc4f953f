"""The monitor's assets, run through Dagster in this process."""
