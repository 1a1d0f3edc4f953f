"""A message as an e-mail: its headers, its text, its HTML with the charts inside.

Mail clients know little of CSS: what counts is written at each element, tables carry the layout, and the `<style>` is
for what may be missing (dark mode, phones). The HTML stands by itself at 320 pixels and reads as well without
pictures; the text alternative says the same.
"""

from __future__ import annotations

import datetime
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from urllib.parse import urlsplit

from metrics_platform.notifications.errors import DeliveryError
from metrics_platform.notifications.message import (
    Block,
    Details,
    Line,
    Link,
    Message,
    Paragraph,
    Picture,
    Preformatted,
    Span,
    Table,
    clean,
    table_lines,
    text_of,
)

# 7-bit on the way, whatever the server can; lines as RFC 5321 wants them.
POLICY = SMTP.clone(cte_type="7bit", refold_source="none")
_SUBJECT = 200
_TEXT_COLUMNS = 72
_COLORS = {
    "critical": "#d32f2f",
    "failed": "#8e24aa",
    "warning": "#ef6c00",
    "resolved": "#2e7d32",
    "info": "#1f6feb",
}
_SANS = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,'Noto Sans',Helvetica,Arial,sans-serif"
_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_PAGE, _INK, _QUIET, _LINE = "#eef1f4", "#1b1f24", "#66707b", "#e3e7eb"
_TINT, _LINK = "#f5f7f9", "#1a63c0"
_STYLE = """
body { margin: 0; padding: 0; -webkit-text-size-adjust: 100%; }
@media (max-width: 480px) { .page { padding: 0 !important; } .card { border-radius: 0 !important; }
  .inside { padding-left: 16px !important; padding-right: 16px !important; } }
@media (prefers-color-scheme: dark) { .page { background: #0f1418 !important; }
  .card { background: #1a2127 !important; border-left-color: #2b343c !important; border-right-color: #2b343c !important;
    border-bottom-color: #2b343c !important; }
  .ink { color: #e8ecf0 !important; } .quiet { color: #97a3ae !important; }
  .tint { background: #222b33 !important; color: #e8ecf0 !important; } .link { color: #74b0ff !important; }
  .cell { border-color: #2b343c !important; } .fold { border-left-color: #46525d !important; }
  .identifier { background: #2b343c !important; } }
"""


def email_of(
    message: Message,
    pictures: Sequence[Picture],
    *,
    sender: str,
    receivers: Sequence[str],
    thread: str | None,
    date: datetime.datetime,
) -> EmailMessage:
    """The e-mail that tells `message`, from and to these addresses; `thread` is the key of what it answers."""
    domain = domain_of(sender)
    mail = EmailMessage(policy=POLICY)
    # Written here: in what EmailMessage folds itself, Python 3.11 loses spaces between encoded words.
    mail.set_raw("From", _address(sender))
    mail.set_raw("To", ",\r\n ".join(_address(each) for each in receivers))
    mail.set_raw("Subject", _encoded(subject_of(message)))
    mail["Date"] = format_datetime(date)
    mail["Message-ID"] = message_id(message.key, domain)
    if thread:
        mail["In-Reply-To"] = mail["References"] = message_id(thread, domain)
    # Nobody's «I am on holiday» answers it.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.severity in ("critical", "failed"):
        mail["X-Priority"], mail["Importance"] = "1", "high"
    names = [f"{number}.{message_id(message.key, domain)[1:-1]}" for number in range(len(pictures))]
    mail.set_content(text_body(message))
    mail.add_alternative(html_body(message, list(zip(names, pictures, strict=True))), subtype="html")
    alternative = list(mail.iter_parts())[1]
    assert isinstance(alternative, EmailMessage)
    for name, picture in zip(names, pictures, strict=True):
        file = f"{picture.name}.png"
        alternative.add_related(picture.png, "image", "png", cid=f"<{name}>", filename=file, disposition="inline")
    return mail


def subject_of(message: Message) -> str:
    """The headline as a header's value: one line, without what a header would read as encoded text."""
    text = re.sub("[^\\S\u00a0\u202f]+", " ", text_of(message.headline)).strip()
    text = text.replace("=?", "= ?")
    return text if len(text) <= _SUBJECT else text[: _SUBJECT - 1] + "…"


def message_id(key: str, domain: str) -> str:
    """The Message-ID of the notification with this key: always the same, so that a reply finds it."""
    # A key may have what an id may not; the digest keeps apart what looks the same then.
    readable = re.sub(r"[^A-Za-z0-9]+", "-", key)[:40].strip("-")
    return f"<{readable}.{hashlib.sha256(key.encode()).hexdigest()[:16]}@{domain}>"


def domain_of(address: str) -> str:
    """The domain of an address, as DNS knows it."""
    domain = parseaddr(address)[1].rpartition("@")[2]
    try:
        return domain.encode("idna").decode().lower()
    except UnicodeError:
        return "localhost"


def envelope_address(address: str) -> str:
    """The bare address for SMTP, its domain as DNS knows it.

    Raises:
        DeliveryError: before the @ it has letters that not every mail server takes.
    """
    local = parseaddr(address)[1].rpartition("@")[0]
    if not local.isascii():
        text = f"{address}: mail servers take only ASCII before the @. Correct EMAIL_FROM or EMAIL_TO."
        raise DeliveryError("misconfigured", text)
    return f"{local}@{domain_of(address)}"


def _address(address: str) -> str:
    name, bare = clean(parseaddr(address)[0]).replace("\n", " "), envelope_address(address)
    return formataddr((name, bare)) if name.isascii() else f"{_encoded(name)} <{bare}>"


def _encoded(text: str) -> str:
    """A header's value in lines of ASCII."""
    # `Subject` is the longest name of those headers: their lines stay within 76 characters.
    header = Header(text, "us-ascii" if text.isascii() else "utf-8", maxlinelen=76, header_name="Subject")
    return header.encode(linesep="\r\n")


# --- text ------------------------------------------------------------------------------------------------------------


def text_body(message: Message) -> str:
    """The text alternative."""
    parts = [_plain(message.headline), *(_text_block(block) for block in message.blocks)]
    parts.append("\n".join(f"{link.label}: {link.url}" for link in message.links))
    text = "\n\n".join(part for part in parts if part.strip())
    return f"{text}\n\n-- \n{_plain(message.footer)}\n" if message.footer else f"{text}\n"


def _text_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return "\n".join(map(_plain, block.lines))
    if isinstance(block, Table):
        return "\n".join(table_lines(block, _TEXT_COLUMNS))
    if isinstance(block, Preformatted):
        return "\n".join(f"    {each}" for each in block.text.split("\n"))
    return "\n".join([block.title, *(f"  {_plain(each)}" for each in block.lines)])


def _plain(spans: Line) -> str:
    return "".join(f"{span.text} ({span.url})" if span.url else span.text for span in spans).strip()


# --- HTML ------------------------------------------------------------------------------------------------------------


def html_body(message: Message, pictures: Sequence[tuple[str, Picture]]) -> str:
    """The HTML alternative; `pictures` by their content ids."""
    color = _COLORS[message.severity]
    blocks = [_html_block(block) for block in message.blocks]
    charts = [_chart(name, picture) for name, picture in pictures]
    # The first lines are the answer; one picture shows it, several come last: nobody scrolls past them for a number.
    answer = 1 if len(charts) == 1 else len(blocks)
    body = "\n".join([*blocks[:answer], *charts, *blocks[answer:], _buttons(message.links)])
    preview = html.escape(_preview(message.blocks))
    title = html.escape(subject_of(message))
    headline, footer = ("".join(map(_span, each)) for each in (message.headline, message.footer))
    return f"""\
<!doctype html>
<html lang="{message.language}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="format-detection" content="telephone=no,date=no,address=no">
<title>{title}</title><style>{_STYLE}</style></head>
<body class="page" style="margin:0;padding:0;background:{_PAGE}">
<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">{preview}</div>
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" \
style="width:100%;background:{_PAGE};padding:20px 8px"><tr><td align="center" style="padding:0">
<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" border="0" \
style="width:100%;max-width:640px;background:#ffffff;border:1px solid {_LINE};border-top:4px solid {color};\
border-radius:6px;border-collapse:separate;table-layout:fixed">
<tr><td class="inside ink" align="left" style="padding:18px 24px 20px;color:{_INK};font:15px/1.5 {_SANS};\
overflow-wrap:anywhere;word-break:break-word">
<h1 class="ink" style="margin:0 0 12px;font:600 19px/1.35 {_SANS};color:{_INK}">{headline}</h1>
{body}
<p class="quiet cell" style="margin:18px 0 0;padding:10px 0 0;border-top:1px solid {_LINE};color:{_QUIET};\
font:12px/1.5 {_SANS}">{footer}</p>
</td></tr></table>
</td></tr></table>
</body></html>
"""


def _html_block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f'<p style="margin:0 0 12px">{_lines(block.lines)}</p>'
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Preformatted):
        return (
            f'<pre class="tint ink" style="margin:0 0 14px;padding:10px 12px;background:{_TINT};color:{_INK};'
            f"border-radius:4px;font:13px/1.45 {_MONO};white-space:pre-wrap;overflow-wrap:anywhere;"
            f'word-break:break-word">{html.escape(block.text)}</pre>'
        )
    return (
        f'<div class="tint quiet fold" style="margin:0 0 14px;padding:8px 12px;background:{_TINT};color:{_QUIET};'
        f'border-left:3px solid #c9d1d9;font:13px/1.5 {_SANS}"><b>{html.escape(block.title)}</b><br>'
        f"{_lines(block.lines)}</div>"
    )


def _table(table: Table) -> str:
    rows = []
    if table.header:
        rows.append(
            _row(table.header, "th", f"font:600 12px/1.4 {_SANS};color:{_QUIET};padding:4px 0 4px 8px", "quiet")
        )
    style = f"font:14px/1.4 {_SANS};font-variant-numeric:tabular-nums;padding:5px 0 5px 8px"
    rows += [_row(row, "td", style, "ink") for row in table.rows]
    return (
        '<table width="100%" cellpadding="0" cellspacing="0" border="0" style="width:100%;margin:0 0 14px;'
        f'border-collapse:collapse">{"".join(rows)}</table>'
    )


def _row(cells: Sequence[str], tag: str, style: str, color: str) -> str:
    written = []
    others = len(cells) - 1
    for number, cell in enumerate(cells):
        text = html.escape(clean(cell)).replace("\n", " ")
        side = (
            "text-align:left;padding-left:0;overflow-wrap:anywhere"
            if number == 0
            else "text-align:right;white-space:nowrap"
        )
        scope = ' scope="col"' if tag == "th" else ""
        align = "left" if number == 0 else "right"
        # Of equal widths, so that the columns of tables in one message stand below each other.
        width = f' width="{60 // others}%"' if number and others > 1 else ""
        written.append(
            f'<{tag}{scope} class="cell {color}" align="{align}"{width} '
            f'style="{style};border-bottom:1px solid {_LINE};{side}">{text}</{tag}>'
        )
    return f"<tr>{''.join(written)}</tr>"


def _chart(name: str, picture: Picture) -> str:
    title = html.escape(clean(picture.title), quote=True)
    return (
        f'<p style="margin:0 0 14px"><img src="cid:{html.escape(name)}" alt="{title}" width="480" '
        'style="display:block;width:100%;max-width:480px;height:auto;border:0"></p>'
    )


def _buttons(links: Sequence[Link]) -> str:
    cells = "".join(
        f'<a class="tint link cell" href="{html.escape(link.url)}" style="display:inline-block;margin:4px 8px 4px 0;'
        f"padding:8px 16px;border:1px solid {_LINE};border-radius:5px;background:{_TINT};color:{_LINK};"
        f'font:600 14px/1.3 {_SANS};text-decoration:none">{html.escape(clean(link.label))}</a>'
        for link in links
        if _is_web(link.url)
    )
    told = "".join(
        f"<br>{html.escape(clean(link.label))}: {html.escape(clean(link.url))}"
        for link in links
        if not _is_web(link.url)
    )
    return f'<div style="margin:4px 0 0">{cells}{told}</div>' if links else ""


def _lines(lines: Iterable[Line]) -> str:
    return "<br>".join("".join(map(_span, each)) for each in lines)


def _span(span: Span) -> str:
    text = html.escape(span.text)
    if span.style == "bold":
        text = f"<b>{text}</b>"
    elif span.style == "italic":
        text = f"<i>{text}</i>"
    elif span.style == "code":
        text = (
            f'<code class="identifier" style="font-family:{_MONO};font-size:.92em;background:{_TINT};'
            f'padding:1px 4px;border-radius:3px">{text}</code>'
        )
    if span.url and _is_web(span.url):
        return f'<a class="link" href="{html.escape(span.url)}" style="color:{_LINK}">{text}</a>'
    return f"{text} ({html.escape(clean(span.url))})" if span.url else text


def _is_web(url: str) -> bool:
    """Whether it may be a link: a `javascript:` in data never is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and clean(url) == url


def _preview(blocks: Sequence[Block]) -> str:
    """What an inbox shows behind the subject: the first lines that are not the headline again."""
    lines = [text_of(each) for block in blocks if isinstance(block, Paragraph | Details) for each in block.lines]
    return " · ".join(each.strip() for each in lines[:3])[:160]
