"""What the parts of `Settings` have in common."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsPart(BaseSettings):
    """A part of `Settings`, which alone is ever read: what validates a part would be made for nothing."""

    model_config = SettingsConfigDict(defer_build=True)
