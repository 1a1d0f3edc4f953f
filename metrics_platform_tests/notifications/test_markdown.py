"""What Dagster's UI shows, read by a parser of CommonMark: data is text and code, and nothing else."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from metrics_platform.defs.delivery.sending import INLINE, message_markdown, picture_markdown
from metrics_platform.formats import LANGUAGES
from metrics_platform.notifications.message import (
    Details,
    Link,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    Span,
    bold,
    code,
    line,
    text_of,
)
from metrics_platform_tests.notifications.clock import message
from metrics_platform_tests.notifications.examples import EXAMPLES, told

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
EVIL = [
    "**bold** _italic_ ~~gone~~ `code` [x](javascript:alert(1)) ![x](http://a.b/c.png)",
    "<script>alert(1)</script> <b>x</b> &lt; &#42;", "# heading", "1. first", "12) twelfth", "- item", "+ item",
    "* item", "> quote", "===", "---", "| a | b |", "    code", "```", "\\", "\\*", "[x]: http://a.b",
    "http://a.b www.a.b a@b.c", "$x$", "]", "![",
]  # fmt: skip


def markdown(told_as: Message) -> str:
    return "\n\n".join(message_markdown(told_as))


def inline(told_as: str) -> list[Token]:
    return [child for token in READER.parse(told_as) for child in (token.children or [])]


def read(told_as: str) -> str:
    """The text a person reads: lines as lines, blocks one below the other."""
    blocks = []
    for token in READER.parse(told_as):
        if token.type == "inline":
            blocks.append("".join("\n" if child.type in ("softbreak", "hardbreak") else child.content
                                  for child in token.children or []))  # fmt: skip
        elif token.type in ("fence", "code_block", "html_block"):
            blocks.append(token.content)
    return "\n".join(blocks)


def kinds_of(told_as: str) -> set[str]:
    tokens = READER.parse(told_as)
    return {token.type for token in [*tokens, *inline(told_as)]}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("key", EXAMPLES)
def test_every_example_reads_as_it_was_sent(key: str, language: Any) -> None:
    sent = told(language, key)
    texts = message_markdown(sent)
    assert all(len(text) <= INLINE or "\n\n" not in text for text in texts)  # Dagster shows them without a click
    text = "\n\n".join(texts)
    for spans in (sent.headline, sent.footer, *(spans for block in sent.blocks if isinstance(block, Paragraph | Details)
                                               for spans in block.lines)):  # fmt: skip
        assert text_of(spans).strip() in read(text)
    assert [token.attrs["href"] for token in inline(text) if token.type == "link_open"] == [
        link.url for link in sent.links
    ]


@pytest.mark.parametrize("evil", EVIL)
def test_data_are_never_markup(evil: str) -> None:
    text = markdown(
        message(
            Paragraph((line(evil), line(bold(evil)), line("a ", Span(evil, "italic")))),
            Details((line(evil), line(evil))),
            headline=line(evil),
            footer=line(evil),
            links=(Link(evil, "javascript:alert(1)"),),
        )
    )
    tags = {f"{tag}_{end}" for tag in ("paragraph", "blockquote", "strong", "em") for end in ("open", "close")}
    assert kinds_of(text) <= tags | {"inline", "text", "text_special", "softbreak", "hardbreak"}
    assert read(text).count(evil.strip()) == 8


@pytest.mark.parametrize("evil", [*EVIL, "`", "``x`", "a`b", "````\n# x"])
def test_code_cannot_be_left(evil: str) -> None:
    text = markdown(message(Preformatted(evil), Paragraph((line(code(evil), " end"),))))
    assert [token.content for token in READER.parse(text) if token.type == "code_block"] == [f"{evil}\n"]
    shown = evil.replace("\n", " ").strip().replace("`", "\N{MODIFIER LETTER GRAVE ACCENT}")
    assert [token.content for token in inline(text) if token.type == "code_inline"] == [shown]


def test_only_web_addresses_are_links_and_none_can_be_left() -> None:
    urls = ["https://a.b/x)>y z\n[", "http://localhost:3000/runs/1", "javascript:alert(1)"]
    text = markdown(message(links=tuple(Link(f"Run {url}", url) for url in urls)))
    assert [token.attrs["href"] for token in inline(text) if token.type == "link_open"] == [
        "https://a.b/x)%3Ey%20z%0A%5B",
        "http://localhost:3000/runs/1",
    ]
    assert "Run javascript:alert(1): javascript:alert(1)" in read(text)


def test_pictures_are_inline_and_their_titles_are_text() -> None:
    pictures = (Picture("a", "Views [x](y)\n# z", b"\x89PNG one"), Picture("b", "B", b"two"))
    images = [token for token in inline(picture_markdown(pictures)) if token.type == "image"]
    assert [image.content.replace("\\", "") for image in images] == ["Views [x](y) # z", "B"]
    contents = [base64.b64decode(str(image.attrs["src"]).partition("base64,")[2]) for image in images]
    assert contents == [picture.png for picture in pictures]
    assert picture_markdown(()) == ""
