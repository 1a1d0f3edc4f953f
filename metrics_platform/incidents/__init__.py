"""Incidents: anomalies that belong together in time, from opening to all-clear; what is told of them, once."""
