"""The pages of the outbox as they arrive, for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from metrics_platform.notifications.outbox import text_of_page


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
        return [((text_of_page(path) or path.stem).strip(), path) for path in new]

    def _pages(self) -> set[Path]:
        return {path for path in self.outbox.glob("*.html") if path.name != "index.html"}
