"""SQL expressions in the catalogue: what they may contain, and which columns they name.

An expression runs with the platform's account, so it must be an expression over the row and nothing else: no statement,
no subquery, no table function, and nothing whose result differs when it runs again.
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
_IN = re.compile("(global)?(not)?(null)?in(ignoreset)?", re.IGNORECASE)
_OPENING = {"(": ")", "[": "]"}
_STATEMENT_WORDS = {"select", "from", "settings", "format", "union", "intersect", "except", "into", "over", "with"}
# Functions that differ from run to run, read something other than the row, or cost more than an expression should.
_FORBIDDEN_FUNCTIONS = re.compile(
    r"now|now64|nowInBlock|today|yesterday|utc_?timestamp|current_?(timestamp|date)|timezone|rand\w*|generate\w*|"
    r"fuzzBits|file|url|remote\w*|s3\w*|hdfs|mysql|postgresql|jdbc|odbc|joinGet\w*|sleep\w*|throwIf|"
    r"hostName|version|uptime|serverUUID|queryID|initialQueryID|currentUser|currentDatabase|user|getSetting|"
    r"getMacro|catboostEvaluate|ai[A-Z]\w*|dict\w*|arrayShuffle|arrayPartialShuffle|arrayRandomSample|connectionId|executable|arrayJoin|rowNumber\w*|runningDifference\w*|blockNumber|neighbor|"
    r"evalMLMethod|getServerSetting|cluster\w*|numbers\w*|input|merge|view|viewExplain",
    re.IGNORECASE,
)
_KEYWORDS = frozenset(
    {
        "and", "as", "between", "case", "distinct", "else", "end", "false", "ilike", "in", "inf", "interval", "is",
        "like", "nan", "not", "null", "or", "then", "true", "when",
    }
)  # fmt: skip
# Functions that are called without brackets.
_FORBIDDEN_WORDS = {"current_timestamp", "current_date"}
_WINDOW_FUNCTIONS = re.compile(
    r"row_number|(dense_?|percent_?)?rank|denseRank|percentRank|cume_dist|ntile|nth_value|lag|lead|(lag|lead)InFrame|"
    r"nonNegativeDerivative|exponentialTimeDecayed\w+",
    re.IGNORECASE,
)
# Their value depends on the order in which rows are read, which differs from run to run.
_UNSTABLE_AGGREGATES = re.compile(
    r"any|any_?(heavy|last|value|_respect_nulls)\w*|(first|last)_?value\w*|"
    r"(quantiles?|median)(TDigest\w*|GK|Deterministic)?(If|OrNull|OrDefault)*|groupArraySample|groupArrayLast|sumKahan\w*",
    re.IGNORECASE,
)
# Aggregates whose value over no rows is zero.
_COUNTING = re.compile(r"(count|sum|uniq)\w*", re.IGNORECASE)
_SUMMING = re.compile(r"(sum|avg)(If)?", re.IGNORECASE)
_ADDITIVE = re.compile(r"(count|sum)(If)?", re.IGNORECASE)


class _Token(NamedTuple):
    kind: str
    text: str


class Aggregate(NamedTuple):
    """A call of an aggregate function. `quantileExact(0.9)(amount)` has a name, parameters and arguments."""

    name: str
    parameters: str
    arguments: str

    @property
    def call(self) -> str:
        """The call as SQL."""
        return f"{self.name}{self.parameters}{self.arguments}"

    @property
    def state(self) -> str:
        """The call that keeps the intermediate state."""
        return f"{self.name}State{self.parameters}{self.arguments}"

    def merged(self, state: str) -> str:
        """The call that finishes the states in the column `state`."""
        return f"{self.name}Merge{self.parameters}({state})"

    @property
    def or_null(self) -> Aggregate:
        """The call that returns NULL if there are no values, instead of the type's default, such as 0."""
        if re.search("Or(Null|Default)", self.name):
            return self
        # `OrNull` comes before `If`: merged states of maxIfOrNull are 0 if no row meets the condition.
        return self._replace(name=f"{self.name.removesuffix('If')}OrNull{'If' if self.name.endswith('If') else ''}")

    @property
    def magnitude(self) -> str | None:
        """The same sum or average, over absolute values; None for other aggregates."""
        if not _SUMMING.fullmatch(self.name):
            return None
        first, *others = split_arguments(self.arguments)
        return f"{self.name}({', '.join([f'abs(toFloat64({first}))', *others])})"

    @property
    def is_zero_without_rows(self) -> bool:
        """Whether it counts or sums, so that its value over no rows is zero."""
        return _COUNTING.fullmatch(self.name) is not None

    @property
    def counts(self) -> bool:
        """Whether it counts things."""
        return self.is_zero_without_rows and not self.name.lower().startswith("sum")

    @property
    def is_additive(self) -> bool:
        """Whether the values of disjoint slices add up to the total."""
        return _ADDITIVE.fullmatch(self.name) is not None


def problem_of(expression: str) -> str | None:
    """The problem with an expression, as text that follows its value; None if none shows without a server."""
    tokens = list(_tokens(expression))
    if not tokens:
        return "write an SQL expression"
    expected: list[str] = []
    for number, token in enumerate(tokens):
        if problem := _problem_of_token(token, tokens[:number], tokens[number + 1 :]):
            return problem
        if token.text in _OPENING:
            expected.append(_OPENING[token.text])
        elif token.text in _OPENING.values() and (not expected or expected.pop() != token.text):
            return f"close every bracket that you open; there is one {token.text} too many"
        elif token.text == "," and not expected:
            return "write one expression; put brackets around a comma that belongs to it"
    # In `{source: payments, sql: sumIf(a, b)}` YAML ends the value at the comma.
    in_braces = "; within { }, put SQL that has commas in quotes"
    return f"close every bracket that you open; a {expected[-1]} is missing{in_braces}" if expected else None


def _problem_of_token(token: _Token, before: list[_Token], following: list[_Token]) -> str | None:
    if token.kind == "comment":
        return f"write no comments ({token.text}) in an expression"
    if token.text in {"‘", "’", "“", "”"}:
        return f"write straight quotes (') instead of {token.text}"
    if token.text in {";", "{", "}", "'", '"', "`", "\\", "@", "$"}:
        is_quote = token.text in {"'", '"', "`"}
        unclosed = f"close every quote that you open; a {token.text} is missing"
        return unclosed if is_quote else f"write one expression, without {token.text}"
    if token.kind != "name":
        return None
    if _IN.fullmatch(token.text) and _names_a_table(token.text, before, following):
        return "write a list of values in brackets after IN, such as IN ('a', 'b')"
    return _problem_of_name(token.text, following)


def _problem_of_name(name: str, following: list[_Token]) -> str | None:
    if name.lower() in _STATEMENT_WORDS:
        return f"write an expression over the row; {name.upper()} belongs to a statement"
    is_call = bool(following) and following[0].text == "("
    if name.lower() in _FORBIDDEN_WORDS or (is_call and _FORBIDDEN_FUNCTIONS.fullmatch(name)):
        call = f"{name}()" if is_call else name
        return f"do not call {call}: a value must depend on the rows alone, so that it can be recomputed"
    if is_call and _WINDOW_FUNCTIONS.fullmatch(name):
        return f"write an aggregate over the rows; {name}() belongs to a window"
    if is_call and _UNSTABLE_AGGREGATES.fullmatch(name):
        return (
            f"do not call {name}(): its value depends on the order of rows; use one that does not, such as "
            "quantileExact(0.5)(amount), min(amount) or argMax(amount, time)"
        )
    return None


def _names_a_table(name: str, before: list[_Token], following: list[_Token]) -> bool:
    """Whether `IN` may read a table, as in IN shop.payments, IN (payments) or in(a, b)."""
    text = [token.text for token in following]
    if name.lower() != "in" or not before or (before[-1].kind == "symbol" and before[-1].text not in ")]"):
        return True  # the function, whose second argument may be a table
    if text[:1] == ["["]:
        return False
    if text[:1] != ["("] or ")" not in text:
        return True
    end = text.index(")")
    named = {token.kind for token in following[1:end:2]} <= {"name", "quoted"} and set(text[2:end:2]) <= {"."}
    return end > 1 and named


def split_arguments(arguments: str) -> list[str]:
    """Split the arguments of a call, given as its text in brackets."""
    parts, depth = [""], 0
    for match in _TOKEN.finditer(arguments.strip()[1:-1]):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(match[0], 0) if match.lastgroup == "symbol" else 0
        if match[0] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += match[0]
    return [argument.strip() for argument in parts]


def names_in(expression: str) -> set[str]:
    """Every identifier in an expression that may be a column, without names of functions."""
    tokens = list(_tokens(expression))
    names = set()
    for number, token in enumerate(tokens):
        following = tokens[number + 1].text if number + 1 < len(tokens) else ""
        if token.kind == "quoted":
            names.add(re.sub(r"\\(.)", r"\1", token.text[1:-1]))
        elif token.kind == "name" and following != "(":
            names.add(token.text)
    return names


def column_names_in(expression: str) -> set[str]:
    """The identifiers in an expression that are not keywords: its columns, as far as is known without a server."""
    return {name for name in names_in(expression) if name.lower() not in _KEYWORDS}


def aggregate_of(expression: str) -> Aggregate | None:
    """The aggregate call that the whole expression consists of; None if there is more to it.

    A `DISTINCT` in the arguments has no state, so `count(DISTINCT x)` is not one: write `uniqExact(x)`.
    """
    match = re.match(r"\s*(\w+)\s*(?=\()", expression)
    if match is None or re.search(r"\bdistinct\b", expression, re.IGNORECASE):
        return None
    groups: list[str] = []
    rest = expression[match.end() :].strip()
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
    """The position after the bracket that closes the first one in `text`."""
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
