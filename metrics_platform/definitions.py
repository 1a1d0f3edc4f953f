"""The definitions that Dagster loads."""

from metrics_platform.defs import build_definitions
from metrics_platform.settings import current_settings

defs = build_definitions(current_settings())
