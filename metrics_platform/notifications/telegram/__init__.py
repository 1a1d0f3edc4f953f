"""Telegram: messages as its HTML, its calls, its answers."""
