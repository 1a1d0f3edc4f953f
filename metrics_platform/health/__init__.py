"""The platform's own health, as rules: what has failed again, what is stale, what is an odd volume. No Dagster."""
