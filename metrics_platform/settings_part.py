"""Base class of the parts of `Settings`."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsPart(BaseSettings):
    """A part of `Settings`. Only `Settings` is instantiated, so building validators for a part is deferred."""

    model_config = SettingsConfigDict(defer_build=True)
