"""A server whose `platform` account has only the rights it is given: what a careful administrator sets up.

python -m metrics_platform_tests.restricted_server DIRECTORY "<setting>1</setting>" "GRANT …" "GRANT …"
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics_platform.local import clickhouse_config
from metrics_platform.local.clickhouse import serve

ENGINES = ("MergeTree", "ReplacingMergeTree")


@contextmanager
def restricted_server(
    directory: Path, *grants: str, engines: tuple[str, ...] = ENGINES, profile: str = ""
) -> Iterator[str]:
    """Run a server on `directory` in which `platform` has just `grants` and `engines`; yields the account's URL.

    `profile` is XML: settings of the account, beside the usual ones.
    """
    given = [*grants, *(f"GRANT TABLE ENGINE ON {engine}" for engine in engines)]
    command = [sys.executable, "-m", "metrics_platform_tests.restricted_server", str(directory), profile, *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY")
        yield (directory / "url").read_text(encoding="utf-8").strip()
    finally:
        process.terminate()
        process.wait(timeout=120)


if __name__ == "__main__":
    clickhouse_config._USERS = clickhouse_config._USERS.replace("<default>", f"<default>{sys.argv[2]}", 1)
    clickhouse_config._PLATFORM_GRANTS = tuple(sys.argv[3:])
    sys.exit(serve(Path(sys.argv[1]), 0, parent_pid=os.getppid()))
