"""Messages of ruamel.yaml about a text that is not YAML, in sentences for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

POSITION = r"(?P<place>\S+:\d+:\d+:)"


class Explanation(NamedTuple):
    """One message in our words."""

    message: str
    remedy: str
    unsupported: bool = False
    """The document is right, but asks for what gridcwl does not do."""


def _yaml(what: str, remedy: str) -> Callable[[re.Match[str]], Explanation]:
    """An explanation with the pattern's groups in it."""

    def explain(found: re.Match[str]) -> Explanation:
        return Explanation(what.format(**found.groupdict()), remedy.format(**found.groupdict()))

    return explain


YAML_RULES = (
    (
        rf"{POSITION}\s+found character '\\t' that cannot start any token",
        _yaml("{place} a tab indents this line", "YAML is indented by spaces only: replace the tab."),
    ),
    (
        rf"{POSITION}\s+found character '(?P<sign>.)' that cannot start any token",
        _yaml("{place} a value begins with {sign}", "Put the value in quotes."),
    ),
    (
        rf"{POSITION}\s+mapping values are not allowed (?:here|in this context)",
        _yaml(
            "{place} there is a ':' where no name can be",
            "Indent the line like the lines it belongs to; put a text that holds ': ' in quotes.",
        ),
    ),
    (
        rf"{POSITION}\s+found undefined alias '(?P<name>[^']*)'",
        _yaml("{place} the value *{name} is an alias in YAML, of nothing", "If it is a text, put it in quotes."),
    ),
    (
        rf'{POSITION}\s+found duplicate key "(?P<name>[^"]*)"',
        _yaml("{place} the field '{name}' is there twice", "Keep one of them."),
    ),
    (
        rf"while scanning a double-quoted scalar\s+{POSITION}\s+found unknown escape character '(?P<sign>.)'",
        _yaml(
            '{place} a text in "..." holds \\{sign}, which means nothing in YAML',
            "Put the text in '...', or write \\\\{sign} for a backslash.",
        ),
    ),
    (
        rf"{POSITION}\s+while parsing a flow node\s+(?:\S+\s+)?expected the node content, but found '<stream end>'",
        _yaml("{place} the file ends before a bracket is closed", "Close it."),
    ),
    (
        rf"{POSITION}\s+while parsing a flow node\s+(?:\S+\s+)?expected the node content, but found '(?P<sign>[^']+)'",
        _yaml("{place} a value is missing before '{sign}'", "Write the value, or take the '{sign}' out."),
    ),
    (
        rf"{POSITION}\s+while scanning a block scalar",
        _yaml(
            "{place} a text that begins with | or > starts in the next line",
            "Write only | or > here, or put the text in quotes.",
        ),
    ),
    (
        rf"{POSITION}\s+while scanning an (?:anchor|alias)",
        _yaml("{place} a value begins with & or *, which name parts of a document in YAML", "Put the value in quotes."),
    ),
    (
        r"Tagged(?:Scalar|Map|Seq)",
        _yaml(
            "a value has a tag, !NAME, which CWL does not know",
            "Leave it out; put a text that begins with ! in quotes.",
        ),
    ),
    (
        rf"{POSITION}\s+while scanning a directive",
        _yaml("{place} a line begins with %", "Put the value in quotes, or write # for a comment."),
    ),
    (
        rf"{POSITION}\s+while parsing a flow (?P<what>sequence|mapping)",
        _yaml("{place} a bracket that opens here is not closed", "Close it, or put a comma between its elements."),
    ),
    (
        rf"{POSITION}\s+while scanning a quoted scalar",
        _yaml("{place} a quote that opens here is not closed", "Close it; within '...' an apostrophe is written ''."),
    ),
    (
        rf"{POSITION}\s+while scanning a simple key",
        _yaml(
            "{place} this line is neither 'name: value' nor an element '- value'",
            "Is a ':' missing, or a space behind it?",
        ),
    ),
    (
        rf"while parsing a block \w+[\s\S]*?{POSITION}\s+(?:did not find expected|expected <block end>)",
        _yaml(
            "{place} this line is indented differently from those before it", "Indent it like the lines it belongs to."
        ),
    ),
)
