"""The crate of a run with many jobs: time, size and peak memory.

    make bench BENCH=crate
    python benchmarks/crate/bench.py [--jobs 10000]

The journal of a scattered run is written, as the run would have, with a small output file for each job and a step that
reads them all. Then ``gridcwl export`` runs in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from results import note

from gridcwl.model import Image, Job, JobId, JobResult, Outcome, ProducedFile, RunId
from gridcwl.model.result import Usage
from gridcwl.runs.options import Options, to_plain
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.journal import Journal, row_id
from gridcwl.runs.record.recorder import Recorder
from gridcwl.runs.reuse.checksums import ChecksumCache
from gridcwl.runs.reuse.keys import describe

RUN = RunId("20261129-081500-1a2b3c")
FLOW = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "requirements": {"ScatterFeatureRequirement": {}},
    "inputs": {"numbers": "int[]"},
    "outputs": {"all": {"type": "File", "outputSource": "join/all"}},
    "steps": {
        "say": {"run": "say.cwl", "scatter": "number", "in": {"number": "numbers"}, "out": ["said"]},
        "join": {"run": "join.cwl", "in": {"parts": "say/said"}, "out": ["all"]},
    },
}
SAY = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "echo",
    "inputs": {"number": {"type": "int", "inputBinding": {}}},
    "outputs": {"said": "stdout"},
}
JOIN = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": "cat",
    "inputs": {"parts": {"type": "File[]", "inputBinding": {}}},
    "outputs": {"all": "stdout"},
}


def written(place: Path, name: str, text: str) -> tuple[dict[str, object], ProducedFile]:
    """An output file, as a binding and as a result have it."""
    path = place / name / "out.txt"
    path.parent.mkdir()
    path.write_text(text)
    sha1 = hashlib.sha1(text.encode()).hexdigest()
    file = {"class": "File", "location": path.as_uri(), "basename": "out.txt", "size": len(text)}
    return file | {"checksum": f"sha1${sha1}"}, ProducedFile("out.txt", "file", path.as_uri(), len(text), sha1)


def record(folder: Path, jobs: int) -> None:
    """The run's record."""
    for name, document in (("wf", FLOW), ("say", SAY), ("join", JOIN)):
        (folder / f"{name}.cwl").write_text(json.dumps(document))
    run = RunFolder(folder / "state" / "runs" / RUN)
    run.path.mkdir(parents=True)
    (run.path / "lock").touch()
    (folder / "files").mkdir()
    journal = Journal(run.journal, new=True)
    journal.begin(pid=os.getpid(), pid_started=0.0, host="here", version="0")
    inputs = {"numbers": list(range(jobs))}
    for name in ("wf", "say", "join"):
        journal.document(str(folder / f"{name}.cwl"), (folder / f"{name}.cwl").read_bytes())
    journal.describe(
        {"document": "wf.cwl", "words": [], "cwd": str(folder), "stdin": None, "inputs": inputs,
         "options": to_plain(Options("wf.cwl", outdir=folder)), "working": str(folder / "working")}
    )  # fmt: skip
    recorder = Recorder(RUN, journal, ChecksumCache(None, by_content=False))
    parts = []
    for number in range(jobs + 1):
        step = "say" if number < jobs else "join"
        name = f"say[{number}]" if number < jobs else "join"
        job = Job(JobId(f"{RUN}-1-{number + 1}"), RUN, name, ("echo", str(number)), Image("debian:trixie-slim"))
        file, produced = written(folder / "files", str(number), f"{number}\n")
        usage = Usage(
            "2026-11-29T08:15:00+00:00", 1.5, 1.0, 10.0, host="node", site="LCG.CNAF.it", batch_job=str(number)
        )
        result = JobResult(
            job.id, Outcome.SUCCESS, 0, files=(produced,), usage=usage, image="debian@sha256:" + "0" * 64
        )
        journal.add(row_id(1, number + 1), step, job, describe(job, {}, {}))
        journal.result(row_id(1, number + 1), 1, result, job.id)
        recorder.finished(job, result, {"number": number} if step == "say" else {"parts": parts},
                          {"said": file} if step == "say" else {"all": file})  # fmt: skip
        parts.append(file)
    recorder.evaluated("", "", "workflow", inputs, {"all": parts[-1]})
    journal.describe({"outputs": {"all": parts[-1]}})
    journal.end("success")
    journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as folder:
        record(Path(folder), jobs)
        begun = time.monotonic()
        words = ["-m", "gridcwl", "export", "--state-dir", f"{folder}/state", "last", f"{folder}/crate"]
        subprocess.run([sys.executable, *words], check=True)
        wall = time.monotonic() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        size = Path(folder, "crate", "ro-crate-metadata.json").stat().st_size
        cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
        print(f"{jobs} jobs: {wall:.1f} s, CPU {cpu:.1f} s, peak {peak:.0f} MB, metadata {size / 1e6:.1f} MB")
        note(f"crate of {jobs} jobs", wall_s=wall, cpu_s=cpu, peak_mib=peak, metadata_mb=size / 1e6)


if __name__ == "__main__":
    main()
