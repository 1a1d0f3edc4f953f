"""A message as an e-mail: its headers, its text, and its HTML with the charts inside."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Sequence
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from urllib.parse import urlsplit

from metrics_platform.notifications.channel import DeliveryError
from metrics_platform.notifications.message import (
    Details,
    Message,
    Picture,
    Preformatted,
    Table,
    clean,
    is_label,
    lines_of,
    text_of,
)
from metrics_platform.notifications.pages import page

# 7-bit on the way, whatever the server can; lines as RFC 5321 wants them.
POLICY = SMTP.clone(cte_type="7bit", refold_source="none")
_SUBJECT = 200
_TEXT_COLUMNS = 72


def email_of(
    message: Message,
    pictures: Sequence[Picture],
    *,
    sender: str,
    receivers: Sequence[str],
    thread: str | None,
    date: datetime.datetime,
) -> EmailMessage:
    """The e-mail with `message`, from and to these addresses; `thread` is the key of what it answers."""
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
    # No out-of-office reply answers it.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.severity in ("critical", "failed") and not message.silent:
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


def text_body(message: Message) -> str:
    """The text alternative."""
    parts = [text_of(message.headline).strip()]
    for block in message.blocks:
        indent = "    " if isinstance(block, Preformatted) else "  " if isinstance(block, Details) else ""
        lines = (text_of(line) for line in lines_of(block, _TEXT_COLUMNS))
        # A table's header begins with blanks, which keep its columns above the numbers.
        keeps_blanks = indent or isinstance(block, Table)
        parts.append("\n".join(indent + (line if keeps_blanks else line.strip()) for line in lines))
    parts.append("\n".join(f"{link.label}: {link.url}" for link in message.links))
    text = "\n\n".join(part for part in parts if part.strip())
    return f"{text}\n\n-- \n{text_of(message.footer).strip()}\n" if message.footer else f"{text}\n"


def html_body(message: Message, pictures: Sequence[tuple[str, Picture]]) -> str:
    """The HTML alternative; `pictures` by their content ids.

    One picture follows the answer: the first block, or the one below the first label. Several come last, because no one
    scrolls past them for a number.
    """
    # What an inbox shows behind the subject.
    texts = [text_of(line) for block in message.blocks if not isinstance(block, Table) for line in lines_of(block)]
    return page(
        "email.html.j2",
        message=message,
        blocks=[(type(block).__name__, block) for block in message.blocks],
        answer=2 if message.blocks and is_label(message.blocks[0]) else 1,
        pictures=pictures,
        links=[(link, _is_web(link.url)) for link in message.links],
        subject=subject_of(message),
        preview=" · ".join(text.strip() for text in texts[:3])[:160],
    )


def _is_web(url: str) -> bool:
    """Whether it may be a link: a `javascript:` in data never is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and clean(url) == url
