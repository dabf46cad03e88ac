"""Workflows through the testbed's real DIRAC and Rucio: every step a job at some site, the bytes never here."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from grid_site import jobs_at_dirac
from waiting import files_below, until

pytestmark = pytest.mark.timeout(600)

MIB = 1 << 20
SIZE = 12 * MIB

TWO_LEVELS = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, SubworkflowFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {letters: "string[]", size: int}
steps:
  make:
    scatter: letter
    in: {letter: letters, size: size}
    out: [data]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c]
      arguments: ['yes "$0" | head -c $1 > data.txt', $(inputs.letter), $(inputs.size)]
      inputs: {letter: string, size: int}
      outputs: {data: {type: File, outputBinding: {glob: data.txt}}}
  inner:
    scatter: data
    in: {data: make/data}
    out: [turned, skipped]
    run:
      class: Workflow
      inputs: {data: File}
      steps:
        turn:
          in: {data: data}
          out: [turned]
          run:
            class: CommandLineTool
            baseCommand: [tr, a-z, A-Z]
            stdin: $(inputs.data.path)
            stdout: turned.txt
            inputs: {data: File}
            outputs: {turned: stdout}
        never:
          when: $(inputs.data.size < 0)
          in: {data: turn/turned}
          out: [nothing]
          run:
            class: CommandLineTool
            baseCommand: "false"
            inputs: {data: File}
            outputs: {nothing: stdout}
      outputs:
        turned: {type: File, outputSource: turn/turned}
        skipped: {type: File?, outputSource: never/nothing}
  gather:
    in: {turned: inner/turned}
    out: [all]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {turned: {type: "File[]", inputBinding: {}}}
      outputs: {all: stdout}
      stdout: all.txt
outputs:
  all: {type: File, outputSource: gather/all}
  skipped: {type: {type: array, items: ["null", File]}, outputSource: inner/skipped}
"""

PLACEMENT = """
make: {sites: [LCG.Lyon.fr]}
inner/turn: {sites: [LCG.CNAF.it]}
gather: {sites: [LCG.Orsay.fr]}
"""


def test_every_step_is_one_job_its_inputs_come_from_other_sites_and_no_data_pass_the_client(grid, dirac_clients):
    grid.write("wf.cwl", TWO_LEVELS)
    grid.write("where.yml", PLACEMENT)
    grid.write("in.json", json.dumps({"letters": ["a", "b", "c"], "size": SIZE}))
    result = grid.gridcwl(
        "--backend", "dirac", "--store", "rucio", "--no-download", "--placement", "where.yml", "--outdir", "out",
        "wf.cwl", "in.json", counted=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    outputs = json.loads(result.stdout)
    assert outputs["skipped"] == [None, None, None]
    assert outputs["all"]["size"] == 3 * SIZE
    assert outputs["all"]["location"].startswith("rucio://")

    jobs = jobs_at_dirac(dirac_clients, grid.run).values()
    assert Counter((job["Status"], job["Site"]) for job in jobs) == {
        ("Done", "LCG.Lyon.fr"): 3,
        ("Done", "LCG.CNAF.it"): 3,
        ("Done", "LCG.Orsay.fr"): 1,
    }
    assert len({job["JobName"] for job in jobs}) == 7
    counted = int(re.findall(r"client bytes (\d+)", result.stderr)[0])
    moved = 3 * 3 * SIZE  # three steps made so many bytes, and two of them read as many
    assert counted < moved / 2, f"the client itself moved {counted} bytes"


def test_a_client_that_is_killed_finds_its_jobs_and_runs_none_twice(grid, dirac_clients):
    grid.write("wf.cwl", TWO_LEVELS)
    grid.write("in.json", json.dumps({"letters": ["a", "b", "c", "d"], "size": 10}))
    words = ["--backend", "dirac", "--store", "rucio", "--outdir", "out", "wf.cwl", "in.json"]
    client = subprocess.Popen(
        [sys.executable, "-m", "gridcwl", *words], cwd=grid.folder, env=grid.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    monitoring = dirac_clients.monitoring()
    while client.poll() is None:
        runs = grid.folder / "state" / "runs"
        if runs.is_dir() and any(runs.iterdir()) and len(monitoring.getJobs({"JobGroup": grid.run})["Value"]) >= 4:
            break
    client.kill()
    client.communicate()
    result = grid.gridcwl("resume", grid.run)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["all"]["size"] == 40
    assert (grid.folder / "out" / "all.txt").read_text() == "".join(f"{letter}\n" * 5 for letter in "ABCD")
    jobs = jobs_at_dirac(dirac_clients, grid.run)
    numbers = Counter(str(job["JobName"]) for job in jobs.values() if job["Status"] == "Done")
    assert len(numbers) == sum(numbers.values()) == 9


def test_a_run_that_was_only_submitted_continues_by_itself_and_can_be_cancelled(grid, dirac_clients):
    grid.write("wf.cwl", TWO_LEVELS)
    grid.write("in.json", json.dumps({"letters": ["a", "b"], "size": 10}))
    words = ["--backend", "dirac", "--store", "rucio", "--outdir", "out", "wf.cwl", "in.json"]
    result = grid.gridcwl("--submit-only", *words)
    assert result.returncode == 0, result.stderr
    assert "is detached, with" in result.stderr
    assert json.loads(grid.gridcwl("status", "--json", "last").stdout)["state"] == "detached"
    assert len(jobs_at_dirac(dirac_clients, grid.run)) == 2
    attached = grid.gridcwl("attach", "last")
    assert attached.returncode == 0, attached.stderr
    assert json.loads(attached.stdout)["all"]["size"] == 20
    assert len(jobs_at_dirac(dirac_clients, grid.run)) == 5

    endless = "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: [sleep, '600'], inputs: [], outputs: []}"
    grid.write("sleep.cwl", endless)
    assert grid.gridcwl("--submit-only", "--backend", "dirac", "--store", "rucio", "sleep.cwl").returncode == 0
    assert re.search(r"sleep\.cwl, attempt 1: DIRAC job \d+: \w+", grid.gridcwl("logs", "last").stdout)
    cancelled = grid.gridcwl("cancel", "last")
    assert cancelled.returncode == 0, cancelled.stderr
    # a pilot that has just taken the job hears of it later
    until(lambda: {job["Status"] for job in jobs_at_dirac(dirac_clients, grid.run).values()} <= {"Killed", "Failed"})
    assert len(jobs_at_dirac(dirac_clients, grid.run)) == 1


def test_a_failure_shows_the_tool_s_words_then_dirac_s(grid):
    grid.write(
        "fail.cwl",
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: [sh, -c, 'echo the reason >&2; exit 5'], "
        "inputs: [], outputs: []}",
    )
    result = grid.gridcwl("--backend", "dirac", "--store", "rucio", "fail.cwl")
    assert result.returncode == 1
    words = result.stderr.index("the reason")
    assert words < result.stderr.index("exit code 5") < result.stderr.index("DIRAC job")
    assert re.search(r"DIRAC job \d+: Failed, .* at LCG\.", result.stderr)
    assert "the reason" in grid.gridcwl("logs", "last").stdout


def test_credentials_are_nowhere_in_what_is_sent_or_kept(grid, dirac, dirac_clients):
    grid.write("wf.cwl", TWO_LEVELS)
    grid.write("in.json", json.dumps({"letters": ["a"], "size": 10}))
    begun = (grid.folder / "in.json").stat().st_mtime
    result = grid.gridcwl("--backend", "dirac", "--store", "rucio", "--debug", "--outdir", "out", "wf.cwl", "in.json")
    assert result.returncode == 0, result.stderr
    secrets = _secrets(Path(grid.environment["X509_USER_PROXY"]), Path(grid.environment["RUCIO_CONFIG"]))
    monitoring = dirac_clients.monitoring()
    sent = [monitoring.getJobJDL(number, True)["Value"] for number in jobs_at_dirac(dirac_clients, grid.run)]
    kept = [path.read_bytes() for path in (grid.folder / "state").rglob("*") if path.is_file()]
    store = Path(dirac.exports()["DIRAC_ROOT_PATH"]).parent / "server" / "sandboxes"
    # other tests leave sandboxes there, too, and one may be half written or go while it is read
    sandboxes = [content for path in files_below(store, "*.tar.bz2") for content in _members(path, begun)]
    assert len(sandboxes) > 3
    for secret in secrets:
        assert secret not in result.stderr
        assert not any(secret in text for text in sent)
        assert not any(secret.encode() in content for content in [*kept, *sandboxes])


def _secrets(proxy: Path, rucio: Path) -> list[str]:
    """Lines of the private key, and Rucio's password."""
    key = proxy.read_text().partition("PRIVATE KEY-----\n")[2].partition("-----END")[0].split()
    return [*key[1:4], *re.findall(r"^password\s*=\s*(\S+)", rucio.read_text(), re.MULTILINE)]


def _members(path: Path, since: float) -> list[bytes]:
    """All files of an archive, and of the archives in it; none of an older archive or of one that is gone."""
    found: list[bytes] = []

    def read() -> bool:
        found.clear()
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < since:
                return True
            try:
                with tarfile.open(path) as archive:
                    found.extend(content.read() for member in archive if (content := archive.extractfile(member)))
            except (tarfile.ReadError, EOFError):  # it is being written
                return False
        return True

    until(read)
    return [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in found]
