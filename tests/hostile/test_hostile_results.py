"""What a worker node sends back: it may claim its own job, its own files, its own uploads and its own inputs."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import os
import tarfile
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridcwl.backends.dirac import jdl, results
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.errors import ResultError, UnsafePath
from gridcwl.model import (
    Job,
    JobId,
    JobResult,
    Outcome,
    ProducedFile,
    RunId,
    StagedFile,
    Storage,
    StorageElement,
    limits,
)
from gridcwl.model.acceptance import accepted
from gridcwl.runs.record.journal import Journal
from gridcwl.worker import batch
from gridcwl.worker.paths import RefusedPath

JOB = Job(
    JobId("j1-7"), RunId("r"), "step", ("true",),
    staged=(
        StagedFile("/gridcwl/in/a", "file", ("file:///data/a.txt",)),
        StagedFile("/gridcwl/in/d", "directory", ("file:///data/d",)),
        StagedFile("/gridcwl/in/r", "file", ("https://se.example/r",), location="rucio://cta/r"),
    ),
)  # fmt: skip
STORED = replace(
    JOB, storage=Storage("user.me", "run.step.j1-7-1.", (StorageElement("SE", ("https://se/",)),), "rucio")
)
PLACE = JobStatus(42, "Done", "Execution Complete", "Unknown", "LCG.Lyon.fr")


def tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                made.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def a_file(path: str, data: bytes = b"", **changes: Any) -> dict[str, Any]:
    sums = {"size": len(data), "sha1": hashlib.sha1(data).hexdigest(), "adler32": f"{zlib.adler32(data):08x}"}
    return {"path": path, "kind": "file", "location": f"sandbox:{path}", **sums, **changes}


def a_result(*files: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({"id": JOB.id, "outcome": "success", "files": files, "outdir": "sandbox:", **changes}).encode()


def came_back(folder: Path, inner: bytes | dict[str, Any], job: Job = JOB) -> JobResult:
    """What gridcwl makes of a results archive."""
    inner = inner if isinstance(inner, bytes) else tar(inner)
    return results.result_of(job, results.opened(tar({jdl.RESULTS: inner}, "w:bz2"), folder), PLACE, folder / "job")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_honest_archive_is_accepted(tmp_path: Path) -> None:
    files = [a_file("a/b.txt", b"hello"), {"path": "empty", "kind": "directory", "location": "sandbox:empty"}]
    folder = tarfile.TarInfo(f"{JOB.id}/out/empty")
    folder.type = tarfile.DIRTYPE
    content = {
        f"{JOB.id}/out/a/b.txt": b"hello",
        "folder": folder,
        f"{JOB.id}/stderr.log": b"words\n",
        f"{JOB.id}/result.json": a_result(*files),
    }
    result = came_back(tmp_path, content)
    assert result.outcome is Outcome.SUCCESS, result.reason
    assert [file.location for file in result.files] == [
        f"file://{tmp_path}/job/out/a/b.txt",
        f"file://{tmp_path}/job/out/empty",
    ]
    assert files_in(tmp_path) == {"job/out/a/b.txt": b"hello", "job/stderr.log": b"words\n"}
    assert (tmp_path / "job/out/empty").is_dir()


@pytest.mark.parametrize("name", ["{}/out//{}", "{}/out/../../../evil", "/{}", "../evil", "{}/out/./evil"])
def test_a_member_that_would_be_written_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    member = name.format(JOB.id, victim)
    result = came_back(tmp_path / "deep/run", {member: b"pwned", f"{JOB.id}/result.json": a_result()})
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert files_in(tmp_path) == {"victim": b"mine"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../victim", "a/../../victim", "", ".", "a\0"])
def test_a_path_of_a_result_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result(a_file(path))})
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "The job's result was not accepted. The path of an output is refused" in result.reason
    assert result.files == ()
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd", "sandbox:/etc/passwd", "sandbox:../../secret", "sandbox:other", "https://evil/x", "",
        "file:///data/d/../secret", "file:///data/d/%2e%2e/secret", "file:///data/a.txt.other", "rucio://cta/other",
        "rucio://user.me/run.step.j1-7-1.a", "file:///data/dd", "_:x", "sandbox:",
    ],
)  # fmt: skip
def test_a_result_may_not_claim_what_is_not_its_own(tmp_path: Path, location: str) -> None:
    content = {f"{JOB.id}/out/a": b"x", f"{JOB.id}/result.json": a_result(a_file("a", b"x", location=location))}
    result = came_back(tmp_path, content)
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "The job's result was not accepted." in result.reason
    assert result.files == ()


@pytest.mark.parametrize(
    "location", ["file:///data/a.txt", "file:///data/d/x%20y", "rucio://cta/r", "https://se.example/r"]
)
def test_a_result_may_name_its_inputs_but_not_say_what_they_are(tmp_path: Path, location: str) -> None:
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result(a_file("a", b"x", location=location))})
    assert result.outcome is Outcome.SUCCESS, result.reason
    assert (result.files[0].location, result.files[0].sha1, result.files[0].adler32) == (location, None, None)


@pytest.mark.parametrize(
    ("location", "element"),
    [
        ("rucio://user.me/other.step.j1-7-1.a", "SE"), ("rucio://other/run.step.j1-7-1.a", "SE"),
        ("rucio://user.me/run.step.j1-7-2.a", "SE"), ("rucio://user.me/run.step.j1-7-1.a", "OTHER"),
        ("s3://user.me/run.step.j1-7-1.a", "SE"),
        ("rucio://user.me/run.step.j1-7-1.a", ""), ("rucio://user.me/run.step.j1-7-1./../x", "SE"), ("sandbox:a", "SE"),
    ],
)  # fmt: skip
def test_an_upload_has_the_scope_prefix_and_attempt_of_its_job(tmp_path: Path, location: str, element: str) -> None:
    text = a_result(a_file("a", b"x", location=location), element=element, outdir="")
    result = came_back(tmp_path, {f"{STORED.id}/result.json": text, f"{STORED.id}/out/a": b"x"}, STORED)
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize(
    "sums", [{"adler32": "0x12345"}, {"adler32": "12AB34CD"}, {"sha1": "0" * 39}, {"sha1": "\x1b"}]
)
def test_the_checksums_of_an_upload_are_checksums(tmp_path: Path, sums: dict[str, str]) -> None:
    listed = a_file("a", b"x", location="rucio://user.me/run.step.j1-7-1.a", **sums)
    text = a_result(listed, element="SE", outdir="")
    result = came_back(tmp_path, {f"{STORED.id}/result.json": text}, STORED)
    assert "has a checksum that is none" in result.reason


def test_a_job_s_own_upload_is_accepted(tmp_path: Path) -> None:
    location = "rucio://user.me/run.step.j1-7-1.a"
    text = a_result(a_file("a", b"x", location=location), element="SE", outdir="rucio://user.me/run.step.j1-7-1")
    result = came_back(tmp_path, {f"{STORED.id}/result.json": text}, STORED)
    assert result.outcome is Outcome.SUCCESS, result.reason


@pytest.mark.parametrize("outdir", ["file:///etc", "sandbox:x", "rucio://user.me/other", "file:///data/d"])
def test_an_output_directory_is_the_job_s_own(tmp_path: Path, outdir: str) -> None:
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result(outdir=outdir)})
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "output directory" in result.reason


@pytest.mark.parametrize(
    "changes",
    [{"size": 2}, {"sha1": "0" * 40}, {"adler32": "00000000"}, {"size": -1}, {"path": "b", "location": "sandbox:b"}],
)
def test_sizes_and_checksums_have_to_agree_with_the_bytes(tmp_path: Path, changes: dict[str, Any]) -> None:
    listed = {**a_file("a", b"x"), **changes}
    result = came_back(tmp_path, {f"{JOB.id}/out/a": b"x", f"{JOB.id}/result.json": a_result(listed)})
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "results archive" in result.reason


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive_are_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo(f"{JOB.id}/out/a")
    member.type, member.linkname = kind, "/etc/passwd"
    content = {"link": member, f"{JOB.id}/result.json": a_result(a_file("a"))}
    result = came_back(tmp_path, content)
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "is not a plain file" in result.reason
    assert files_in(tmp_path) == {}


def test_a_file_that_is_listed_below_another_is_refused(tmp_path: Path) -> None:
    content = {
        f"{JOB.id}/out/a": b"x",
        f"{JOB.id}/out/a/b": b"x",
        f"{JOB.id}/result.json": a_result(a_file("a", b"x"), a_file("a/b", b"x")),
    }
    result = came_back(tmp_path, content)
    assert "listed twice, or is below another file" in result.reason


# -- limits ------------------------------------------------------------------------------------------------------------


def zeros(size: int, pack: Any) -> bytes:
    """An archive of one file of zeros, made without holding them."""
    member = tarfile.TarInfo("j1-7/out/bomb")
    member.size = size
    chunk, left = bytes(1 << 20), size
    packed = [pack.compress(member.tobuf())]
    while left > 0:
        packed.append(pack.compress(chunk[:left]))
        left -= len(chunk)
    return b"".join([*packed, pack.flush()])


@pytest.mark.parametrize("pack", [lambda: zlib.compressobj(1, wbits=31), lambda: bz2.BZ2Compressor(1)])
def test_an_archive_that_unpacks_to_far_more_than_it_is_fails_the_job_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_BYTES", 24 * limits.MIB)
    inner = zeros(40 * limits.MIB, pack())
    tracemalloc.start()
    result = came_back(tmp_path, inner)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "The results archive is refused: it has more than 25,165,824 bytes when it is unpacked" in result.reason
    assert peak < 16 * limits.MIB
    assert files_in(tmp_path) == {}


def test_a_member_that_is_too_large_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_MEMBER_BYTES", 1000)
    result = came_back(tmp_path, {f"{JOB.id}/out/a": bytes(1001), f"{JOB.id}/result.json": a_result()})
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "its member 'j1-7/out/a' is refused: it has more than 1,000 bytes" in result.reason


def test_too_many_members_fail_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_MEMBERS", 10)
    result = came_back(tmp_path, {f"{JOB.id}/out/{number}": b"" for number in range(11)})
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "more than 10 members" in result.reason


def test_a_sandbox_that_is_too_large_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SANDBOX_BYTES", 10)
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result()})
    assert "The output sandbox is refused: it has more than 10 bytes" in result.reason


def test_a_header_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 100 * limits.MIB
    result = came_back(tmp_path, gzip.compress(header.tobuf() + bytes(2 * limits.MIB)))
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "a header is refused" in result.reason


@pytest.mark.parametrize("size", [b"\xff" * 12, b"-0000000512\0", b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_a_header_with_an_impossible_size_ends_as_a_failure(tmp_path: Path, size: bytes) -> None:
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    result = came_back(tmp_path, bytes(header) + bytes(2048))
    assert result.outcome in (Outcome.TEMPORARY_FAILURE, Outcome.PERMANENT_FAILURE)


def test_a_result_that_is_nested_deeply_fails_its_job(tmp_path: Path) -> None:
    text = b'{"id": "j1-7", "outcome": "success", "files": ' + b"[" * 90_000
    result = came_back(tmp_path, {f"{JOB.id}/result.json": text})
    assert result.outcome is Outcome.PERMANENT_FAILURE
    assert "levels of nested lists" in result.reason


def test_a_report_line_that_unpacks_to_too_much_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    line = base64.b64encode(zeros(20 * limits.MIB, zlib.compressobj(9, wbits=31))).decode()
    tracemalloc.start()
    assert results.reported(f"{results.REPORT} SITE {line}", [JOB.id]) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * limits.MIB
    monkeypatch.setattr(limits, "REPORT_TEXT", 10)
    text = base64.b64encode(tar({f"{JOB.id}/result.json": a_result()})).decode()
    assert results.reported(f"{results.REPORT} SITE {text}", [JOB.id]) is None


# -- this machine ------------------------------------------------------------------------------------------------------


def local(location: str, **changes: Any) -> JobResult:
    return JobResult(JOB.id, Outcome.SUCCESS, files=(ProducedFile("a", "file", location),), **changes)


ROOTS = ["/run/j1-7-1/", "/run/shelf/j1-7-1."]


def test_a_worker_process_may_name_files_of_its_own_job() -> None:
    for place in ("/run/j1-7-1/out/a", "/run/shelf/j1-7-1.0", "/data/a.txt", "/data/d/x"):
        assert accepted(local(f"file://{place}"), JOB, ROOTS).files[0].location == f"file://{place}"
    assert accepted(local("file:///run/j1-7-1/out/a", outdir="file:///run/j1-7-1/out"), JOB, ROOTS)


@pytest.mark.parametrize(
    "result",
    [
        local("file:///run/j1-8-1/out/a"), local("file:///run/j1-7-1/../secret"), local("file:///run/j1-7-1/%2e%2e/x"),
        local("file:///etc/passwd"), local("sandbox:a"), local("rucio://a/b"), local("file:///run/j1-7-1/a%2fb"),
        local("file:///data/a.txt", outdir="file:///etc"), local("file:///data/a.txt", stdout_log="/etc/passwd"),
        local("file:///data/a.txt", stderr_log="/run/j1-7-1/../x"), replace(local("file:///data/a.txt"), id=JobId("b")),
    ],
)  # fmt: skip
def test_a_worker_process_may_not_name_anything_else(result: JobResult) -> None:
    with pytest.raises((ResultError, UnsafePath)):
        accepted(result, JOB, ROOTS)


# -- on the node -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "link/evil", "a/../../evil"])
def test_input_files_that_came_along_stay_in_the_job_s_folder(tmp_path: Path, name: str) -> None:
    folder, link = tmp_path / "job", tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
    folder.mkdir()
    (tmp_path / "files.tar").write_bytes(tar({"link": link, name: b"pwned"}, "w"))
    with pytest.raises(RefusedPath):
        batch.unpack(str(tmp_path / "files.tar"), str(folder))
    assert set(files_in(tmp_path)) - {"job/link/files.tar"} == {"files.tar"}


def test_input_files_that_came_along_keep_their_links_and_modes(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "job"
    source.mkdir(), folder.mkdir()
    (source / "run").write_text("#!/bin/sh")
    (source / "run").chmod(0o755)
    (source / "same").hardlink_to(source / "run")
    (source / "link").symlink_to("run")
    with tarfile.open(tmp_path / "files.tar", "w") as made:
        made.add(source, "gridcwl-files/0/source")
    batch.unpack(str(tmp_path / "files.tar"), str(folder))
    there = folder / "gridcwl-files/0/source"
    assert [(there / name).read_text() for name in ("run", "same", "link")] == ["#!/bin/sh"] * 3
    assert (there / "link").is_symlink()
    assert os.access(there / "run", os.X_OK)


@pytest.mark.parametrize(
    "changes", [{"exit_code": 10**400}, {"exit_code": -(2**63) - 1}, {"files": [a_file("a", size=2**63)]},
                {"files": [a_file("a", size=-1, location="file:///data/a.txt")]}],
)  # fmt: skip
def test_a_number_that_no_journal_can_hold_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result(**changes)})
    assert result.outcome is Outcome.TEMPORARY_FAILURE
    assert "has an impossible" in result.reason


def test_what_a_node_reports_can_be_written_and_is_not_endless(tmp_path: Path) -> None:
    text = {
        "outcome": "permanent-failure",
        "reason": "a\ud800" + "b" * 10**6,
        "stderr_tail": "\udcff",
        "left": ["x"] * 10**5,
    }
    result = came_back(tmp_path, {f"{JOB.id}/result.json": a_result(**text)})
    assert len(result.reason) < 2 * limits.TEXT_CHARACTERS
    assert result.reason.startswith("a\\ud800b")
    assert result.stderr_tail == "\\udcff"
    assert len(result.left) < 30
    journal = Journal(tmp_path / "journal.db", new=True)
    journal.begin(pid=1, pid_started=0.0, host="", version="")
    journal.result(1, 1, result, "folder")
    journal.close()
