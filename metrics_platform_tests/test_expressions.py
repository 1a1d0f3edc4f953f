"""What an expression of the catalogue may contain, and what is read from it."""

from __future__ import annotations

import pytest

from metrics_platform import expressions

_RECOMPUTED = "a value must depend on the rows alone, so that it can be recomputed"


@pytest.mark.parametrize(
    "expression",
    [
        "count()",
        "countIf(action = 'view')",
        "sum(amount) / nullIf(count(), 0)",
        "countIf(name = 'it''s {a} $b -- ; /* # SELECT now() (')",
        "countIf(name = 'it\\'s')",
        "`a column`",
        '"a -- column"',
        "arraySum(x -> x * 2, groupArray(amount))",
        "CASE WHEN plan = 'pro' THEN 1 ELSE 0 END",
        "countIf(plan IN ('pro', 'free'))",
        "countIf(user NOT IN (1, 2))",
        "countIf((a, b) IN ((1, 2), (3, 4)))",
        "countIf(plan IN [plan, 'x'])",
        "countIf(user IN (1 + 1))",
        "quantileExact(0.9)(amount)",
        "sum(amount * -1)",
        "Сумма + `Итого, всего`",
        "toDate(paid_at)",
        "uniqExact(user)",
        "1e-5 * sum(amount)",
    ],
)
def test_an_expression_over_the_row_is_accepted(expression: str) -> None:
    assert expressions.problem_of(expression) is None


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("", "write an SQL expression"),
        ("count(); DROP TABLE x", "write one expression, without ;"),
        ("count(), sum(amount)", "write one expression; put brackets around a comma that belongs to it"),
        ("(SELECT 1)", "write an expression over the row; SELECT belongs to a statement"),
        ("count() FROM system.users", "write an expression over the row; FROM belongs to a statement"),
        ("sum(amount) OVER (PARTITION BY plan)", "write an expression over the row; OVER belongs to a statement"),
        ("row_number()", "write an aggregate over the rows; row_number() belongs to a window"),
        ("count() -- all", "write no comments (--) in an expression"),
        (
            "sumIf(amount",
            "close every bracket that you open; a ) is missing; within { }, put SQL that has commas in quotes",
        ),
        ("count(amount))", "close every bracket that you open; there is one ) too many"),
        ("countIf(a[1)", "close every bracket that you open; there is one ) too many"),
        ("countIf(name = 'open)", "close every quote that you open; a ' is missing"),
        ("countIf(name = ‘x’)", "write straight quotes (') instead of ‘"),
        ("countIf(a = {a:String})", "write one expression, without {"),
        ("countIf(a = $1)", "write one expression, without $"),
        ("countIf(time > now())", f"do not call now(): {_RECOMPUTED}"),
        ("countIf(time > CURRENT_TIMESTAMP)", f"do not call CURRENT_TIMESTAMP: {_RECOMPUTED}"),
        ("countIf(rand() % 2)", f"do not call rand(): {_RECOMPUTED}"),
        ("dictGet('d', 'a', user)", f"do not call dictGet(): {_RECOMPUTED}"),
        ("countIf(user IN system.users)", "write a list of values in brackets after IN, such as IN ('a', 'b')"),
        ("countIf(user IN `payments`)", "write a list of values in brackets after IN, such as IN ('a', 'b')"),
        ("countIf(in(user, payments))", "write a list of values in brackets after IN, such as IN ('a', 'b')"),
        (
            "any(amount)",
            "do not call any(): its value depends on the order of rows; use one that does not, such as "
            "quantileExact(0.5)(amount), min(amount) or argMax(amount, time)",
        ),
    ],
)
def test_anything_but_an_expression_over_the_row_is_refused(expression: str, problem: str) -> None:
    assert expressions.problem_of(expression) == problem


@pytest.mark.parametrize(
    ("expression", "aggregate"),
    [
        ("count()", ("count", "", "()")),
        (" sumIf ( amount, f(a, ')') ) ", ("sumIf", "", "( amount, f(a, ')') )")),
        ("quantileExact(0.9)(amount)", ("quantileExact", "(0.9)", "(amount)")),
        ("count() + 1", None),
        ("sum(a) / (count())", None),
        ("count(DISTINCT user)", None),
        ("amount", None),
        ("(sum(a))", None),
    ],
)
def test_a_single_aggregate_call_is_recognised(expression: str, aggregate: tuple[str, str, str] | None) -> None:
    assert expressions.aggregate_of(expression) == aggregate


@pytest.mark.parametrize(
    ("expression", "magnitude"),
    [
        ("sum(amount)", "sum(abs(toFloat64(amount)))"),
        ("sumIf(f(a, [1, 2]), b = ',')", "sumIf(abs(toFloat64(f(a, [1, 2]))), b = ',')"),
        ("avg(amount)", "avg(abs(toFloat64(amount)))"),
        ("max(amount)", None),
    ],
)
def test_the_magnitude_is_the_same_over_absolute_amounts(expression: str, magnitude: str | None) -> None:
    aggregate = expressions.aggregate_of(expression)
    assert aggregate is not None and aggregate.magnitude == magnitude


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("countIf(action = 'view' AND `my col` > x)", {"action", "AND", "my col", "x"}),
        ("quantileExact(0.5)(Сумма)", {"Сумма"}),
        ("count()", set()),
    ],
)
def test_names_in_an_expression_are_those_that_may_be_columns(expression: str, names: set[str]) -> None:
    assert expressions.names_in(expression) == names
