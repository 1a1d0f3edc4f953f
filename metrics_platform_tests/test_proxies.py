"""Proxies: which hosts are this machine, and what of a proxy's address is shown."""

from __future__ import annotations

import pytest

from metrics_platform.proxies import display_proxy, is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "demo.localhost", "127.0.0.1", "127.9.0.1", "::1", "[::1]"]
)
def test_this_machine_is_loopback_however_it_is_written(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", None, "localhost.example.com", "10.0.0.1", "host", "0.0.0.0", "128.0.0.1"])
def test_every_other_host_is_not_loopback(host: str | None) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://anna:secret@proxy.corp:3128/", "proxy.corp:3128"),
        ("proxy.corp:3128", "proxy.corp:3128"),
        ("anna:secret@proxy.corp", "proxy.corp"),
        ("http://anna:secret@", "(no host)"),
        ("http://anna:secret@host:port", "(not an address)"),
    ],
)
def test_a_proxy_is_shown_without_user_and_password(proxy: str, shown: str) -> None:
    assert display_proxy(proxy) == shown
