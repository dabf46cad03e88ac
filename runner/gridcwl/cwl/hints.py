"""The hints that are gridcwl's to read: by whatever prefix a document calls them."""

from __future__ import annotations

import re


def kind_of(name: str) -> str | None:
    """Which of the hints that we know a class name means, however its prefix was resolved; None for any other."""
    *before, last = re.split(r"[#/:]", name)
    if last == "Placement" and any("gridcwl" in part for part in before):
        return "gridcwl:Placement"
    if last in ("Scheduling", "SchedulingHint") and any("dirac" in part for part in before):
        return "dirac:Scheduling"
    return None
