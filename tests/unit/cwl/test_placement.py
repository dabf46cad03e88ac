"""Hints that say where jobs are to run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gridcwl.cwl.placement import kind_of, placement_of
from gridcwl.errors import DocumentError
from gridcwl.model import Placement

OURS = "https://gridcwl.readthedocs.io/cwl#Placement"
THEIRS = "file:///x/schemas/dirac-metadata.json#/$defs/Scheduling"


def read(*hints: dict[str, Any]) -> Placement | None:
    """What a tool with these hints, the outermost first, says."""
    tool: Any = SimpleNamespace(requirements=[], hints=list(hints))
    return placement_of(tool, lambda value: value, "align")


def test_a_document_without_hints_gets_nothing():
    assert read({"class": "ResourceRequirement", "coresMin": 4}) is None


def test_our_hint_reports_all_of_it():
    hint = {
        "class": OURS,
        "sites": ["A"],
        "banned": ["B"],
        "tags": ["T"],
        "platform": "p",
        "priority": 3,
        "jobType": "J",
    }
    assert read(hint) == Placement(("A",), ("B",), ("T",), "p", 3, "J")


def test_ctao_s_hint_reports_it_with_commas():
    hint = {"class": THEIRS, "platform": "x86_64", "priority": 100, "sites": "CTAO.DESY-ZN.de, CTAO.PIC.es"}
    assert read(hint) == Placement(("CTAO.DESY-ZN.de", "CTAO.PIC.es"), platform="x86_64", priority=100)
    assert read({"class": "dirac:Scheduling", "sites": None}) == Placement()


def test_the_nearest_hint_counts():
    assert read({"class": OURS, "sites": ["far"]}, {"class": OURS, "sites": ["near"]}) == Placement(("near",))


@pytest.mark.parametrize(
    "wrong", [{"site": ["A"]}, {"sites": 5}, {"sites": [5]}, {"priority": "high"}, {"priority": True}, {"platform": 7}]
)
def test_what_means_nothing_is_reported(wrong):
    with pytest.raises(DocumentError, match="gridcwl:Placement"):
        read({"class": OURS, **wrong})


@pytest.mark.parametrize(
    "name", ["Placement", "other:Placement", "http://commonwl.org/cwltool#Placement", "dirac:Other"]
)
def test_hints_of_others_are_left_alone(name):
    assert kind_of(name) is None
