"""An HTTP request as the Bot API server reads it: parameters as strings, files by their field.

The server takes a query, a form, multipart and JSON, and afterwards does not know which it was: numbers, booleans
and objects are their JSON texts. Tests see the same, whatever the client under test prefers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from metrics_platform_tests.telegram.errors import bad_request, strictness

_DISPOSITION = re.compile(r';\s*(?P<key>[\w*]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^;\s]+))')


@dataclass(frozen=True)
class UploadedFile:
    """One file of a multipart request."""

    name: str
    media_type: str
    content: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)


@dataclass(frozen=True)
class Sent:
    """What a request carries."""

    parameters: dict[str, str]
    files: dict[str, UploadedFile]


def read_request(query: str, media_type: str, body: bytes) -> Sent:
    """The parameters and files of one call; raises `ApiError` where the body is not what its type says."""
    parameters = dict(_pairs(query))
    files: dict[str, UploadedFile] = {}
    kind = media_type.split(";", 1)[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        parameters |= _pairs(body.decode())
    elif kind == "multipart/form-data":
        fields, files = _multipart(media_type, body)
        parameters |= fields
    elif body:
        raise strictness(f"a body of type {media_type!r} is ignored by the Bot API")
    return Sent(parameters, files)


def is_true(text: str) -> bool:
    """Whether the Bot API takes this text for yes."""
    return text.strip().lower() in {"true", "yes", "1"}


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise strictness(f"a parameter is given twice in {sorted(names)}")
    return dict(pairs)


def _multipart(media_type: str, body: bytes) -> tuple[dict[str, str], dict[str, UploadedFile]]:
    boundary = dict(_attributes(media_type)).get("boundary", "")
    if not boundary:
        raise bad_request("boundary too big or empty")
    fields: dict[str, str] = {}
    files: dict[str, UploadedFile] = {}
    delimiter = b"\r\n--" + boundary.encode()
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        head, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise bad_request("can't find headers of a part of the multipart body")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        }
        named = dict(_attributes(headers.get("content-disposition", "")))
        if "filename" in named or "filename*" in named:
            name = named.get("filename", "") or named["filename*"].split("''", 1)[-1]
            files[named["name"]] = UploadedFile(name, headers.get("content-type", ""), content)
        else:
            fields[named["name"]] = content.decode()
    return fields, files


def _attributes(header: str) -> list[tuple[str, str]]:
    return [
        (one["key"].lower(), re.sub(r"\\(.)", r"\1", one["quoted"]) if one["quoted"] is not None else one["bare"])
        for one in _DISPOSITION.finditer(header)
    ]
