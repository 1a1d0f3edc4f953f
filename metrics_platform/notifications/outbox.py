"""The dry run: the very calls that Telegram would get, as pages a person can open, in a folder.

One page per message, its pictures beside it, and `index.html` with the latest of them as a chat shows them. Nothing
leaves the machine.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics_platform.notifications.channel import Dispatch
from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.journal import Sent
from metrics_platform.notifications.message import Message, Picture, text_of
from metrics_platform.notifications.telegram.calls import Call, calls_of, request_of

_SHOWN_IN_INDEX = 100
_STYLE = """
:root { color-scheme: light dark; --page: #dfe7ec; --bubble: #fff; --ink: #0f1419; --quiet: #707b84; --link: #2678b6;
  --block: #f1f4f6; --line: #cfd9df; }
@media (prefers-color-scheme: dark) { :root { --page: #0e1621; --bubble: #182533; --ink: #f5f5f5; --quiet: #8595a3;
  --link: #6ab2f2; --block: #0e1a26; --line: #2b3b4a; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.4 -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif, "Noto Color Emoji"; }
main { max-width: 30rem; margin: 0 auto; padding: 1rem .6rem; }
h1 { font-size: 1rem; margin: .2rem .4rem 1rem; } h1 small { color: var(--quiet); font-weight: normal; display: block; }
.bubble { background: var(--bubble); border-radius: .9rem; overflow: hidden; margin: .35rem 0;
  box-shadow: 0 1px 1px #0002; }
.text { padding: .5rem .75rem .3rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.reply { margin: .5rem .75rem 0; padding: .1rem .5rem; border-left: 3px solid var(--link); color: var(--quiet);
  font-size: .87em; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
img { display: block; width: 100%; }
pre { background: var(--block); border-left: 3px solid var(--line); border-radius: .4rem; padding: .4rem .5rem;
  margin: 0; white-space: pre-wrap; font: 12.5px/1.35 "DejaVu Sans Mono", Menlo, Consolas, monospace; }
code { font: .92em "DejaVu Sans Mono", Menlo, Consolas, monospace; color: var(--link); }
pre code { color: inherit; }
blockquote { background: var(--block); border-left: 3px solid var(--link); border-radius: .4rem; margin: 0;
  padding: .3rem .5rem; }
a { color: var(--link); text-decoration: none; }
.foot { color: var(--quiet); font-size: .78em; padding: 0 .75rem .45rem; text-align: right; }
.keys { display: flex; gap: .35rem; margin: .35rem 0 .8rem; }
.keys a { flex: 1; text-align: center; background: var(--bubble); border-radius: .7rem; padding: .5rem; }
"""


@dataclass(frozen=True)
class OutboxChannel:
    """Messages as pages in `directory`, instead of in a chat."""

    directory: Path
    name: str = "outbox"

    def deliver(self, message: Message, dispatch: Dispatch) -> None:
        """Write the message's page and pictures, then the index.

        Raises:
            DeliveryError: the folder cannot be written, or what is in it not read.
        """
        if 0 in dispatch.done:
            return
        dispatch.sending(0)
        now = datetime.datetime.now(datetime.UTC)
        stem = f"{now:%Y-%m-%dT%H-%M-%S}-{now.microsecond:06d}-{_slug(message.key)}"
        path = self.directory / f"{stem}.html"
        self._write(lambda: self._write_new(message, dispatch, path))
        dispatch.sent(
            Sent(
                channel=self.name,
                step=0,
                steps=1,
                address=str(self.directory),
                message_ids=(path.name,),
                carrier="caption" if dispatch.pictures else "text",
                link=path.resolve().as_uri(),
            )
        )

    def edit(self, message: Message, original: Sent) -> bool:
        """Write the page again, with the pictures and the quote it has.

        Raises:
            DeliveryError: the folder cannot be written, or what is in it not read.
        """
        path = self.directory / original.message_ids[0]
        if not path.is_file():
            return False
        self._write(lambda: self._write_again(message, path))
        return True

    def _write(self, work: Callable[[], None]) -> None:
        problem = None
        try:
            work()
        except (OSError, UnicodeError) as caught:
            what = getattr(caught, "strerror", None) or "it holds a page that is not UTF-8"
            problem = f"The outbox folder {self.directory} cannot be used: {what}. Set METRICS_DATA_DIR."
        if problem:
            raise DeliveryError("misconfigured", problem)

    def _write_new(self, message: Message, dispatch: Dispatch, path: Path) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):  # it is another account's, who decides
            self.directory.chmod(0o700)
        reply = text_of_page(self.directory / dispatch.reply_to.message_ids[0]) if dispatch.reply_to else None
        for picture in dispatch.pictures:
            _write(self.directory / f"{path.stem}-{picture.name}.png", picture.png)
        _write(path, self._page(message, dispatch.pictures, path.stem, reply).encode())
        _write(self.directory / "index.html", self._index().encode())

    def _write_again(self, message: Message, path: Path) -> None:
        page = path.read_text(encoding="utf-8")
        quoted = re.search(r'<div class="reply">(.*?)</div>', page, re.DOTALL)
        reply = html.unescape(quoted[1]) if quoted else None
        pictures = [
            Picture(
                Path(html.unescape(name)).stem.removeprefix(f"{path.stem}-"),
                html.unescape(title),
                (self.directory / html.unescape(name)).read_bytes(),
            )
            for name, title in re.findall(r'<img src="([^"]*)" alt="([^"]*)">', page)
        ]
        _write(path, self._page(message, pictures, path.stem, reply, edited=True).encode())
        _write(self.directory / "index.html", self._index().encode())

    def _page(
        self, message: Message, pictures: Sequence[Picture], stem: str, reply: str | None, *, edited: bool = False
    ) -> str:
        calls = calls_of(message, pictures)
        bubbles = "\n".join(_bubble(call, stem, reply if number == 0 else None) for number, call in enumerate(calls))
        sound = "🔕" if message.silent else "🔔"
        foot = f"{sound} {'edited · ' if edited else ''}{html.escape(stem[11:19].replace('-', ':'))} UTC"
        shown = f'<!--message-->{bubbles}\n<p class="foot">{foot}</p><!--/message-->'
        return _document(text_of(message.headline), shown, message.language)

    def _index(self) -> str:
        pages = sorted((path for path in self.directory.glob("*.html") if path.name != "index.html"), reverse=True)
        bodies = []
        for path in pages[:_SHOWN_IN_INDEX]:
            match = re.search(r"<!--message-->(.*)<!--/message-->", path.read_text(encoding="utf-8"), re.DOTALL)
            bodies.append(match[1] if match else "")
        heading = "<h1>Outbox<small>Dry run: nothing was sent. The latest message is on top.</small></h1>"
        return _document("Outbox", heading + "\n".join(bodies), "en")


def text_of_page(path: Path) -> str | None:
    """The headline of a page of the outbox."""
    if not path.is_file():
        return None
    match = re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL)
    return html.unescape(match[1]) if match else None


def _bubble(call: Call, stem: str, reply: str | None) -> str:
    method, given, _ = request_of(call)
    parts = []
    if reply:
        parts.append(f'<div class="reply">{html.escape(reply)}</div>')
    for picture in call.pictures:
        name = html.escape(f"{stem}-{picture.name}.png")
        parts.append(f'<a href="{name}"><img src="{name}" alt="{html.escape(picture.title)}"></a>')
    text = given.get("text" if method == "sendMessage" else "caption")
    if text:
        text = text if call.part else html.escape(text)
        text = text.replace("<blockquote expandable>", "<blockquote>")
        # A messenger does not show the line end next to a block, which a page would.
        text = re.sub(r"\n?(<pre>|<blockquote>)", r"\1", re.sub(r"(</pre>|</blockquote>)\n", r"\1", text))
        parts.append(f'<div class="text">{text}</div>')
    markup = given.get("reply_markup")
    keys = ""
    if markup and (rows := json.loads(markup)["inline_keyboard"]):
        links = "".join(
            f'<a href="{html.escape(key["url"])}">{html.escape(key["text"])}</a>' for row in rows for key in row
        )
        keys = f'<div class="keys">{links}</div>'
    return f'<div class="bubble" data-method="{method}">{"".join(parts)}</div>{keys}'


def _document(title: str, body: str, language: str) -> str:
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _slug(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", key)[:80]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: a reader never sees half a page. Nobody else may read what only the team is told."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
