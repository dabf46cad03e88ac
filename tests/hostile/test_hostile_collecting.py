"""What a tool leaves is read up to a limit, and rights are taken from it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from gridcwl.worker import collect, tree
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.job import run_job


def run(folder: Path, script: str, **outputs) -> dict:
    job = {"id": "job-1", "run": "run", "name": "step", "command": ["sh", "-c", script], "outputs": outputs}
    return run_job(job, str(folder / "job"), BareEngine(), Control())


def test_an_output_object_that_is_too_large_is_refused_and_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "OUTPUT_OBJECT_BYTES", 1 << 20)

    result = run(tmp_path, "truncate -s 1G cwl.output.json")

    assert (result["outcome"], result["files"]) == ("permanent-failure", [])
    assert result["reason"] == "The tool's cwl.output.json is larger than 1 MiB, the most that is read."


def test_an_output_object_that_is_nested_too_deeply_is_refused(tmp_path):
    result = run(tmp_path, """head -c 100000 /dev/zero | tr '\\0' '[' > cwl.output.json""")
    assert result["reason"] == "The tool's cwl.output.json is nested too deeply."


@pytest.mark.parametrize("globs", [None, ["*"], ["**"], ["d", "e"]])
def test_more_outputs_than_a_result_can_list_are_refused(tmp_path, monkeypatch, globs):
    monkeypatch.setattr(collect, "RESULT_FILES", 10)

    result = run(tmp_path, "mkdir d e; touch d/1 d/2 d/3 d/4 d/5 d/6; cp d/* e", globs=globs)

    assert result["reason"] == "The tool left more than 10 outputs, files and directories together."


def test_a_directory_with_too_many_entries_is_not_listed_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "RESULT_FILES", 10)
    result = run(tmp_path, "mkdir d; touch d/1 d/2 d/3 d/4 d/5 d/6 d/7 d/8 d/9 d/10 d/11", globs=["d/*.none"])
    assert result["reason"] == "d has more than 10 entries."


def test_links_that_lead_out_are_not_counted_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "_MAX_LINKED", 5)
    result = run(tmp_path, "for n in 1 2 3 4 5 6; do ln -s /etc/passwd $n; done", globs=["*"])
    assert result["reason"] == "More than 5 symbolic links lead out of the output directory."


@pytest.mark.parametrize("mode", ["4755", "2755", "6755"])
def test_outputs_lose_setuid_and_setgid_bits(tmp_path, mode):
    result = run(tmp_path, f"mkdir d; cp /bin/true program; cp /bin/true d/inner; chmod {mode} program d/inner")

    assert result["outcome"] == "success"
    for path in (tmp_path / "job/out/program", tmp_path / "job/out/d/inner"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_a_setuid_output_of_another_user_is_refused(tmp_path, monkeypatch):
    def foreign(_path, _mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(collect.os, "chmod", foreign)
    result = run(tmp_path, "cp /bin/true program; chmod 4755 program")
    assert "setuid or setgid bits" in result["reason"]


def test_an_input_that_passes_through_keeps_its_mode(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"x")
    program.chmod(0o4755)
    staged = {"target": "/gridcwl/in/program", "kind": "file", "sources": [str(program)]}
    job = {"id": "j", "run": "r", "name": "s", "command": ["ln", "-s", "/gridcwl/in/program", "p"], "staged": [staged]}

    result = run_job(job, str(tmp_path / "job"), BareEngine(), Control())

    assert json.dumps(result["files"]).count(program.as_uri()) == 1
    assert stat.S_IMODE(os.stat(program).st_mode) == 0o4755  # noqa: PTH116
