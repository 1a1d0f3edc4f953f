"""Photos and files as Telegram checks them: what is an image, how large it may be, and what `file_id` it gets."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from metrics_platform_tests.telegram.errors import ApiError, bad_request
from metrics_platform_tests.telegram.reading import UploadedFile

MOST_PHOTO_BYTES = 10 * 1024 * 1024
MOST_FILE_BYTES = 50 * 1024 * 1024
_MOST_SIDES, _MOST_RATIO = 10_000, 20
# The longest sides of the sizes that Telegram makes of a photo, by its letters s, m, x, y, w.
_SIDES = (90, 320, 800, 1280, 2560)


@dataclass(frozen=True)
class Media:
    """A photo or a document in a chat; width and height in pixels."""

    kind: Literal["photo", "document"]
    name: str
    media_type: str
    content: bytes
    width: int = 0
    height: int = 0

    @property
    def file_id(self) -> str:
        """The id by which the same file can be sent again."""
        return f"AgAC{self._digest}{self.kind}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()[:32]

    def json(self) -> dict[str, Any]:
        """The field of a `Message`."""
        if self.kind == "document":
            document = {"file_name": self.name, "mime_type": self.media_type, "file_id": self.file_id}
            return {"document": document | {"file_unique_id": self._digest[:16], "file_size": len(self.content)}}
        longest = max(self.width, self.height)
        sides = [side for side in _SIDES if side < longest] + ([longest] if longest <= _SIDES[-1] else [])
        return {"photo": [self._size(side / longest, index) for index, side in enumerate(sides)]}

    def _size(self, scale: float, index: int) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "file_unique_id": f"{self._digest[:15]}{index}",
            "file_size": max(1, round(len(self.content) * scale * scale)),
            "width": max(1, round(self.width * scale)),
            "height": max(1, round(self.height * scale)),
        }


def judge_photo(file: UploadedFile) -> Media:
    """The photo that Telegram makes of an uploaded file, or its refusal."""
    check_size(file, MOST_PHOTO_BYTES, "photo")
    try:
        with Image.open(io.BytesIO(file.content)) as image:
            width, height = image.size
            if width + height > _MOST_SIDES or max(width, height) > _MOST_RATIO * min(width, height):
                raise bad_request("PHOTO_INVALID_DIMENSIONS")
            image.load()  # a picture cut short opens well
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise bad_request("IMAGE_PROCESS_FAILED") from None
    return Media("photo", file.name, file.media_type, file.content, width, height)


def judge_document(file: UploadedFile) -> Media:
    """The document that Telegram makes of an uploaded file, or its refusal."""
    check_size(file, MOST_FILE_BYTES, "document")
    return Media("document", file.name, file.media_type, file.content)


def check_size(file: UploadedFile, most: int, kind: str) -> None:
    """Refuses what is empty or above `most` bytes."""
    if not file.content:
        raise bad_request("file must be non-empty")
    if file.size > MOST_FILE_BYTES:
        raise ApiError(413, "Request Entity Too Large")
    if file.size > most:
        raise bad_request(f"file of size {file.size} bytes is too big for a {kind}; the maximum size is {most} bytes")
