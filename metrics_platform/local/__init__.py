"""What runs on one machine without anything installed beyond PyPI: the embedded ClickHouse and the demo."""
