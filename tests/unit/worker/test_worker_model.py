"""The worker may not import the model: here the two are held together."""

import re
from pathlib import Path

from gridcwl import worker
from gridcwl.model import Job, JobId, JobResult, Outcome, RunId, StagedFile
from gridcwl.model.codec import to_plain
from gridcwl.worker import failure, options, result


def test_the_worker_fills_in_the_models_own_defaults():
    described = Job(JobId("id"), RunId("run"), "name", ("true",), staged=(StagedFile("/gridcwl/in/x", "file"),))
    plain = to_plain(described)

    assert _comparable(options.complete(plain)) == _comparable(plain)
    least = {"id": "id", "run": "run", "name": "name", "command": ("true",)}
    least["staged"] = [{"target": "/gridcwl/in/x", "kind": "file"}]
    assert _comparable(options.complete(least)) == _comparable(plain)


def _comparable(plain):
    if isinstance(plain, dict):
        return {key: _comparable(value) for key, value in plain.items()}
    return [_comparable(item) for item in plain] if isinstance(plain, (list, tuple)) else plain


def test_a_new_result_has_the_models_fields():
    fields = JobResult.__dataclass_fields__

    assert set(result.new("id", {})) == set(fields)
    assert fields["format"].default == result.FORMAT


def test_the_worker_knows_the_models_outcomes():
    known = {
        failure.SUCCESS,
        failure.PERMANENT,
        failure.TEMPORARY,
        failure.CANCELLED,
        failure.TIME_LIMIT,
        failure.OUT_OF_MEMORY,
    }

    assert known == {outcome.value for outcome in Outcome}


def test_the_worker_names_no_batch_system():
    sources = {path.name: path.read_text("utf-8") for path in Path(worker.__file__).parent.glob("*.py")}
    assert [name for name, text in sources.items() if re.search("dirac|slurm|condor", text, re.IGNORECASE)] == []
