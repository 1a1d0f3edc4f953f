"""A reader that looks at the tables all the time and notes every different day it ever saw."""

from __future__ import annotations

import datetime
import threading
from dataclasses import replace
from types import TracebackType

from metrics_platform.warehouse.client import Warehouse
from metrics_platform.warehouse.errors import WarehouseError
from metrics_platform_tests.faults.world import Look, State, look

_PAUSE_SECONDS = 0.5


class Reader:
    """Looks twice a second and at once when a test asks for it, in a thread of its own, during a `with` block.

    Attributes:
        looks: how many answers it got.
        refused: the answers it got that were errors.
        seen: (table, day) → the different contents it saw, in order; None: no rows of that day.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = replace(warehouse, retry_waits=())
        self._ended = threading.Event()
        self._wanted = threading.Event()
        self._begun = self._finished = 0
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._look_until_ended, daemon=True)
        self.looks = 0
        self.refused: list[str] = []
        self.seen: dict[tuple[str, datetime.date], list[str | None]] = {}

    def __enter__(self) -> Reader:
        self._thread.start()
        self.look_now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._wanted.set()
        self._thread.join(timeout=600)

    def look_now(self) -> None:
        """Return when a look is done that had not begun before."""
        with self._progress:
            mine = self._begun + 1
            self._wanted.set()
            self._progress.wait_for(lambda: self._finished >= mine or not self._thread.is_alive(), timeout=600)

    def assert_saw_only(self, old: State, new: State) -> None:
        """Each day was seen as the old one or as the new one, and once it was new it stayed so."""
        assert self.looks > 10
        assert self.refused == []
        for (table, day), contents in self.seen.items():
            before, after = old.look.get((table, day)), new.look.get((table, day))
            # Named, so that a failure says what was seen.
            names = ["old" if c == before else "new" if c == after else f"neither: {c}" for c in contents]
            assert names in (["old"], ["new"], ["old", "new"]), (table, day, names, before, after)

    def _look_until_ended(self) -> None:
        while not self._ended.is_set():
            with self._progress:
                self._wanted.clear()
                self._begun += 1
            try:
                self._note(look(self._warehouse))
            except WarehouseError as error:
                if error.code is not None:
                    self.refused.append(str(error))
            with self._progress:
                self._finished = self._begun
                self._progress.notify_all()
            self._wanted.wait(_PAUSE_SECONDS)

    def _note(self, days: Look) -> None:
        self.looks += 1
        for key in self.seen.keys() | days.keys():
            contents = self.seen.setdefault(key, [])
            if not contents or contents[-1] != days.get(key):
                contents.append(days.get(key))
