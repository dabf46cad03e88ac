"""Numbers in the names of final outputs."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.runs.output_names import numbered


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["out.log"], ["out_2.log"]),
        (["out"], ["out_2"]),
        (["out.log", "out.log.idx"], ["out_2.log", "out_2.log.idx"]),
        (["a.bam", "a.bai"], ["a_2.bam", "a_2.bai"]),
        (["a.fastq.gz", "a.fastq.gz.idx"], ["a_2.fastq.gz", "a_2.fastq.gz.idx"]),
        (["a.vcf.gz", "a.vcf.gz.tbi", "a.idx"], ["a_2.vcf.gz", "a_2.vcf.gz.tbi", "a_2.idx"]),
        (["a.b.bam", "a.idx"], ["a_2.b.bam", "a_2.idx"]),
        (["a.bam", "a_index.bai"], ["a_2.bam", "a_2_index.bai"]),
        (["a.bam", "notes.txt"], ["a_2.bam", "notes_2.txt"]),
        (["v1.2"], ["v1.2_2"]),
        (["sample.zarr"], ["sample_2.zarr"]),
        ([".hidden"], [".hidden_2"]),
        ([".hidden.txt", ".hidden.txt.idx"], [".hidden_2.txt", ".hidden_2.txt.idx"]),
        (["..."], ["..._2"]),
        (["ends."], ["ends_2."]),
    ],
)
def test_the_number_stands_before_the_extension(names: list[str], expected: list[str]) -> None:
    assert numbered(names, 2) == expected


PART = st.text("ab.Z9_-é", min_size=1, max_size=12)
PATTERN = st.tuples(st.integers(0, 3), st.sampled_from([".idx", ".bai", "_x.tbi", ".a.b", ".gz"]))


def secondary(name: str, pattern: tuple[int, str]) -> str:
    """As CWL has it: each ^ takes an extension away."""
    for _ in range(pattern[0]):
        stem, extension = os.path.splitext(name)  # noqa: PTH122
        name = stem if extension else name
    return name + pattern[1]


@given(PART.filter(lambda name: name.strip(".")), st.lists(PATTERN, max_size=3), st.integers(2, 1000))
def test_patterns_lead_from_the_numbered_file_to_its_numbered_secondary_files(
    name: str, patterns: list[tuple[int, str]], number: int
) -> None:
    names = [name, *(secondary(name, pattern) for pattern in patterns)]
    new = numbered(names, number)
    assert new == [new[0], *(secondary(new[0], pattern) for pattern in patterns)]


@given(st.lists(PART, min_size=1, max_size=5, unique=True), st.integers(2, 100))
def test_names_that_differ_still_differ(names: list[str], number: int) -> None:
    new = numbered(names, number)
    assert len(set(new)) == len(names)
    assert not set(new) & {"", ".", ".."}


@given(st.text("aé.", min_size=120, max_size=250).map(lambda text: os.fsdecode(os.fsencode(f"x{text}")[:255])))
def test_no_name_becomes_too_long(name: str) -> None:
    (new,) = numbered([name], 12345)
    assert len(os.fsencode(new)) <= 255
