"""A desk for documents, and jobs made of them without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from documents import Desk, Document

from gridcwl.cwl.context import EvaluationOptions
from gridcwl.cwl.session import CwlSession, open_document
from gridcwl.cwl.tool import ResolvedJob, resolve
from gridcwl.model import JobId, RunId


class Bench(Desk):
    """A desk on which documents are opened and tools are resolved."""

    def open(self, document: Document, *words: str, **options: Any) -> CwlSession:
        path = self.write("doc.cwl", document)
        evaluation = EvaluationOptions(**({"containers": False} | options))
        return open_document(path, words, evaluation, basedir=str(self.folder), overrides=None)

    def resolve(self, document: Document, *words: str, **options: Any) -> ResolvedJob:
        """The job of a tool with these inputs."""
        session = self.open(document, *words, **options)
        tool: Any = session.graph.handle
        job_id, run = JobId("job-1"), RunId("run-1")
        return resolve(tool, session.inputs(), session.context, job_id=job_id, run=run, name="tool", toplevel=True)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)
