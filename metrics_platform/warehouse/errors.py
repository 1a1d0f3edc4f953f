"""ClickHouse's errors: the codes that users encounter, with cause and remedy.

`WarehouseError` is the only exception that leaves this package. It names the operation, what ClickHouse
answered, what to do, and whether trying again can help.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from metrics_platform.redaction import mask

# Codes after which the same statement may succeed later: the server or its network was busy or stopping.
# A memory limit (241) counts only when the whole server was full: see `_is_transient`.
TRANSIENT_CODES: dict[int, str] = {
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    236: "ABORTED",
    242: "TABLE_IS_READ_ONLY",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    369: "ALL_REPLICAS_ARE_STALE",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    745: "SERVER_OVERLOADED",
    999: "KEEPER_EXCEPTION",
}

UNKNOWN_DATABASE = 81
_READ_ONLY = 164
_MEMORY_LIMIT = 241
# Codes after which the same work may succeed in smaller portions: two for time, and one for memory.
OVER_LIMITS = (159, 160, _MEMORY_LIMIT)
_CUT_OFF = (32, 33)
_UNREADABLE = "Cannot parse"
_SHARD_AWAY = (
    "A shard of a source does not answer, and the platform never computes from only part of the events. Start the "
    "shard, then run the partition again."
)
_REMEDIES: dict[int, str] = {
    **dict.fromkeys((*_CUT_OFF, 209, 210, 279), _SHARD_AWAY),
    60: "Check METRICS_FEED_TABLE, METRICS_MESSAGES_TABLE and the database in METRICS_CLICKHOUSE_URL; "
    "`metrics-platform doctor` names what is missing, `metrics-platform create-tables` creates the platform's own.",
    UNKNOWN_DATABASE: "Create the database, or correct it in METRICS_CLICKHOUSE_URL, METRICS_FEED_TABLE or "
    "METRICS_MESSAGES_TABLE.",
    47: "A column is missing or has another name (METRICS_RECEIVER_COLUMN is `receiver_id` or `reciever_id`); "
    "`metrics-platform doctor` lists the columns that are expected.",
    16: "A column is missing in the table; `metrics-platform doctor` lists what is expected.",
    43: "A column has another type than expected; `metrics-platform doctor` lists the types.",
    53: "A column has another type than expected; `metrics-platform doctor` lists the types.",
    386: "A column has another type than expected; `metrics-platform doctor` lists the types.",
    70: "A value does not fit the column's type; `metrics-platform doctor` lists the types.",
    159: "Raise METRICS_CLICKHOUSE_TIMEOUT_SECONDS, or give ClickHouse more cores. See system.processes "
    "if the query was waiting behind others. If ClickHouse was reading from remote servers, check that each shard of "
    "a source answers.",
    160: "Raise METRICS_CLICKHOUSE_TIMEOUT_SECONDS, or give ClickHouse more cores.",
    _READ_ONLY: "The account is read-only. Name one in METRICS_CLICKHOUSE_URL that may write into its own database.",
    192: "Correct user and password in METRICS_CLICKHOUSE_URL.",
    193: "Correct user and password in METRICS_CLICKHOUSE_URL.",
    194: "Correct user and password in METRICS_CLICKHOUSE_URL.",
    516: "Correct user and password in METRICS_CLICKHOUSE_URL (special characters percent-encoded).",
    _MEMORY_LIMIT: "Raise METRICS_CLICKHOUSE_MAX_MEMORY_MB if the machine has more, or wait until other queries "
    "are done. The platform's queries spill to disk at a quarter of that setting.",
    243: "Free disk space on the ClickHouse server.",
    285: "A replica of METRICS_CLICKHOUSE_CLUSTER does not answer, and every replica must have what is written. Start "
    "it, or set METRICS_CLICKHOUSE_URL to one replica and remove METRICS_CLICKHOUSE_CLUSTER.",
    369: "A shard of a source has no replica that answers and is less than five minutes behind, and the platform "
    "never computes from only part of the events. Start the replica or wait for it, then run the partition again.",
    341: "A replica of METRICS_CLICKHOUSE_CLUSTER did not follow within a minute. Start it, then run the partition "
    "again.",
    373: "Two statements shared a session; report this as a bug.",
    394: "The query was killed (KILL QUERY); run the partition again.",
    253: "Another table has this path in Keeper. Write {table} or {uuid} into the path of METRICS_CLICKHOUSE_ENGINE.",
    497: "Grant the account what the message names (`GRANT … ON … TO …`); `metrics-platform doctor` lists all "
    "rights that are needed.",
    701: "Correct METRICS_CLICKHOUSE_CLUSTER; the server's clusters are in system.clusters.",
}
# The placeholder for the server's address in remedies. The client replaces it.
ADDRESS = "http://host:port"
_NO_ANSWER_REMEDY = (
    f"Is ClickHouse running at that address (`curl {ADDRESS}/ping`), and is METRICS_CLICKHOUSE_URL right? The "
    "embedded server is started by `metrics-platform clickhouse`."
)

# The server that answers is not ClickHouse, or not with this protocol. Waiting does not help.
_OTHER_PORT = "its HTTP interface is at port 8123, or at 8443 with https://"
_NOT_AS_SPOKEN_TO = (
    (
        re.compile(r"WRONG_VERSION_NUMBER|HTTP_REQUEST\]|record layer failure"),
        "That port does not use TLS: write http:// in METRICS_CLICKHOUSE_URL, or the port of HTTPS (8443).",
    ),
    (
        re.compile(r"CERTIFICATE_VERIFY_FAILED"),
        "Its certificate is for another name, has expired, or was issued by an authority that this machine does not "
        "know. In the last case, set METRICS_CLICKHOUSE_CA_FILE to the authority's certificate.",
    ),
    (
        re.compile(r"is for clickhouse-client program"),
        f"That is the port of ClickHouse's native protocol; {_OTHER_PORT}: correct METRICS_CLICKHOUSE_URL.",
    ),
    (
        re.compile(r"HTTP status 4(?!08|29)\d\d|Unexpected response to server version|BadStatusLine"),
        f"Something other than ClickHouse answers there; {_OTHER_PORT}: correct METRICS_CLICKHOUSE_URL.",
    ),
)

_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,})\)")
_NOISE = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?[^()]*\)|\s*\(for url [^)]*\)")
# The innermost of urllib3's nested errors is enough: "[Errno 111] Connection refused".
_INNERMOST = re.compile(r"\(Caused by \w+\([\"'](?:HTTPS?Connection\([^)]*\): )?(?P<text>.*?)[\"']\)\)", re.DOTALL)
_TLS = re.compile(r"SSL\w*Error\(1, ['\"](?P<text>.*?)(?: \(_ssl\.c:\d+\))?['\"]\)")
# The driver's own refusal, before it asks the server.
_MAY_NOT_SET = re.compile(r"Setting \w+ is (?:unknown or )?readonly")
_TAGS = re.compile(r"<[^<>]*>")


class Cause(NamedTuple):
    """What ClickHouse answered: its numeric code (None: no answer), symbolic name and cleaned text."""

    code: int | None
    name: str
    text: str
    transient: bool
    remedy: str


class WarehouseError(RuntimeError):
    """ClickHouse refused, failed or did not answer.

    Attributes:
        code: ClickHouse's numeric error code; None where no answer came.
        transient: whether the same work may succeed when tried again later.
    """

    def __init__(self, operation: str, cause: Cause) -> None:
        label = f"ClickHouse error {cause.code} {cause.name}" if cause.code else "No answer from ClickHouse"
        super().__init__(f"{operation}: {label.strip()}: {cause.text}\nWhat to do: {cause.remedy}")
        self.operation = operation
        self.code = cause.code
        self.transient = cause.transient
        self.cause = cause

    def __reduce__(self) -> tuple[type[WarehouseError], tuple[str, Cause]]:
        """Pickle the arguments. By default, exceptions are pickled with their text."""
        return WarehouseError, (self.operation, self.cause)


def cause_of(error: BaseException, secret: str = "") -> Cause:
    """The code, name, text (without `secret`) and remedy of an exception of clickhouse-connect or urllib3."""
    raw = str(error)
    code = getattr(error, "code", None)
    if code is None and (match := re.search(r"\bCode:\s*(\d+)", raw)):
        code = int(match.group(1))
    if code is None and _MAY_NOT_SET.search(raw):
        code = _READ_ONLY
    names = _NAME.findall(raw)
    text = _NOISE.sub("", raw)
    if code:
        text = re.sub(r"^.*?DB::Exception:\s*", "", text, count=1, flags=re.DOTALL)
    elif innermost := _TLS.search(text) or _INNERMOST.search(text):
        text = innermost["text"]
    else:
        text = _TAGS.sub(" ", text)  # a web server's page
    text = " ".join(mask(text, [secret]).split())
    if len(text) > 1000:
        text = text[:1000] + " …"
    name = names[-1] if names else ""
    if code is not None:
        # The codes of a truncated answer also mean that a text is too short, which is not a shard's fault.
        known = None if code in _CUT_OFF and _UNREADABLE in raw else code
        remedy = _REMEDIES.get(known or 0, "See ClickHouse's message above.")
        return Cause(code, name, text, _is_transient(known, raw), remedy)
    for words, remedy in _NOT_AS_SPOKEN_TO:
        if words.search(raw):
            return Cause(None, name, text, transient=False, remedy=remedy)
    return Cause(None, name, text, transient=True, remedy=_NO_ANSWER_REMEDY)


def _is_transient(code: int | None, text: str) -> bool:
    if code == _MEMORY_LIMIT:
        # "(total) memory limit exceeded": other queries filled the server. A query over its own limit would fail again.
        return "(total)" in text or "(for user)" in text
    return code in TRANSIENT_CODES
