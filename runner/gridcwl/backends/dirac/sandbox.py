"""What travels with a batch of jobs: the worker, a start script, and the jobs' descriptions in one compressed file."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gridcwl.backends.batch.packing import BatchPart
from gridcwl.backends.dirac import jdl
from gridcwl.errors import UnsupportedError
from gridcwl.model import Job, paths
from gridcwl.model.codec import to_plain
from gridcwl.worker.zipapp import NAME as WORKER
from gridcwl.worker.zipapp import worker_zipapp

JOBS = "gridcwl-jobs.jsonl.gz"
SETTINGS = "gridcwl-sites.json"
FILES = "gridcwl-files.tar"

_MOST = 8 * 1024 * 1024
"""Bytes of descriptions, compressed: DIRAC's sandboxes hold 10 MiB unless configured otherwise."""
_MOST_FILES = 6 * 1024 * 1024
"""Bytes of input files that go along where no store carries them."""


@dataclass(slots=True)
class _Files:
    """Input files that go along, where no store carries them."""

    archive: tarfile.TarFile
    names: dict[str, str] = field(default_factory=dict)
    size: int = 0

    def add(self, path: Path, job: Job) -> str:
        name = self.names.get(str(path))
        if name is not None:
            return name
        name = self.names[str(path)] = f"gridcwl-files/{len(self.names)}/{path.name}"
        if not path.exists():
            return name  # the worker says so
        self.archive.add(path.resolve(), name)
        self.size = self.archive.offset
        if self.size > _MOST_FILES:
            raise UnsupportedError(
                f"{job.name} reads {path}, and with it more than {_MOST_FILES >> 20} MiB would travel in DIRAC's "
                "input sandbox",
                remedy="Choose a store that carries files to the sites, with --store; gridcwl --help lists them.",
            )
        return name


def write(folder: Path, parts: Sequence[BatchPart], sites: Mapping[str, Any]) -> tuple[list[Path], int]:
    """Write the files of a sandbox into a folder.

    Returns the files, and how many of the parts they hold: no more than there is room for, but at least one.

    Raises:
        UnsupportedError: a single job is too large for a sandbox.
        OSError: there is no room here.
    """
    files = [folder / name for name in (jdl.START, WORKER, SETTINGS, JOBS)]
    shutil.copyfile(Path(__file__).with_name("start.sh"), files[0])
    files[0].chmod(0o755)
    shutil.copyfile(worker_zipapp(), files[1])
    files[2].write_text(json.dumps(sites), encoding="utf-8")
    with tarfile.open(folder / FILES, "w") as archive, files[3].open("wb") as raw:
        carried = _Files(archive)
        held = _write_parts(raw, parts, carried)
    if carried.names:
        files.append(folder / FILES)
    return files, held


def _write_parts(raw: IO[bytes], parts: Sequence[BatchPart], carried: _Files) -> int:
    # The same time in the header: the same jobs are the same sandbox, which DIRAC then keeps once.
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as stream:
        for number, part in enumerate(parts):
            stream.write(_line(part, carried))
            if raw.tell() > _MOST:
                if number == 0:
                    raise UnsupportedError(
                        f"The description of {part.jobs[0].name} is larger than DIRAC's input sandbox",
                        remedy="Its literal inputs are very large: give them as files, or choose a store that carries "
                        "them, with --store.",
                    )
                return number + 1
    return len(parts)


def _line(part: BatchPart, carried: _Files) -> bytes:
    origins: dict[str, str] = {}
    jobs = [_along(to_plain(job), job, carried, origins) if job.storage is None else to_plain(job) for job in part.jobs]
    line: dict[str, Any] = {"span": part.span, "processors": part.processors, "jobs": jobs}
    if origins:
        line["carried"] = origins
    return json.dumps(line, ensure_ascii=True).encode("ascii") + b"\n"


def _along(plain: dict[str, Any], job: Job, carried: _Files, origins: dict[str, str]) -> dict[str, Any]:
    """The job with its local files taken along in the sandbox."""
    for entry in plain["staged"]:
        sources = []
        for source in entry["sources"]:
            if not source.startswith("file://"):
                sources.append(source)
                continue
            path = paths.file_path(source, f"The location of an input of {job.name}")
            name = carried.add(Path(path), job)
            origins[name] = source
            sources.append(name)
        entry["sources"] = sources
    return plain
