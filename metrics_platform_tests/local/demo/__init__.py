"""Tests of `metrics-platform demo`."""
