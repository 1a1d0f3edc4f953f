"""HTML pages made of templates: e-mails and the outbox. Jinja escapes every value."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# Letters of the reader's system, in e-mails and in the outbox alike.
FONTS = {
    "sans": "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif",
    "mono": "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace",
}


def page(template: str, **facts: Any) -> str:
    """A template of `templates/`, filled in."""
    return _environment().get_template(template).render(**FONTS, **facts)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
