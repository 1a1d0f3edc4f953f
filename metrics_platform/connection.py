"""The address and login of ClickHouse: a URL, parsed once, whose password is never printed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_FORM = "http(s)://user:password@host:port/database"
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEFAULT_PORTS = {"http": 8123, "https": 8443}


@dataclass(frozen=True)
class Connection:
    """A parsed ClickHouse URL: host, port, TLS, user, password (not in `repr`) and database."""

    host: str
    port: int
    secure: bool
    user: str
    password: str = field(repr=False)
    database: str
    ca_file: Path | None = None

    @property
    def display_url(self) -> str:
        """The URL with its password masked, for output and logs."""
        scheme, _, place = self.address.partition("://")
        return f"{scheme}://{quote(self.user)}:***@{place}/{self.database}"

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def parse_url(url: str, ca_file: Path | None = None) -> Connection:
    """Parse `http(s)://user:password@host:port/database` (user and password percent-encoded).

    Raises:
        ValueError: names the invalid part and the expected form, without the URL, which has a password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError(
            f"it cannot be read as a URL; write it as {_FORM} and percent-encode special characters "
            "in user and password (@ is %40, : is %3A, / is %2F)"
        ) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(
            f"it begins with {parts.scheme + '://' if parts.scheme else 'no scheme'!r}; use ClickHouse's HTTP "
            f"interface: {_FORM} (port 8123 or 8443, not the native 9000)"
        )
    if not parts.hostname:
        raise ValueError(f"it names no host; write it as {_FORM}")
    if parts.query or parts.fragment:
        raise ValueError(f"it has something after the database (? or #); write it as {_FORM}")
    database = unquote(parts.path.strip("/"))
    if not _DATABASE.fullmatch(database):
        raise ValueError(
            f"it names {'no' if not database else 'a bad'} database; write it as {_FORM}, where the database "
            "(letters, digits and _) holds the platform's tables"
        )
    return Connection(
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[parts.scheme],
        secure=parts.scheme == "https",
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=database,
        ca_file=ca_file,
    )
