"""Trying the detectors: on the product's own history or on generated traffic, with injected faults."""
