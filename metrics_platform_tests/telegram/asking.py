"""Pictures of a wanted size."""

from __future__ import annotations

import io

from PIL import Image


def picture(width: int = 320, height: int = 200, colour: str = "navy") -> bytes:
    """A PNG of the given size in pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()
