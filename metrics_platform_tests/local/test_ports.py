"""Ports that are free or taken."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from click.testing import CliRunner

from metrics_platform.cli import main


def test_clickhouse_takes_the_next_port_beside_a_demo_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []

    def serve(_directory: Any, port: int, **_: Any) -> int:
        served.append(port)
        return 0

    monkeypatch.setattr("metrics_platform.local.clickhouse.serve", serve)
    with socket.create_server(("127.0.0.1", 0)) as demo:
        usual = demo.getsockname()[1]
        monkeypatch.setattr("metrics_platform.cli._CLICKHOUSE_PORT", usual)
        result = CliRunner().invoke(main, ["clickhouse"])
        CliRunner().invoke(main, ["clickhouse", "--port", str(usual)])  # which `serve` refuses
    assert served == [served[0], usual]
    assert served[0] > usual
    assert f"Port {usual} is taken by another program; using {served[0]} instead." in result.output
