"""Everything that runs on one machine with packages from PyPI alone: the embedded ClickHouse and the demo."""
