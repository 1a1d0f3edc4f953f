"""The state of a demo between two starts: its product, and up to when its events are written."""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from metrics_platform.local.demo.product import Product


class DemoError(RuntimeError):
    """The demo cannot run here; the text says what to do."""


class State(BaseModel):
    """The demo of a directory. `written_until`: the first instant (UTC) whose events are not written yet."""

    directory: Path = Field(Path(), exclude=True)
    first_day: datetime.date
    today: datetime.date
    zone: ZoneInfo
    seed: int = 1
    written_until: AwareDatetime

    @property
    def product(self) -> Product:
        """The made-up product."""
        return Product(self.first_day, self.today, self.zone, self.seed)

    @classmethod
    def read(cls, directory: Path) -> State | None:
        """Read the state of the directory; None where no demo has been made yet.

        Raises:
            DemoError: the file is broken.
        """
        file = directory / "demo.json"
        try:
            state = cls.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValidationError, UnicodeError) as error:
            raise DemoError(f"{file} cannot be read. Start with --fresh to make a new demo.") from error
        state.directory = directory
        return state

    def write(self) -> None:
        """Write it in one step: a reader sees the old or the new."""
        file = self.directory / "demo.json"
        new = file.with_suffix(".new")
        new.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        new.replace(file)


@contextmanager
def exclusive_lock(directory: Path) -> Iterator[bool]:
    """Lock the directory against another demo; yields False where one runs in it already."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "demo.lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield True


def lock_holder(directory: Path) -> str:
    """The process id of the demo that runs in the directory."""
    return (directory / "demo.lock").read_text(encoding="utf-8").strip()
