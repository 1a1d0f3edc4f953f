"""A server whose `platform` account has only the rights it is given: what a careful administrator sets up.

python -m metrics_platform_tests.restricted_server DIRECTORY "<setting>1</setting>" "<tcp_port>…" "GRANT …" "GRANT …"
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metrics_platform.local import clickhouse_directory
from metrics_platform.local.clickhouse import serve

ENGINES = ("MergeTree", "ReplacingMergeTree")


@contextmanager
def restricted_server(
    directory: Path, *grants: str, engines: tuple[str, ...] = ENGINES, profile: str = "", config: str = ""
) -> Iterator[str]:
    """Run a server on `directory` in which `platform` has just `grants` and `engines`; yields the account's URL.

    `profile` and `config` are XML: settings of the account and of the server, beside the usual ones.
    """
    given = [*grants, *(f"GRANT TABLE ENGINE ON {engine}" for engine in engines)]
    module = "metrics_platform_tests.restricted_server"
    command = [sys.executable, "-m", module, str(directory), profile, config, *given]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("READY")
        yield (directory / "url").read_text(encoding="utf-8").strip()
    finally:
        process.terminate()
        process.wait(timeout=600)


if __name__ == "__main__":
    _, directory, profile, config, *grants = sys.argv
    # In a profile of its own, since the engine's session has the default one; both texts are templates of str.format.
    profile, config = (text.replace("{", "{{").replace("}", "}}") for text in (profile, config))
    queries = "".join(f"<query>{grant}</query>" for grant in grants)
    engine_file = clickhouse_directory.engine_file

    def restricted(name: str) -> str:
        text = engine_file(name).replace("<clickhouse>", f"<clickhouse>{config if name == 'config.xml' else ''}")
        tested = f"<profiles><tested><profile>default</profile>{profile}</tested>"
        others, user, platform = text.replace("<profiles>", tested).partition("<platform>")
        platform = re.sub(r"<grants>.*?</grants>", f"<grants>{queries}</grants>", platform, count=1, flags=re.DOTALL)
        return others + user + platform.replace("<profile>default</profile>", "<profile>tested</profile>", 1)

    clickhouse_directory.engine_file = restricted
    sys.exit(serve(Path(directory), 0, parent_pid=os.getppid()))
