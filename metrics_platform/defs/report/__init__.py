"""The morning report: its asset, job and schedule, and what they do in a run."""
