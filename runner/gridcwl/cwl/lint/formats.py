"""Findings as text, JSON and SARIF."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gridcwl import __version__
from gridcwl.cwl.lint.checking import Finding
from gridcwl.cwl.lint.rules import RULES

_PAGE = "https://gridcwl.readthedocs.io/reference/lint/"
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_text(findings: Sequence[Finding]) -> str:
    """One finding in two lines: where and what; what to do."""
    return "".join(
        f"{relative_path(one)}:{one.line}:{one.column}: {one.code} {one.message}\n    {one.rule.remedy}\n"
        for one in findings
    )


def as_json(findings: Sequence[Finding]) -> str:
    """A list of findings."""
    return json.dumps([_plain(finding) for finding in findings], indent=2)


def _plain(finding: Finding) -> dict[str, Any]:
    rule = finding.rule
    return {
        "code": finding.code,
        "level": finding.level,
        "rule": rule.name,
        "file": relative_path(finding),
        "line": finding.line,
        "column": finding.column,
        "message": finding.message,
        "reason": rule.reason,
        "remedy": rule.remedy,
    }


def as_sarif(findings: Sequence[Finding]) -> str:
    """A SARIF log, for code scanning. https://docs.oasis-open.org/sarif/sarif/v2.1.0/"""
    codes = list(RULES)
    rules = [
        {
            "id": rule.code,
            "name": "".join(word.capitalize() for word in rule.name.replace("'", "").replace("-", " ").split()),
            "shortDescription": {"text": rule.name},
            "fullDescription": {"text": rule.reason},
            "help": {"text": rule.remedy},
            "helpUri": f"{_PAGE}#{rule.code.lower()}",
            "defaultConfiguration": {"level": rule.level},
        }
        for rule in RULES.values()
    ]
    results = [
        {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": finding.level,
            "message": {"text": f"{finding.message}. {finding.rule.remedy}"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": _artifact(finding),
                        "region": {"startLine": finding.line, "startColumn": finding.column},
                    }
                }
            ],
        }
        for finding in findings
    ]
    driver = {"name": "gridcwl", "version": __version__, "informationUri": _PAGE, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _artifact(finding: Finding) -> dict[str, str]:
    from urllib.parse import quote

    name = relative_path(finding)
    return {"uri": Path(name).as_uri() if Path(name).is_absolute() else quote(name)}


def relative_path(finding: Finding) -> str:
    """The path of a file as people write it: relative, if it is below the current folder."""
    relative = os.path.relpath(finding.path)
    return finding.path if relative.startswith("..") else relative
