"""Literals that are too large for a job's description."""

from __future__ import annotations

from pathlib import Path

from gridcwl.model import Job, JobId, RunId, StagedFile
from gridcwl.runs.literals import MOST, Literals
from gridcwl.stores.local import path_of


def job(number: int, contents: str) -> Job:
    staged = (StagedFile("/in/letter.txt", "literal", contents=contents, writable=True),)
    return Job(JobId(f"r-1-{number}"), RunId("r"), "step", ("cat",), staged=staged)


def test_a_large_literal_becomes_a_file_and_a_small_one_stays():
    literals = Literals()
    small, large = literals.as_files([job(1, "x" * MOST), job(2, "é" * MOST + "!")])
    assert small == job(1, "x" * MOST)
    (entry,) = large.staged
    assert (entry.kind, entry.target, entry.contents, entry.writable) == ("file", "/in/letter.txt", "", True)
    path = path_of(entry.sources[0])
    assert path.name == "letter.txt"
    assert path.read_text("utf-8") == "é" * MOST + "!"
    assert entry.size == path.stat().st_size
    literals.close()
    assert not path.exists()


def test_equal_literals_are_one_file():
    literals = Literals()
    made = literals.as_files([job(number, "y" * 100_000) for number in range(5)])
    assert len({entry.sources for each in made for entry in each.staged}) == 1
    literals.close()


def test_where_there_is_none_nothing_is_made():
    literals = Literals()
    jobs = [job(1, "small")]
    assert literals.as_files(jobs) == jobs
    assert not list(Path.cwd().glob("gridcwl-literals-*"))
    literals.close()
