"""The demo as a person uses it, in a browser: `python -m pytest -n 0 -m end_to_end`. Not part of the usual run."""
