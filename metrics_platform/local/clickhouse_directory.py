"""The embedded server's directory. It is checked before the engine touches it, and each problem names its remedy.

engine.json            marks the directory and names the engine that wrote it
lock                   locked (flock) while a server runs; names its pid and port
url, readonly_url      how other processes find the server and log in (0600)
data/ run/ logs/       the engine's tables, its configuration, its output (0700)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

# Created at the first start: the engine's own two, the platform's tables, and the sources.
DATABASES = ("system", "default", "metrics", "simulator")
_OURS = ("engine.json", "lock", "url", "readonly_url", "data", "run", "logs")
_PASSWORD = re.compile(r"[A-Za-z0-9_-]{20,100}")


def engine_file(name: str) -> str:
    """A file that the engine reads when it starts. `users.xml` has its security on one page."""
    return (files("metrics_platform.local") / "engine" / name).read_text(encoding="utf-8")


def new_password() -> str:
    """A random password of 32 characters that needs no escaping in a URL, XML or a shell."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Passwords:
    """The passwords of the three users that can log in. A repr shows none of them."""

    platform: str = field(default_factory=new_password, repr=False)
    readonly: str = field(default_factory=new_password, repr=False)
    launcher: str = field(default_factory=new_password, repr=False)

    @property
    def hashes(self) -> dict[str, str]:
        """User → the SHA-256 of the password, as `users.xml` has it."""
        return {user: hashlib.sha256(password.encode()).hexdigest() for user, password in vars(self).items()}


class EmbeddedServerError(RuntimeError):
    """The embedded ClickHouse cannot run, or did not start. The text has the reason and the remedy."""


class ServerDirectory:
    """The directory of one embedded server; `root` is absolute. In `output` is why the engine does not start."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.run = root / "data", root / "run"
        self.log, self.output = root / "logs" / "clickhouse.log", root / "logs" / "output.log"
        self.url, self.readonly_url = root / "url", root / "readonly_url"
        self._engine = root / "engine.json"

    @contextmanager
    def locked(self, port: int, engine_version: str) -> Iterator[None]:
        """Create the directory if it is missing and lock it for this process, which serves it on `port`.

        Raises:
            EmbeddedServerError: it cannot be used. See the checks.
        """
        with self._explained():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            self._check_ours()
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            with self._explained():
                self._lock(descriptor, port)
                self._check_written_by(engine_version)
            yield
        finally:
            os.close(descriptor)

    def _check_owner(self) -> None:
        """Refuse a directory through which another user could decide what the engine reads and overwrites."""
        status = self.root.stat()
        if status.st_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{self.root} belongs to another user (uid {status.st_uid}; this is uid {os.geteuid()}).\n"
                "Name a directory of your own with --path."
            )
        if status.st_mode & stat.S_IWOTH:
            raise EmbeddedServerError(
                f"every user may write into {self.root}.\n"
                f"Take that right away (chmod o-w {self.root}), or name another directory with --path."
            )
        for entry in self.root.iterdir():
            if entry.name in _OURS and entry.is_symlink():
                raise EmbeddedServerError(
                    f"{entry} is a symbolic link, which could lead anywhere.\n"
                    "Remove it, or name another directory with --path."
                )

    def _check_ours(self) -> None:
        # With a lock only, another server is starting in it right now, and locking fails.
        unexpected = [
            entry.name for entry in self.root.iterdir() if not entry.name.startswith(("lock", ".engine.json"))
        ]
        if unexpected and not self._engine.exists():
            raise EmbeddedServerError(
                f"{self.root} is not empty and was not made by this command (it has no {self._engine.name}).\n"
                "Name an empty or a new directory with --path."
            )

    def _lock(self, descriptor: int, port: int) -> None:
        import fcntl  # noqa: PLC0415  (not on Windows, where a clear message comes before this)

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_json(self.root / "lock")
            pid, its_port = holder.get("pid", "(unknown)"), holder.get("port", "(unknown)")
            raise EmbeddedServerError(
                f"a server already runs on {self.root}: pid {pid}, port {its_port}.\n"
                f"Use it (its address is in {self.url}), or stop it first: kill {pid}"
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "port": port}).encode())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedServerError(
                f"the directory {self.root} cannot be used: {error.strerror or error} ({error.filename}).\n"
                "Make it writable, or name another with --path."
            ) from error

    def _check_written_by(self, engine_version: str) -> None:
        wrote = str(_read_json(self._engine).get("chdb-core", "0.0"))
        if _release(wrote) > _release(engine_version):
            raise EmbeddedServerError(
                f"the data in {self.root} were written by chdb-core {wrote}, newer than the installed "
                f"{engine_version}.\nInstall chdb-core {wrote} again, or name another directory with --path."
            )
        write_private(self._engine, json.dumps({"chdb-core": engine_version}) + "\n")

    def passwords(self) -> Passwords:
        """The passwords of the last start, so that connections of BI tools stay valid; new ones at the first start."""
        return Passwords(
            platform=_password_in(self.url) or new_password(),
            readonly=_password_in(self.readonly_url) or new_password(),
        )

    def prepare_engine(self, port: int, passwords: Passwords) -> None:
        """Write what the engine reads when it starts: its configuration and the databases."""
        metadata, functions = self.data / "metadata", self.data / "user_defined"
        with self._explained():
            for part in (self.data, self.run, self.log.parent, metadata, functions):
                part.mkdir(mode=0o700, exist_ok=True)
            write_private(
                self.run / "config.xml", engine_file("config.xml").format(port=port, log=escape(str(self.log)))
            )
            write_private(self.run / "users.xml", engine_file("users.xml").format(**passwords.hashes))
            write_private(functions / "function_file.sql", engine_file("function_file.sql"))
            for file in (metadata / f"{database}.sql" for database in DATABASES):
                if not file.exists():
                    write_private(file, f"ATTACH DATABASE _ UUID '{uuid.uuid4()}' ENGINE = Atomic\n")

    def write_urls(self, port: int, passwords: Passwords) -> None:
        """Write the URLs that other processes use to log in."""
        address = f"127.0.0.1:{port}/metrics\n"
        with self._explained():
            write_private(self.url, f"http://platform:{passwords.platform}@{address}")
            write_private(self.readonly_url, f"http://readonly:{passwords.readonly}@{address}")

    def last_output(self, lines: int = 5) -> str:
        """The last lines the engine printed (not its log, which has the text of queries); empty if none."""
        with contextlib.suppress(OSError):
            printed = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
            return "\n".join([line for line in printed if line.strip() and not line.startswith("Logging ")][:lines])
        return ""


def write_private(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of it; mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def _password_in(url_file: Path) -> str | None:
    """The password in a URL file; None if it is missing or not of this module."""
    with contextlib.suppress(OSError, ValueError):
        password = urlsplit(url_file.read_text(encoding="utf-8").strip()).password or ""
        return password if _PASSWORD.fullmatch(password) else None
    return None


def _read_json(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _release(version: str) -> tuple[int, ...]:
    """(26, 9) of "26.9.0": releases of one month read each other's data."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
