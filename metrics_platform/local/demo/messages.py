"""The pages of the outbox as they arrive, for the terminal."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from pathlib import Path

_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)


@dataclass
class NewMessages:
    """Looks into an outbox directory; what lies there at first is not new."""

    outbox: Path
    _known: set[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._known = self._pages()

    def take(self) -> list[tuple[str, Path]]:
        """Title and file of each message since the last call, oldest first."""
        new = sorted(self._pages() - self._known)
        self._known.update(new)
        return [(self._title(path), path) for path in new]

    def _pages(self) -> set[Path]:
        return {path for path in self.outbox.glob("*.html") if path.name != "index.html"}

    @staticmethod
    def _title(path: Path) -> str:
        found = _TITLE.search(path.read_text(encoding="utf-8", errors="replace"))
        return html.unescape(found[1]).strip() if found else path.stem
