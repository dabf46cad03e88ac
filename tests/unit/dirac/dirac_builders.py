"""Jobs for the tests of the DIRAC backend."""

from __future__ import annotations

from typing import Any

from gridcwl.model import Job, JobId, OutputRules, RunId

RUN = RunId("20260102-030405-abcdef")


def a_job(number: int = 1, *command: str, **fields: Any) -> Job:
    """A job that says hello into ``out.txt``, or does something else."""
    given = {"name": f"say[{number}]", "stdout": "out.txt", "outputs": OutputRules(("out.txt",)), **fields}
    words = command or ("sh", "-c", f"echo hello {number}")
    return Job(JobId(f"{RUN}-1-{number}"), RUN, command=words, **given)
