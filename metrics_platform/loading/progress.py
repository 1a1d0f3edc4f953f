"""What people see while a file is loaded: a bar of its bytes on a terminal, and lines on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn


class Display:
    """Shows bars and lines.

    Args:
        progress: show bars where standard error is a terminal.
        say: told every line instead of standard error.
    """

    def __init__(self, *, progress: bool = True, say: Callable[[str], None] | None = None) -> None:
        self.lines: list[str] = []
        self._say = say
        self._console = Console(stderr=True, soft_wrap=True)
        self._bars = progress and self._console.is_terminal

    def say(self, line: str) -> None:
        """Say a line now, and keep it for the result."""
        self.lines.append(line)
        if self._say:
            self._say(line)
        else:
            self._console.print(line, markup=False, highlight=False)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar of `total` bytes; gives the function that moves it on by so many bytes."""
        if not self._bars:
            yield lambda _: None
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(what, total=total)
            yield lambda count: progress.advance(task, count)
