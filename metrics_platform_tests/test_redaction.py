"""Secrets out of texts, in whatever spelling; everything else stays as it is."""

from __future__ import annotations

import html
import json
import logging
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metrics_platform.redaction import MASK, SHORTEST, mask, mask_http_logs, secrets_of_url
from metrics_platform_tests.telegram.bot_api import TOKEN

_MANY = settings(max_examples=max(150, settings().max_examples))
# Without the mask's own character, of which it could be made again.
_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="*")
_SECRETS = st.text(_CHARACTERS, min_size=SHORTEST, max_size=40)

SPELLINGS = {
    "as it is": str,
    "of a path": quote,
    "of a query": quote_plus,
    "whole": lambda text: quote(text, safe=""),
    "as requests does": lambda text: quote(text, safe="!#$%&'()*+,/:;=?@[]~"),
    "in small letters": lambda text: quote(text, safe="").lower() if text.isascii() and text.islower() else quote(text),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "all of it": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "repr": lambda text: repr(text)[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False)[3:-3],
    "HTML": html.escape,
}


@_MANY
@given(_SECRETS, st.sampled_from(sorted(SPELLINGS)), st.text(_CHARACTERS), st.text(_CHARACTERS))
def test_a_known_secret_is_masked_in_every_spelling(secret: str, spelling: str, before: str, after: str) -> None:
    spelt = SPELLINGS[spelling](secret)
    assume(secret not in before + after)
    masked = mask(f"{before} {spelt} {after}", [secret])
    assert MASK in masked
    for text in (masked, unquote(masked), html.unescape(masked)):
        assert secret not in text
        assert spelt not in text or spelt in MASK


_TOKENS = st.builds(
    "{}:{}".format,
    st.integers(10**5, 10**15),
    st.text("abcXYZ019_-", min_size=30, max_size=40),
)


@_MANY
@given(
    _TOKENS, st.sampled_from(["{}", "/bot{}/sendMessage", "https://api.telegram.org/bot{}/x", "(url='/bot{}')", "x{}y"])
)
def test_a_bots_token_is_masked_even_if_it_is_not_known(token: str, where: str) -> None:
    for spelt in (token, quote(token, safe=""), quote(token, safe="").lower().replace("%3a", "%253a")):
        masked = mask(where.format(spelt))
        assert token.split(":")[1] not in masked
        assert MASK in masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"POST /bot{TOKEN}/sendMessage", "POST /bot***/sendMessage"),
        ("https://hooks.slack.com/services/T0/B0/abc failed", "https://hooks.slack.com/*** failed"),
        ("http://anna:pass@host:8123/db", "http://anna:***@host:8123/db"),
        ("http://anna:p@ss@host:8123/db", "http://anna:***@host:8123/db"),
        ("clickhouse://:pass@host", "clickhouse://:***@host"),
        ("smtp://anna:a%40b@mail.example.com:587", "smtp://anna:***@mail.example.com:587"),
        ("password=hunter2&user=anna", "password=***&user=anna"),
        ("{'password': 'hunter 2', 'user': 'anna'}", "{'password': ***, 'user': 'anna'}"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": ***, "x": 1}'),
        ("CLICKHOUSE_PASSWORD=hunter2", "CLICKHOUSE_PASSWORD=***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("'Proxy-Authorization': 'Basic YW5uYQ=='", "'Proxy-Authorization': ***"),
        ("X-ClickHouse-Key: hunter2", "X-ClickHouse-Key: ***"),
        ("token: 0123456789abcdef", "token: ***"),
        ("access_token=0123456789abcdef&x=1", "access_token=***&x=1"),
    ],
)
def test_texts_that_look_like_a_secret_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Views −41%: 4,812 at 10:45–11:00, expected 7,600–8,900",
        "Syntax error: unexpected token: FROM (line 3)",
        "12345:abc is too short, 1234:AAF0_made-up_for_tests_of_alerts_00 too",
        "https://api.telegram.org/x and http://localhost:3000/runs/1 by anna@example.org",
        "https://example.org:8443/@anna",
        "Memory limit (for query) exceeded: would use 4.12 GiB, maximum: 4.00 GiB.",
        "the password is wrong; secrets are kept; keys too",
        "2026-11-21T10:45:00+03:00 id A7K2Q 7d1c3a55-96d1-4a60-9d2a-4a5b1c2d3e4f",
    ],
)
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert mask(text, ["hunter2-and-more"]) == text


def test_a_secret_of_three_letters_is_masked_in_urls_only() -> None:
    assert mask("chat not found via http://anna:hat@host", ["hat"]) == "chat not found via http://anna:***@host"


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://anna:p%40ssword@host:1", {"p%40ssword", "p@ssword", "YW5uYTpwQHNzd29yZA=="}),
        ("http://anna:pass#wo/rd@host:1", {"pass#wo/rd"}),
        ("anna:password@host", {"password"}),
        ("http://host:8080", set()),
        ("http://anna@host", set()),
        ("http://[broken", set()),
    ],
)
def test_the_secrets_of_a_url_include_its_password_and_http_header(url: str, secret: set[str]) -> None:
    assert {url, *secret} <= set(secrets_of_url(url))
    if not secret:
        assert secrets_of_url(url) == (url,)


def test_logs_of_urllib3_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")  # some driver has silenced it
    mask_http_logs(["hush-hush"])
    mask_http_logs()
    logger = logging.getLogger("urllib3.connectionpool")
    logger.debug('"%s %s" %s', "POST", "/hush%2Dhush/x", 200)
    logger.debug("Starting new HTTP connection (%d): %s", 1, "example.org")
    logging.getLogger("urllib3.util.retry").debug("Incremented Retry for (url='%s')", f"/bot{TOKEN}/getMe")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        '"POST /***/x" 200',
        "Starting new HTTP connection (1): example.org",
        "Incremented Retry for (url='/bot***/getMe')",
    ]
    assert not any("hush" in str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("piece", ["a-", "a.b", "x://", "1:", "password ", "token", "secret_", "://a", "a@"])
def test_a_long_text_that_begins_like_a_secret_is_fast_and_unchanged(piece: str) -> None:
    # Work that grows with the square of the length would take minutes here.
    assert mask(piece * 40_000) == piece * 40_000
