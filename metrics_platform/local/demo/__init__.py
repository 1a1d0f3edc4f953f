"""`metrics-platform demo`: the whole platform on a simulated product with history and live events."""
