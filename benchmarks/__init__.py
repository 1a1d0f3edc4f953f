"""How fast the platform is, each question side by side with what it is compared with: `python -m benchmarks --help`."""
