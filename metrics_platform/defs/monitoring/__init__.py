"""The 15-minute monitor: its assets, job and schedule, and what they do in a run."""
