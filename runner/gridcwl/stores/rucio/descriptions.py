"""Metadata of a run's files and datasets in Rucio: run, step, tool, image, and the keys of the jobs.

A job's key is the digest of all that decides what the job makes (``gridcwl.runs.reuse.keys``). Each file has its own.
A dataset has it as well, as ``gridcwl_key``; one that many jobs have filled has a SHA-256 over the keys of them all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import gridcwl
from gridcwl.model import Job, JobResult
from gridcwl.stores.base import JobKeys
from gridcwl.stores.rucio.names import Did, maker_of

KEY = "gridcwl_key"
DIGEST = "gridcwl_image_digest"
DIRECTORY = "gridcwl_directory"
INPUTS = "gridcwl_inputs"
UNLISTED = "gridcwl_inputs_unlisted"

_SHARD = re.compile(r"\[\d+\]")
_TOOL_CHARACTERS = 200


@dataclass(slots=True)
class Descriptions:
    """Metadata of one run. ``known`` grows as jobs end, and is read when a dataset is made."""

    run: str
    document: str
    container: Did
    keys: JobKeys = field(default=lambda _makers: {})
    known: dict[Did, dict[str, Any]] = field(default_factory=dict)
    _steps: dict[Did, str] = field(default_factory=dict)
    """Those of steps that are scattered: their keys are known when all is done."""
    _digests: dict[Did, set[str]] = field(default_factory=dict)
    _of_jobs: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known[self.container] = self._whole(gridcwl_version=gridcwl.__version__)

    def inputs(self, did: Did) -> None:
        """A dataset of inputs that the run has uploaded."""
        self.known[did] = self._whole(gridcwl_content="inputs")

    def output(self, did: Did, output: str) -> None:
        """A dataset of final outputs."""
        self.known.setdefault(did, self._whole(gridcwl_output=output))

    def directory(self, did: Did, tree: str) -> None:
        """A dataset that is a Directory; ``tree`` is what :mod:`gridcwl.stores.rucio.trees` says of it."""
        self.known[did] = self.known.get(did, self._whole()) | {DIRECTORY: tree}

    def of_step(self, did: Did, job: Job, step: str, port: str, result: JobResult) -> None:
        """A dataset of one output of a step; ``result`` is of a job that has made a part of it."""
        if result.image:
            self._digests.setdefault(did, set()).add(result.image)
        if did not in self.known:
            tool = " ".join(job.command)[:_TOOL_CHARACTERS]
            image = job.image.id if job.image else ""
            self.known[did] = self._whole(
                gridcwl_step=step, gridcwl_output=port, gridcwl_tool=tool, gridcwl_image=image
            )
            if _SHARD.search(job.name):
                self._steps[did] = step
        meta = self.known[did]
        if result.image:
            meta.setdefault(DIGEST, result.image)
        if KEY not in meta and did not in self._steps:
            keys = [key for file in result.files if (key := self._key_in(file.location))]
            meta |= {KEY: keys[0]} if keys else {}

    def of_job(self, job: Job, step: str, inputs: tuple[str, int]) -> dict[str, Any]:
        """What all files say that a job has made: with this, a file is known when its datasets are gone.

        Args:
            job: that made them.
            step: that it is of.
            inputs: the DIDs that it read, as one text, and how many had no room in that.
        """
        text, unlisted = inputs
        made = self._whole(
            gridcwl_step=step,
            gridcwl_tool=" ".join(job.command)[:_TOOL_CHARACTERS],
            gridcwl_image=job.image.id if job.image else "",
            **{INPUTS: text},
        )
        return made | {UNLISTED: unlisted} if unlisted else made

    def of_file(self, did: Did, result: JobResult) -> dict[str, str]:
        """Metadata of a file that a job has made."""
        maker = maker_of(did.name)
        meta = {KEY: self._of_jobs.get(maker, "") if maker else "", DIGEST: result.image}
        return {name: value for name, value in meta.items() if value}

    def learn_keys(self, names: Iterable[str]) -> None:
        """Find out the keys of the jobs that have made files of these names; those before are forgotten."""
        makers = {maker for name in names if (maker := maker_of(name)) is not None}
        self._of_jobs = dict(self.keys(makers))

    def completed(self, keys_of: Callable[[str], Iterable[bytes]]) -> dict[Did, dict[str, Any]]:
        """Further metadata of datasets, once all of their jobs are known.

        Args:
            keys_of: the keys of a step's jobs, each once, in the same order whenever it is asked.
        """
        more: dict[Did, dict[str, Any]] = {}
        summaries = {step: _summary(keys_of(step)) for step in set(self._steps.values())}
        for did, step in self._steps.items():
            more[did] = dict(summaries[step])
        for did, digests in self._digests.items():
            if len(digests) > 1:
                more.setdefault(did, {})[DIGEST] = " ".join(sorted(digests))
        return {did: meta for did, meta in more.items() if meta}

    def _key_in(self, location: str) -> str:
        maker = maker_of(location)
        return self._of_jobs.get(maker, "") if maker else ""

    def _whole(self, **meta: str) -> dict[str, Any]:
        meta = {"gridcwl_run": self.run, "gridcwl_document": self.document, **meta}
        return {name: value for name, value in meta.items() if value}


def _summary(keys: Iterable[bytes]) -> dict[str, Any]:
    digest, count, last = hashlib.sha256(), 0, b""
    for key in keys:
        digest.update(key)
        count, last = count + 1, key
    if not count:
        return {}
    return {KEY: last.hex() if count == 1 else digest.hexdigest(), "gridcwl_jobs": count}


__all__ = ["DIGEST", "DIRECTORY", "KEY", "Descriptions"]
