"""What Rucio has as text: expressions for storage elements, filters for DIDs, patterns for names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from rucio.common.exception import InvalidObject, InvalidRSEExpression, RucioException

# rucio/common/schema/generic.py
NAME = re.compile(r"^[/A-Za-z0-9][/A-Za-z0-9\.\-_]*$")
ADLER32 = re.compile(r"^[a-fA-F\d]{8}$")
LONGEST_NAME = 250
MOST_DIDS = 1000

# rucio/core/rse_expression_parser.py: no dot in a value, and no wildcard but for all
_TOKEN = re.compile(r"\s*([()|&\\]|[A-Za-z0-9._\-]+=[A-Za-z0-9_\-]+|[A-Za-z0-9]+(?:[_\-][A-Za-z0-9]+)*|\*)")
_SYNTAX = "Expression does not comply to RSE Expression syntax"
_OPERATORS = ("gte", "lte", "gt", "lt", "ne", "eq")


def check_name(name: str) -> None:
    """Raises InvalidObject for what the generic policy does not take as a name."""
    if not NAME.match(name) or len(name) > LONGEST_NAME:
        raise InvalidObject(f"Problem validating did: {name!r} does not match {NAME.pattern!r}")


def check_dids(dids: Sequence[Mapping[str, Any]], what: str, *, least: int = 0) -> None:
    """Raises InvalidObject for too many, or for a name or checksum that is none; with all of them in the message."""
    if not least <= len(dids) <= MOST_DIDS:
        much = "should be non-empty" if len(dids) < least else "is too long"
        raise InvalidObject(f"Problem validating {what}: {list(dids)} {much}")
    for did in dids:
        check_name(did["name"])
        if did.get("adler32") is not None and not ADLER32.match(did["adler32"]):
            raise InvalidObject(f"Problem validating {what}: {did['adler32']!r} does not match {ADLER32.pattern!r}")


def elements(expression: str, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The storage elements that an expression means.

    Args:
        known: the attributes of each.

    Raises:
        InvalidRSEExpression: it is none, or means nothing.
    """
    tokens = _tokens(expression)
    found, rest = _set(tokens, known)
    if rest:
        raise InvalidRSEExpression(_SYNTAX)
    if not found:
        raise InvalidRSEExpression("RSE Expression resulted in an empty set.")
    return [name for name in known if name in found]


def _tokens(expression: str) -> list[str]:
    tokens, place = [], 0
    while place < len(expression.rstrip()):
        match = _TOKEN.match(expression, place)
        if match is None:
            raise InvalidRSEExpression(_SYNTAX)
        tokens.append(match[1])
        place = match.end()
    return tokens


def _set(tokens: list[str], known: Mapping[str, Mapping[str, Any]]) -> tuple[set[str], list[str]]:
    found, tokens = _part(tokens, known)
    while tokens and tokens[0] in "|&\\":
        operator = tokens[0]
        other, tokens = _part(tokens[1:], known)
        found = {"|": found | other, "&": found & other, "\\": found - other}[operator]
    return found, tokens


def _part(tokens: list[str], known: Mapping[str, Mapping[str, Any]]) -> tuple[set[str], list[str]]:
    if not tokens or tokens[0] in ")|&\\":
        raise InvalidRSEExpression(_SYNTAX)
    if tokens[0] == "(":
        found, rest = _set(tokens[1:], known)
        if not rest or rest[0] != ")":
            raise InvalidRSEExpression(_SYNTAX)
        return found, rest[1:]
    name, equals, value = tokens[0].partition("=")
    if equals:
        return {each for each, has in known.items() if str(has.get(name)) == value}, tokens[1:]
    return set(known) if name == "*" else {name} & set(known), tokens[1:]


def matches(did: Mapping[str, Any], filters: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> bool:
    """A DID's columns and metadata fit one of the filters; those of one filter all at once."""
    alternatives = [filters] if isinstance(filters, Mapping) else filters
    return any(all(_fits(did, key, wanted) for key, wanted in each.items()) for each in alternatives)


def _fits(did: Mapping[str, Any], key: str, wanted: Any) -> bool:
    name, dot, operator = key.rpartition(".")
    if not dot:
        name, operator = key, "eq"
    elif operator not in _OPERATORS:
        raise RucioException("no error information passed (http status code: 500)")
    value = did.get(name)
    if value is None:
        return False
    if operator in ("eq", "ne"):
        return _same(value, wanted) == (operator == "eq")
    one, other = _comparable(value, wanted)
    compared: dict[str, bool] = {
        "gt": one > other, "lt": one < other, "gte": one >= other, "lte": one <= other,
    }  # fmt: skip
    return compared[operator]


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and isinstance(value, str):
        return fnmatchcase(value, wanted.replace("%", "*"))
    return str(value) == str(wanted)


def _comparable(value: Any, wanted: Any) -> tuple[Any, Any]:
    if isinstance(value, datetime) and isinstance(wanted, str):
        return value, datetime.fromisoformat(wanted)
    try:
        return float(value), float(wanted)
    except (TypeError, ValueError):
        return str(value), str(wanted)
