"""Expressions are found by JavaScript's own tokens."""

from __future__ import annotations

import pytest

from gridcwl.cwl.patches.expression_scanner import scan
from gridcwl.errors import ExpressionError


@pytest.mark.parametrize(
    "text",
    [
        "$(inputs.x)",
        "${ // don't\n return 1; }",
        "${ /* } ' */ return {a: 1}; }",
        r"${ return x.replace(/\)/g, '').replace(/[}]/, ''); }",
        "${ return `a ${b + `}${c}`} } )`; }",
        "${ if (x) /}/.test(y); return 1/2/3; }",
        "$(x++ / 2 / 1)",
        "$(')')",
        r"$(inputs['it\'s'])",
        "$({a: '}'})",
        "${ return a.return / 2; }",
        "$(/[/)]/.test(self))",
        "${ return function(){ return /'/ }() }",
        "$('a\nb')",
        '$(/a/g.test(x) ? `}` : "\'")',
        "${ x = {a: 1} / 2; y = '}' / 2; return x; }",
    ],
)
def test_an_expression_ends_with_its_own_bracket(text):
    assert scan(text) == (0, len(text))
    assert scan(f"before {text} after)}}") == (7, 7 + len(text))


@pytest.mark.parametrize(
    ("text", "first"),
    [("$(a / b) and $(c / d)", "$(a / b)"), ("$((a) / b)/$(c)", "$((a) / b)"), (r"a \$(x)", r"\$"), ("$(a[)", "$(a[)")],
)
def test_the_first_expression_is_found(text, first):
    start, end = scan(text)
    assert text[start:end] == first


@pytest.mark.parametrize("text", ["cost $5 (x)", "a\\", "$", "{}", "a ) b }"])
def test_other_text_holds_none(text):
    assert scan(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$(inputs.x", r"\$\(inputs.x has no end: '\)' is missing"),
        ("a ${ return {", "{ has no end: '}' is missing"),
        ("${ return 'a; }", "a quote is not closed"),
        ("${ /* }", r"a comment /\* is not closed"),
        ("${ return `a; }", "a template string ` is not closed"),
    ],
)
def test_an_expression_without_an_end_is_refused_with_what_is_missing(text, words):
    with pytest.raises(ExpressionError, match=words):
        scan(text)
