"""The embedded ClickHouse's `config.xml` (port, logs, memory) and `users.xml` (rights): its security on one page.

There are four users: `platform` and `readonly` keep their passwords, `launcher` has a new one for each process, and
`default` is the engine's own session, which cannot log in.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

# Without a limit the query log grows for ever.
QUERY_LOG_DAYS = 7


def _template(name: str) -> str:
    return (files("metrics_platform.local") / "engine" / name).read_text(encoding="utf-8")


# The engine is clickhouse-local, which checks neither access to local files nor <remote_url_allow_hosts>. The grants
# below are the barrier. No grant covers INSERT … FROM INFILE, which opens any file: protect the URL of `platform` like
# the files themselves (0600). `readonly` cannot insert.
_CONFIG = _template("config.xml")

_USERS = _template("users.xml")

_USER = _template("user.xml")

# Settings that name a file, a disk or a host: in clickhouse-local they read and write whatever the user can.
_FROZEN_SETTINGS = (
    "allow_experimental_ai_functions",
    "format_avro_schema_registry_url",
    "format_schema",
    "format_schema_source",
    "format_template_resultset",
    "format_template_row",
    "input_format_record_errors_file_path",
    "merge_tree_disk",
    "merge_tree_storage_policy",
    "output_format_schema",
)

# Engines that keep their data in this server; a whitelist, because new engines tend to reach outwards.
_TABLE_ENGINES = (
    "AggregatingMergeTree",
    "Buffer",
    "CoalescingMergeTree",
    "CollapsingMergeTree",
    "Dictionary",
    "GenerateRandom",
    "Join",
    "MaterializedView",
    "Memory",
    "Merge",
    "MergeTree",
    "Null",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "VersionedCollapsingMergeTree",
    "View",
)

# No CREATE DICTIONARY: in clickhouse-local its source may be a command, a file or any host.
_PLATFORM_GRANTS = (
    "GRANT SELECT, INSERT, ALTER TABLE, ALTER VIEW, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP DATABASE, "
    "DROP TABLE, DROP VIEW, DROP DICTIONARY, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, SHOW, dictGet ON *.*",
    "GRANT CREATE ARBITRARY TEMPORARY TABLE, CREATE TEMPORARY VIEW, KILL QUERY, SYSTEM FLUSH, SYSTEM MERGES, "
    "SYSTEM TTL MERGES, SYSTEM MOVES, SYSTEM VIEWS, SYSTEM DROP CACHE, SYSTEM RELOAD DICTIONARY ON *.*",
    *(f"GRANT TABLE ENGINE ON {engine}" for engine in _TABLE_ENGINES),
)
# What bi/clickhouse/readonly_user.sql gives its user on a server: the results, neither events nor a row per user.
READONLY_TABLES = (
    "app_daily",
    "dimension_metrics",
    "metric_daily",
    "slot_metrics",
    "user_cohorts",
    "verdicts",
    "incidents",
)
READONLY_LIMITS = {
    "session_timezone": "UTC",
    "do_not_merge_across_partitions_select_final": "1",
    "max_execution_time": "60",
    "max_memory_usage": "4000000000",
    "max_memory_usage_for_user": "8000000000",
    "max_threads": "4",
    "max_concurrent_queries_for_user": "20",
    "max_result_rows": "1000000",
    "result_overflow_mode": "throw",
}
_READONLY_GRANTS = tuple(f"GRANT SELECT ON metrics.{table}" for table in READONLY_TABLES)
_LAUNCHER_GRANTS = (
    "GRANT SELECT ON system.disks",
    "GRANT SELECT ON system.processes",
    "GRANT SYSTEM FLUSH LOGS ON *.*",
)

# The scalar function file() asks for no grant in clickhouse-local. A function of the same name defined in SQL
# is found first, and neither `platform` nor `readonly` may drop it.
FILE_FUNCTION = "CREATE FUNCTION file AS path -> CAST(throwIf(true, 'file() is switched off here'), 'String')\n"


def new_password() -> str:
    """A random password of 32 characters that needs no escaping in a URL, XML or a shell."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Passwords:
    """The passwords of the three users that can log in; none of them shows in a repr."""

    platform: str = field(default_factory=new_password, repr=False)
    readonly: str = field(default_factory=new_password, repr=False)
    launcher: str = field(default_factory=new_password, repr=False)


def config_xml(port: int, log: Path) -> str:
    """The server's `config.xml`: listens on 127.0.0.1:`port` only, logs errors into `log`."""
    return _CONFIG.format(port=port, log=escape(str(log)), query_log_days=QUERY_LOG_DAYS)


def users_xml(passwords: Passwords) -> str:
    """The server's `users.xml`, which holds the passwords only as SHA-256."""
    users = (
        _user("platform", passwords.platform, "default", _PLATFORM_GRANTS),
        _user("readonly", passwords.readonly, "readonly", _READONLY_GRANTS),
        _user("launcher", passwords.launcher, "default", _LAUNCHER_GRANTS),
    )
    constraints = "".join(f"<{name}><readonly/></{name}>" for name in _FROZEN_SETTINGS)
    limits = "".join(f"<{name}>{value}</{name}>" for name, value in READONLY_LIMITS.items())
    return _USERS.format(constraints=constraints, readonly_limits=limits, users="".join(users))


def _user(name: str, password: str, profile: str, grants: tuple[str, ...]) -> str:
    return _USER.format(
        name=name,
        password_hash=hashlib.sha256(password.encode()).hexdigest(),
        profile=profile,
        grants="".join(f"<query>{grant}</query>" for grant in grants),
        visible_processes="user NOT IN ('', 'launcher')",
    )
