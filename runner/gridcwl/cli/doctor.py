"""``gridcwl doctor``: checks what gridcwl needs around it; one line each, with what to do."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from gridcwl import imports
from gridcwl.cli.terminal import escaped, raw

if TYPE_CHECKING:
    from gridcwl.health import HealthCheck

_MARKS = {"ok": "ok", "warning": "warning", "error": "error", "unused": "-"}
_DRAWN = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "error": ("✘", "bold red"), "unused": ("-", "dim")}
_WIDTH = 17


def doctor(given: argparse.Namespace) -> int:
    """Check, print, and return 0, or 1 if something is wrong."""
    from gridcwl.cli.health import findings
    from gridcwl.plugins import configuration

    config = configuration()
    found: list[HealthCheck] = []
    for finding in findings(config):
        found.append(finding)
        if not given.json:
            _print(finding)
    healthy = all(finding.state != "error" for finding in found)
    if given.json:
        print(json.dumps({"healthy": healthy, "checks": [asdict(finding) for finding in found]}, indent=2))
    else:
        count = Counter(finding.state for finding in found)
        print(f"\n{count['ok']} checks passed, {count['warning']} warnings, {count['error']} errors")
    return 0 if healthy else 1


def _print(finding: HealthCheck) -> None:
    remedy = f"  {finding.remedy}" if finding.remedy else ""
    if not sys.stdout.isatty():
        separator = ". " if finding.remedy else ""
        print(f"{_MARKS[finding.state]:<8} {finding.check:<{_WIDTH}} {finding.text}{separator}{finding.remedy}")
        return
    imports.load("rich")
    from rich.console import Console
    from rich.text import Text

    mark, style = _DRAWN[finding.state]
    dim = style if style == "dim" else ""
    line = Text.assemble(
        (mark, style), f" {finding.check:<{_WIDTH}} ", (escaped(finding.text), dim), (escaped(remedy), "cyan")
    )
    Console(file=raw(sys.stdout), highlight=False, soft_wrap=True).print(line)
