"""``gridcwl lint DOCUMENT ...``: reports what is valid CWL and will cause trouble on a grid or elsewhere."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gridcwl.errors import ConfigError, DocumentError, GridCWLError

if TYPE_CHECKING:
    from gridcwl.cwl.lint.checking import Finding

_PLACE = re.compile(r"(?:^|: )(?P<path>[^:\n]+):(?P<line>\d+):(?P<column>\d+):")


def lint(given: argparse.Namespace) -> int:
    """Check the documents; returns 0, or 1 if there is a finding.

    Raises:
        GridCWLError: a document cannot be read, or a code is unknown.
    """
    from gridcwl.cli.logs import set_up_logging
    from gridcwl.cwl.lint import formats
    from gridcwl.cwl.lint.rules import RULES

    set_up_logging(-1)
    selected, ignored = _codes(given.select, RULES), _codes(given.ignore, RULES)
    findings = [
        finding
        for name in given.documents
        for finding in _findings(name)
        if (not selected or finding.code in selected) and finding.code not in ignored
    ]
    found = sorted(set(findings))
    if given.format == "text":
        print(formats.as_text(found), end="", flush=True)
        if found:
            print(f"{len(found)} finding{'' if len(found) == 1 else 's'}", file=sys.stderr)
    else:
        print(formats.as_json(found) if given.format == "json" else formats.as_sarif(found))
    return 1 if found else 0


def _findings(name: str) -> list[Finding]:
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.lint.checking import Finding
    from gridcwl.cwl.lint.checking import lint as checked
    from gridcwl.cwl.load import load, locate
    from gridcwl.model.paths import file_path

    uri, file_uri = locate(name)
    if urlsplit(file_uri).scheme != "file":
        raise ConfigError(f"{name} is not a local file", remedy="Download it first; lint reads the document's text.")
    path = Path(file_path(file_uri, "The location of the document"))
    if not path.is_file():
        raise DocumentError(f"There is no file {name}", remedy="Check the path of the document.")
    try:
        load(uri, EvaluationOptions())
    except GridCWLError as error:
        found = _PLACE.search(error.message)
        line, column = (int(found["line"]), int(found["column"])) if found else (1, 1)
        return [Finding(str(path), line, column, "GC001", " ".join(error.message.split()))]
    return checked(path, unquote(urlsplit(uri).fragment))


def _codes(given: Sequence[str], known: Iterable[str]) -> set[str]:
    """Codes, also by their beginning: ``GC1`` is all that begin so.

    Raises:
        ConfigError: there is none of this name.
    """
    chosen: set[str] = set()
    for word in ",".join(given).replace(" ", ",").split(","):
        matching = {code for code in known if word and code.startswith(word.upper())}
        if word and not matching:
            raise ConfigError(f"There is no rule {word}", remedy=f"The rules are {', '.join(known)}.")
        chosen |= matching
    return chosen
