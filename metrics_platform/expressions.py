"""SQL expressions of the catalogue: what may stand in one, and which columns it names.

An expression runs with the platform's account, so it must be an expression over the row and nothing else: no statement,
no subquery, no table function, nothing that gives another answer when it is run again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>'(?:[^'\\]|\\.|'')*')
    |(?P<quoted>`(?:[^`\\]|\\.)+`|"(?:[^"\\]|\\.)+")
    |(?P<comment>--|/\*|\#)
    |(?P<name>[^\W\d]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING = {"(": ")", "[": "]"}
_STATEMENT_WORDS = {"select", "from", "settings", "format", "union", "intersect", "except", "into", "over", "with"}
# What differs from run to run, reads something else than the row, or costs more than an expression should.
_FORBIDDEN_FUNCTIONS = re.compile(
    r"now|now64|nowInBlock|today|yesterday|utc_?timestamp|current_?(timestamp|date)|timezone|rand\w*|generate\w*|"
    r"fuzzBits|file|url|remote\w*|s3\w*|hdfs|mysql|postgresql|jdbc|odbc|dictGet\w*|joinGet\w*|sleep\w*|throwIf|"
    r"hostName|version|uptime|serverUUID|queryID|initialQueryID|currentUser|currentDatabase|user|getSetting|"
    r"getMacro|catboostEvaluate|executable|arrayJoin|rowNumber\w*|runningDifference\w*|blockNumber|neighbor|"
    r"evalMLMethod|getServerSetting|cluster\w*|numbers\w*|input|merge|view|viewExplain",
    re.IGNORECASE,
)
_KEYWORDS = frozenset(
    {
        "and", "as", "between", "case", "distinct", "else", "end", "false", "ilike", "in", "inf", "interval", "is", "like",
        "nan", "not", "null", "or", "then", "true", "when",
    }
)  # fmt: skip
# Aggregates whose value over no rows is zero.
_COUNTING = re.compile(r"(count|sum|uniq)\w*", re.IGNORECASE)
_ADDITIVE = re.compile(r"(count|sum)(If)?", re.IGNORECASE)


class _Token(NamedTuple):
    kind: str
    text: str


class Aggregate(NamedTuple):
    """One call of an aggregate function: `quantile(0.9)(amount)` is name, parameters and arguments."""

    name: str
    parameters: str
    arguments: str

    @property
    def state(self) -> str:
        """The call that keeps the intermediate state."""
        return f"{self.name}State{self.parameters}{self.arguments}"

    def merged(self, state: str) -> str:
        """The call that finishes the states in the column `state`."""
        return f"{self.name}Merge{self.parameters}({state})"

    @property
    def is_zero_without_rows(self) -> bool:
        """Whether it counts or sums, so that no rows mean zero."""
        return _COUNTING.fullmatch(self.name) is not None

    @property
    def is_additive(self) -> bool:
        """Whether the values of disjoint slices add up to the total."""
        return _ADDITIVE.fullmatch(self.name) is not None


def problem_of(expression: str) -> str | None:
    """What is wrong with an expression, in words that follow its value; None: nothing that can be seen without a server."""
    expected: list[str] = []
    tokens = list(_tokens(expression))
    if not tokens:
        return "write an SQL expression"
    for number, token in enumerate(tokens):
        following = tokens[number + 1].text if number + 1 < len(tokens) else ""
        if token.kind == "comment":
            return f"write no comments ({token.text}) in an expression"
        if token.text in _OPENING:
            expected.append(_OPENING[token.text])
        elif token.text in _OPENING.values() and (not expected or expected.pop() != token.text):
            return f"close every bracket that you open; there is a {token.text} too many"
        elif token.text in {";", "{", "}", "'", '"', "`", "\\", "@", "$"}:
            return f"write one expression, without {token.text}"
        elif token.kind == "name" and token.text.lower() in _STATEMENT_WORDS and following != "(":
            return f"write an expression over the row; {token.text.upper()} belongs to a statement"
        elif token.kind == "name" and following == "(":
            if token.text.lower() in _STATEMENT_WORDS:
                return f"write an expression over the row; {token.text.upper()} belongs to a statement"
            if _FORBIDDEN_FUNCTIONS.fullmatch(token.text):
                return (
                    f"do not call {token.text}(): a value must depend on the rows alone, so that it can be recomputed"
                )
    if expected:
        return f"close every bracket that you open; a {expected[-1]} is missing"
    return None


def names_in(expression: str) -> set[str]:
    """Every identifier in an expression that may be a column; names of functions are left out."""
    tokens = list(_tokens(expression))
    found = set()
    for number, token in enumerate(tokens):
        following = tokens[number + 1].text if number + 1 < len(tokens) else ""
        if token.kind == "quoted":
            found.add(re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        elif token.kind == "name" and following != "(":
            found.add(token.text)
    return found


def column_names_in(expression: str) -> set[str]:
    """The identifiers in an expression that are no keywords: its columns, as far as can be told without a server."""
    return {name for name in names_in(expression) if name.lower() not in _KEYWORDS}


def is_column(expression: str) -> bool:
    """Whether an expression is nothing but the name of a column."""
    tokens = list(_tokens(expression))
    return len(tokens) == 1 and tokens[0].kind in {"name", "quoted"}


def aggregate_of(expression: str) -> Aggregate | None:
    """The aggregate call that the whole expression is; None where it is more than one call.

    A `DISTINCT` in the arguments has no state, so `count(DISTINCT x)` is not one: write `uniqExact(x)`.
    """
    match = re.match(r"\s*(\w+)\s*(?=\()", expression)
    if match is None or re.search(r"\bdistinct\b", expression, re.IGNORECASE):
        return None
    groups, rest = [], expression[match.end() :].strip()
    while rest.startswith("(") and len(groups) < 2:
        end = _closing(rest)
        if end is None:
            return None
        groups.append(rest[:end])
        rest = rest[end:].strip()
    if rest or not groups:
        return None
    parameters, arguments = ("", groups[0]) if len(groups) == 1 else groups
    return Aggregate(match[1], parameters, arguments)


def _closing(text: str) -> int | None:
    """The position after the bracket that closes the one `text` begins with."""
    depth = 0
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "symbol":
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth == 0:
                return match.end()
    return None


def _tokens(expression: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(expression):
        if match.lastgroup != "space":
            yield _Token(str(match.lastgroup), match[0])
