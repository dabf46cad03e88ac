r"""The expressions in a text, found by JavaScript's own tokens. Pure functions on text.

``cwl_utils.expression.scanner`` counts brackets and quotes only: an apostrophe in a comment, a bracket in a regular
expression or a template string lead it astray. Here comments, strings, regular expressions and template strings are
tokens, as ECMAScript has them (https://tc39.es/ecma262/#sec-ecmascript-language-lexical-grammar).

Whether ``/`` begins a regular expression or divides is decided by the token before it, as in most tools that do not
parse all of JavaScript: after a value it divides.

To be dropped when cwl-utils finds expressions by JavaScript's tokens.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from gridcwl.cwl.patches.upstream import Upstream
from gridcwl.errors import ExpressionError

UPSTREAM = (
    Upstream(
        "https://github.com/common-workflow-language/cwl-utils/blob/0.45/src/cwl_utils/expression.py#L50",
        "scanner",
        "4a642637b360cfaf",
    ),
    Upstream(
        "https://github.com/common-workflow-language/cwl-utils/blob/0.45/src/cwl_utils/expression.py#L189",
        "interpolate",
        "7dbc456432acca6f",
    ),
)

_START = re.compile(r"\\|\$[({]")
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n\r\u2028\u2029]*|/\*[\s\S]*?\*/)
    | (?P<string>'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*")
    | (?P<word>[\w$]+)
    | (?P<mark>\+\+|--|=>|[\s\S])""",
    re.VERBOSE,
)
_REGEX = re.compile(r"/(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*\])+/[\w$]*")
_CLOSED_BY = {"(": ")", "[": "]", "{": "}"}
_NO_VALUE = frozenset(
    "await case delete do else extends in instanceof new of return throw typeof void yield".split()  # noqa: SIM905
)
"""Words after which an expression begins, and ``/`` with it a regular expression."""
_WITH_CONDITION = frozenset(("if", "while", "for", "with"))
_BEFORE_BLOCK = frozenset((")", ";", "{", "}", "=>", "else", "do", "try", "finally", ""))
_SHOWN = 60


class _Open(NamedTuple):
    bracket: str
    divides: bool
    """What stands between the brackets is a value: ``/`` behind them divides."""


class _Unclosed(Exception):
    """What is not closed: a bracket, quote, comment or template string."""


@lru_cache(maxsize=4096)
def scan(text: str) -> tuple[int, int] | None:
    r"""Where the next expression, or the next ``\`` and what it escapes, begins and ends; None if there is none.

    Raises:
        ExpressionError: an expression has no end.
    """
    found = _START.search(text)
    if found is None:
        return None
    start = found.start()
    if found[0] == "\\":
        return (start, start + 2) if start + 1 < len(text) else None
    try:
        return start, _end(text, start + 1)
    except _Unclosed as unclosed:
        shown = " ".join(text[start:].split())
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
        raise ExpressionError(
            f"the expression {shown} has no end: {unclosed}",
            remedy=f"Close it. Where the text is not meant as an expression, write \\{found[0]}.",
        ) from None


def _end(text: str, start: int) -> int:
    """The index behind the bracket that closes the one at ``start``."""
    brackets = [_Open(text[start], divides=True)]
    place, before, divides = start + 1, text[start] if text[start] == "{" else "(", False
    while place < len(text):
        mark = text[place]
        if mark == "`":
            place, before, divides = _template(text, place), "`", True
            continue
        regex = (
            None if divides or mark != "/" or text[place + 1 : place + 2] in ("/", "*") else _REGEX.match(text, place)
        )
        if regex is not None:
            place, before, divides = regex.end(), "/", True
            continue
        token = _TOKEN.match(text, place)
        assert token is not None  # a mark is any character
        word, place = token[0], token.end()
        if token.lastgroup == "space":
            continue
        if token.lastgroup == "mark":
            if word in "'\"" or (word == "/" and text.startswith("*", place)):
                raise _Unclosed("a quote is not closed" if word != "/" else "a comment /* is not closed")
            if word in _CLOSED_BY:
                brackets.append(_Open(word, divides=_divides_behind(word, before)))
                divides = False
            elif word in ")]}":
                divides = _close(brackets, word)
                if not brackets:
                    return place
            else:
                divides = divides if word in ("++", "--") else False
        else:
            divides = token.lastgroup == "string" or word not in _NO_VALUE or before == "."
        before = word
    raise _Unclosed(f"'{_CLOSED_BY[brackets[-1].bracket]}' is missing")


def _divides_behind(bracket: str, before: str) -> bool:
    if bracket == "(":
        return before not in _WITH_CONDITION
    return bracket == "[" or before not in _BEFORE_BLOCK


def _close(brackets: list[_Open], closing: str) -> bool:
    """Take off what this bracket closes, and brackets within it that are not closed, which is JavaScript's to refuse.

    A bracket that closes nothing changes nothing.
    """
    for depth in range(len(brackets) - 1, -1, -1):
        if _CLOSED_BY[brackets[depth].bracket] == closing:
            divides = brackets[depth].divides
            del brackets[depth:]
            return divides
    return True


def _template(text: str, start: int) -> int:
    """The index behind a template string; what it substitutes may hold others."""
    place = start + 1
    while place < len(text):
        if text[place] == "\\":
            place += 2
        elif text[place] == "`":
            return place + 1
        elif text.startswith("${", place):
            place = _end(text, place + 1)
        else:
            place += 1
    raise _Unclosed("a template string ` is not closed")


def apply() -> None:
    """Have cwl_utils, and with it cwltool, find expressions so."""
    from cwl_utils import expression

    expression.scanner = scan
