"""The state of a demo between two starts: its product, and up to when its events are written."""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ValidationError

from metrics_platform.local.demo.product import Product

_REMEDY = "Start it with --fresh to make a new one."


class DemoError(RuntimeError):
    """The demo cannot run here; the text says what to do."""


class _StateFile(BaseModel):
    first_day: datetime.date
    today: datetime.date
    zone: str
    seed: int
    written_until: AwareDatetime


@dataclass
class State:
    """The demo of a directory. `written_until`: the first instant (UTC) whose events are not written yet."""

    directory: Path
    product: Product
    written_until: datetime.datetime

    @classmethod
    def read(cls, directory: Path) -> State | None:
        """Read the state of the directory; None where no demo has been made yet.

        Raises:
            DemoError: the file is broken.
        """
        file = _file(directory)
        try:
            found = _StateFile.model_validate_json(file.read_text(encoding="utf-8"))
            product = Product(found.first_day, found.today, ZoneInfo(found.zone), found.seed)
        except FileNotFoundError:
            return None
        except ValidationError as error:
            why = "; ".join(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors())
            raise DemoError(f"{file} cannot be read: {why}. {_REMEDY}") from error
        except (ValueError, KeyError) as error:
            raise DemoError(f"{file} cannot be read: {error}. {_REMEDY}") from error
        return cls(directory, product, found.written_until)

    def write(self) -> None:
        """Write it in one step: a reader sees the old or the new."""
        content = _StateFile(
            first_day=self.product.first_day,
            today=self.product.today,
            zone=self.product.zone.key,
            seed=self.product.seed,
            written_until=self.written_until,
        )
        new = _file(self.directory).with_suffix(".new")
        new.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
        new.replace(_file(self.directory))


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


def _file(directory: Path) -> Path:
    return directory / "demo.json"
