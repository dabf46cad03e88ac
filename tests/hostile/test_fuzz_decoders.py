"""Whatever comes from outside, decoding it ends with a value or with an error that a person can read.

A few examples in ``make test``; ``make fuzz-decoders`` tries others for ten minutes.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hostile_names import examples, names, paths
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.backends.dirac import jdl, results
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.cwl.input_files import find_files
from gridcwl.cwl.output_objects import check_outputs, read_output_object
from gridcwl.errors import GridCWLError
from gridcwl.model import Job, JobId, JobResult, Outcome, RunId, StagedFile
from gridcwl.model.acceptance import accepted
from gridcwl.model.codec import job_from_json, result_from_json, to_plain
from gridcwl.runs.publish import publish
from gridcwl.stores.rucio.trees import read as read_tree

JOB = Job(JobId("j1-7"), RunId("r"), "step", ("true",), staged=(StagedFile("/in/d", "directory", ("file:///data/d",)),))
PLACE = JobStatus(42, "Done")

plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | names | st.sampled_from(["File", "Directory", "success"])
)
keys = st.sampled_from(["class", "location", "basename", "path", "listing", "secondaryFiles", "contents", "id"]) | names
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)
locations = st.one_of(
    paths, paths.map("sandbox:".__add__), paths.map("file:///".__add__), paths.map("rucio://".__add__)
)
listed = st.fixed_dictionaries(
    {"path": paths, "kind": st.sampled_from(["file", "directory"]), "location": locations},
    optional={"size": st.integers(-1, 9), "sha1": names, "adler32": names, "contents": names},
)
result_objects = st.fixed_dictionaries(
    {"id": st.sampled_from(["j1-7", "other"]), "outcome": st.just("success"), "files": st.lists(listed, max_size=3)},
    optional={"outdir": locations, "element": names, "stdout_log": paths, "usage": values},
)
kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"S", b"?"]
)
members = st.lists(
    st.tuples(st.one_of(paths, paths.map("j1-7/out/".__add__)), kinds, st.binary(max_size=9)), max_size=5
)


@st.composite
def damage(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with a few others in between, or cut."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        if made:
            made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
    return bytes(made[: draw(st.integers(0, len(made)))]) if draw(st.booleans()) else bytes(made)


def archive(found: Any, result: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as made:
        for name, kind, data in [("j1-7/result.json", tarfile.REGTYPE, json.dumps(result).encode()), *found]:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(data), "/etc/passwd"
            with contextlib.suppress(UnicodeEncodeError):  # a name that no archive can hold
                made.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A new folder for each example, with one within it where something may be written."""
    return lambda: tmp_path_factory.mktemp("fuzz") / "a/b"


def written_only_below(folder: Path) -> bool:
    everything = folder.parent.parent.rglob("*")
    return all(path.is_relative_to(folder) and not path.is_symlink() for path in everything if not path.is_dir())


@examples(60)
@given(data=st.data(), found=members, result=result_objects)
def test_results_archives(folders: Any, data: st.DataObject, found: Any, result: Any) -> None:
    folder = folders()
    pack = data.draw(st.sampled_from([gzip.compress, bz2.compress, bytes]))
    inner = data.draw(damage(pack(data.draw(damage(archive(found, result))))))
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w:bz2") as made:
        member = tarfile.TarInfo(jdl.RESULTS)
        member.size = len(inner)
        made.addfile(member, io.BytesIO(inner))
    ended = results.result_of(JOB, results.opened(outer.getvalue(), folder), PLACE, folder / "job")
    assert isinstance(ended, JobResult)
    assert ended.id == JOB.id
    assert ended.outcome is Outcome.SUCCESS or ended.reason
    assert written_only_below(folder)


@examples(60)
@given(data=st.data())
def test_sandboxes(folders: Any, data: st.DataObject) -> None:
    folder = folders()
    sandbox = data.draw(st.binary(max_size=2000) | damage(bz2.compress(archive([], {}))))
    ended = results.result_of(JOB, results.opened(sandbox, folder), PLACE, folder / "job")
    assert ended.outcome is Outcome.TEMPORARY_FAILURE
    assert written_only_below(folder)


@examples(60)
@given(data=st.data(), found=members, result=result_objects)
def test_report_lines(folders: Any, data: st.DataObject, found: Any, result: Any) -> None:
    folder = folders()
    line = base64.b64encode(data.draw(damage(gzip.compress(archive(found, result))))).decode()
    report = results.reported(data.draw(names) + f"\n{results.REPORT} SITE {line}\n", [JOB.id])
    if report is not None:
        assert results.result_of(JOB, report.contents, PLACE, folder / "job").id == JOB.id
    assert written_only_below(folder)


@examples(100)
@given(data=st.data(), value=values | result_objects)
def test_results(data: st.DataObject, value: Any) -> None:
    text = data.draw(damage(json.dumps(value).encode()))
    with contextlib.suppress(GridCWLError):
        result = accepted(result_from_json(text), JOB, ["/run/j1-7-1/"], sandbox=True)
        assert all(".." not in file.path.split("/") for file in result.files)
        assert all("/.." not in file.location for file in result.files)


@examples(100)
@given(data=st.data(), changes=st.dictionaries(st.sampled_from(sorted(to_plain(JOB))), values, max_size=3))
def test_jobs(data: st.DataObject, changes: dict[str, Any]) -> None:
    text = data.draw(damage(json.dumps({**to_plain(JOB), **changes}).encode()))
    with contextlib.suppress(GridCWLError):
        job = job_from_json(text)
        assert "/" not in job.id
        assert all(entry.target.startswith("/") and ".." not in entry.target.split("/") for entry in job.staged)


@examples(100)
@given(data=st.data(), value=values)
def test_output_objects(folders: Any, data: st.DataObject, value: Any) -> None:
    text = data.draw(damage(json.dumps({"o": value}).encode()))
    folder = folders()
    with contextlib.suppress(GridCWLError, json.JSONDecodeError, UnicodeDecodeError):
        read_output_object(text, "cwl.output.json")
        outputs = json.loads(text)
        check_outputs(outputs, "step")
        json.dumps(outputs, allow_nan=False, ensure_ascii=False).encode("utf-8", "surrogateescape")
    with contextlib.suppress(GridCWLError):
        literal = {"class": "Directory", "location": "_:1", "basename": "d", "listing": [value]}
        check_outputs(literal, "step")
        if not _names_a_file(literal):
            publish({"o": literal}, folder / "out", folder / "scratch", "run")
    assert written_only_below(folder / "out")


def _names_a_file(value: Any) -> bool:
    """Whether it names anything that is not a literal: such locations are compared with the inputs elsewhere."""
    if isinstance(value, list):
        return any(map(_names_a_file, value))
    if isinstance(value, dict):
        where = value.get("location", "_:") if value.get("class") in ("File", "Directory") else "_:"
        return not str(where).startswith("_:") or any(map(_names_a_file, value.values()))
    return False


@examples(100)
@given(value=values)
def test_input_objects(value: Any) -> None:
    entry = {"class": "File", **(value if isinstance(value, dict) else {"location": value})}
    with contextlib.suppress(GridCWLError):
        find_files({"f": entry, "value": value}, "/nowhere")


@examples(100)
@given(value=values, text=names)
def test_metadata(value: Any, text: str) -> None:
    for message in (
        text,
        json.dumps(value),
        json.dumps({"places": {"a:b": value}, "folders": [value], "basename": text}),
    ):
        with contextlib.suppress(GridCWLError):
            found = read_tree(message)
            assert all(".." not in path.split("/") for path in (*found.folders, *found.places.values()))
