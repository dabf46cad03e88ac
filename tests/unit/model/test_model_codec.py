"""Jobs and results: their JSON form, and the schema that holds them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gridcwl.model
from gridcwl.errors import GridCWLError, InputError, LimitExceeded, ResultError, UnsafePath
from gridcwl.model import Job, JobId, JobResult, Outcome, ProducedFile, RunId, Usage
from gridcwl.model.codec import (
    SCHEMA_FILES,
    job_from_json,
    result_from_json,
    result_from_plain,
    schemas,
    to_json,
    to_plain,
    write_schemas,
)
from gridcwl.model.job import ExitCodes, Image, OutputRules, Resources, StagedFile

FOLDER = Path(gridcwl.model.__file__).parent

# File names are bytes; those that are not UTF-8 travel as lone surrogates.
texts = st.text(st.characters(exclude_categories=()), max_size=12)
# What people read of a result has none: they are escaped when it is decoded.
readable = st.text(max_size=12)
names = (
    st.binary(min_size=1, max_size=12)
    .map(os.fsdecode)
    .filter(lambda name: not {"/", "\0"} & {*name} and name[0] != ".")
)
relative = st.lists(names, min_size=1, max_size=3).map("/".join)
numbers = st.floats(0, 1e6, allow_nan=False)
counts = st.integers(0, 2**40)
staged = st.builds(
    StagedFile, relative.map("/".__add__), st.sampled_from(["file", "directory", "literal"]),
    st.lists(texts, max_size=2).map(tuple), texts, st.booleans(), st.none() | counts, st.none() | texts,
)  # fmt: skip
jobs = st.builds(
    Job,
    id=names.map(JobId),
    run=texts.map(RunId),
    name=texts,
    command=st.lists(texts, min_size=1, max_size=3).map(tuple),
    image=st.none() | st.builds(Image, texts, *[st.none() | texts] * 4),
    environment=st.dictionaries(texts, texts, max_size=2),
    staged=st.lists(staged, max_size=2).map(tuple),
    stdin=st.none() | texts,
    stdout=st.none() | texts,
    outputs=st.builds(OutputRules, st.none() | st.lists(texts, max_size=2).map(tuple), st.just(())),
    resources=st.builds(Resources, numbers, counts, counts, counts, st.none() | counts, st.booleans(), counts),
    exit_codes=st.builds(ExitCodes, st.lists(st.integers(0, 255), max_size=2).map(tuple)),
    in_place=st.booleans(),
    attempt=st.integers(1, 9),
)  # fmt: skip
produced = st.builds(
    ProducedFile, relative, st.sampled_from(["file", "directory"]), texts, counts, st.none() | texts, st.none() | texts
)
results = st.builds(
    JobResult,
    id=readable.map(JobId),
    outcome=st.sampled_from(Outcome),
    exit_code=st.none() | st.integers(-64, 255),
    reason=readable,
    files=st.lists(produced, max_size=2).map(tuple),
    escaped=st.lists(texts, max_size=2).map(tuple),
    stderr_tail=readable,
    usage=st.none() | st.builds(Usage, readable, numbers, st.none() | numbers),
)


def schema(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


@pytest.mark.parametrize("name", SCHEMA_FILES)
def test_the_schema_files_are_those_of_the_code(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == schemas()[name], "run python -m gridcwl.model.codec"


def test_writing_the_schemas_gives_those_files(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SCHEMA_FILES)


@settings(deadline=None)
@given(jobs)
def test_a_job_survives_its_json_form(job: Job) -> None:
    assert job_from_json(to_json(job)) == job


@given(results)
def test_a_result_survives_its_json_form(result: JobResult) -> None:
    assert result_from_json(to_json(result)) == result
    assert result_from_plain(to_plain(result)) == result


@settings(max_examples=30, deadline=None)  # jsonschema is slow
@given(jobs)
def test_the_json_form_of_a_job_is_plain_ascii_and_fits_the_schema(job: Job) -> None:
    text = to_json(job)
    assert text.isascii()
    jsonschema.validate(json.loads(text), schema("job.schema.json"))


@settings(max_examples=30, deadline=None)
@given(results)
def test_the_json_form_of_a_result_fits_the_schema(result: JobResult) -> None:
    jsonschema.validate(json.loads(to_json(result)), schema("result.schema.json"))


@pytest.mark.parametrize(
    "change", [{"command": "echo"}, {"format": "gridcwl-job/2"}, {"resources": {"cores": "many"}}, {"id": None}]
)
def test_what_is_no_job_is_refused_by_code_and_schema(change: dict[str, Any]) -> None:
    plain = json.loads(to_json(Job(JobId("1"), RunId("r"), "n", ("true",)))) | change
    with pytest.raises(InputError, match="is not of the format gridcwl-job/1"):
        job_from_json(json.dumps(plain))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain, schema("job.schema.json"))


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "", ".", "a\0", "\ud800"])
def test_a_result_with_a_path_that_leads_out_of_its_folder_is_refused(path: str) -> None:
    plain = to_plain(JobResult(JobId("1"), Outcome.SUCCESS, files=(ProducedFile(path, "file", "file:///a"),)))
    with pytest.raises(UnsafePath, match="The path of an output is refused"):
        result_from_json(json.dumps(plain))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[" * 100_000, LimitExceeded),
        ('{"id":' * 100_000, LimitExceeded),
        ('{"id": "1", "outcome": "success", "files": [' + "[" * 500 + "]" * 500 + "]}", LimitExceeded),
        ("[" + "1," * 9_000_000 + "1]", LimitExceeded),
        ("", ResultError),
        ("\xff", ResultError),
        ("[]", ResultError),
        ('{"id": "1", "outcome": "fine"}', ResultError),
        (b"\xff\xfe\x00", ResultError),
    ],
)
def test_a_result_that_is_too_large_too_deep_or_no_result_is_a_clear_error(
    text: str | bytes, kind: type[GridCWLError]
) -> None:
    with pytest.raises(kind, match="A job's result"):
        result_from_json(text)


@pytest.mark.parametrize("wrong", [{"wall_s": float("nan")}, {"cpu_s": -1.0}, {"read_bytes": 10**30}])
def test_a_usage_that_cannot_be_is_not_taken_and_the_result_is(wrong):
    usage = {"started": "2026-11-29T10:00:00.000Z", "wall_s": 1.0, "host": "node"}
    plain = {"id": "a", "outcome": "success", "usage": {**usage, **wrong}}

    assert result_from_plain(plain).usage is None
    assert result_from_plain({**plain, "usage": usage}).usage.host == "node"
