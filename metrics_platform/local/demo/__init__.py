"""`metrics-platform demo`: a made-up product with history and live events, and the whole platform on it."""
