"""Delivery in Dagster: the queue, its sensor and job, and the check of the channels."""
