"""Generated documents through gridcwl and through cwltool: the same output object, or both refuse.

    GRIDCWL_FUZZ=5000 GRIDCWL_FUZZ_SEED=7 pytest tests/fuzz

A failure prints the smallest document that hypothesis finds, with inputs and files, to be pasted.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from .compare import Misdescribed, apart, comparable, described, directories, lost, shared
from .differences import APART, CWLTOOL_REFUSES, GRIDCWL_REFUSES, LOST, MERGED, OPEN, RENAMED, known
from .report import features, text
from .runners import Ended, by_cwltool, by_gridcwl, write_inputs, written
from .workflows import Case, cases, wild_tool

WANTED = os.environ.get("GRIDCWL_FUZZ", "")
EXAMPLES = int(WANTED or "100")
SEED = int(os.environ.get("GRIDCWL_FUZZ_SEED", "1"))
WILD = EXAMPLES // 10 if WANTED else 20
"""Tools as people write them, beside the others; a longer run has such tools in its workflows as well."""
PARTS = 2
"""Tests that the examples are spread over, for both cores."""
ENOUGH = 100
"""Of fewer than these, shares say nothing. Both limits are five deviations above what is usual."""
MOST_REFUSED = 0.3
MOST_KNOWN = 0.3
_SAID = 3000


def verdict(theirs: Ended, ours: Ended) -> str:
    """How the two compare, in a word, or the reason of a known difference.

    Raises:
        AssertionError: they differ.
    """
    assert not ours.crashed, f"gridcwl stumbled:\n{ours.said[-_SAID:]}"
    if theirs.refused and ours.refused:
        return "both refused"
    if ours.refused:
        difference = known(ours.said, (*GRIDCWL_REFUSES, *OPEN))
        assert difference, f"gridcwl alone refuses:\n{ours.said[-_SAID:]}"
        return difference.reason
    try:
        described(ours.outputs)
    except Misdescribed as error:
        difference = known(str(error), OPEN)
        if difference is None:
            raise
        return difference.reason
    if theirs.refused:
        difference = known(theirs.said, CWLTOOL_REFUSES)
        assert difference, f"cwltool alone refuses:\n{theirs.said[-_SAID:]}\ngridcwl gives {ours.outputs}"
        return difference.reason
    return LOST if lost(theirs.outputs) else verdict_on_outputs(theirs, ours)


def produced(ended: Ended) -> Any:
    """The output object, comparable, without what is null: a tool's cwl.output.json may leave that out."""
    return {name: value for name, value in comparable(ended.outputs, ended.outdir).items() if value is not None}


def verdict_on_outputs(theirs: Ended, ours: Ended) -> str:
    """As :func:`verdict`, of two runs that ended well."""
    found, expected = produced(ours), produced(theirs)
    if found != expected and len(directories(theirs.outputs)) < len(directories(ours.outputs)):
        return MERGED
    if found != expected and apart(theirs.outputs) and not apart(ours.outputs):
        return APART
    if found != expected and shared(theirs.outputs) and not shared(ours.outputs):
        return RENAMED
    assert found == expected, f"the outputs differ:\ncwltool {expected}\ngridcwl {found}"
    return "the same"


@pytest.mark.node
@pytest.mark.timeout(300 + EXAMPLES * 2)
@pytest.mark.parametrize("part", range(PARTS))
def test_gridcwl_gives_what_cwltool_gives(part: int, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    used: Counter[str] = Counter()
    differences: Counter[str] = Counter()

    @seed(SEED * PARTS + part)
    @settings(max_examples=-(-EXAMPLES // PARTS), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(cases(with_wild=bool(WANTED)))
    def agree(case: Case) -> None:
        with written(case.document, case.inputs, case.files, tmp_path / "case"):
            theirs = by_cwltool(tmp_path / "case")
            write_inputs(case.files, tmp_path / "case")
            ours = by_gridcwl(tmp_path / "case")
        word = verdict(theirs, ours)
        counts["run"] += 1
        if word == "the same":
            used.update(features(case))
        if word in ("the same", "both refused"):
            counts[word] += 1
        else:
            counts["known differences"] += 1
            differences[word] += 1

    agree()
    # a warning, for pytest shows these at the end, whatever process ran the test
    warnings.warn(text(SEED * PARTS + part, counts, used, differences), stacklevel=1)
    if counts["run"] < ENOUGH:
        return
    assert counts["both refused"] < MOST_REFUSED * counts["run"], f"too many refusals: {counts}"
    assert counts["known differences"] < MOST_KNOWN * counts["run"], f"too many known differences: {differences}"


@pytest.mark.node
@pytest.mark.timeout(300 + WILD * 2)
def test_gridcwl_gives_what_cwltool_gives_for_tools_as_people_write_them(tmp_path: Path) -> None:
    for number in range(1000 * SEED, 1000 * SEED + WILD):
        case = wild_tool(Random(number))
        with written(case.document, case.inputs, case.files, tmp_path / "case"):
            theirs, ours = by_cwltool(tmp_path / "case"), by_gridcwl(tmp_path / "case")
        try:
            verdict(theirs, ours)
        except AssertionError as error:
            error.add_note(f"number {number}:\n{case!r}")
            raise
