"""PartRunner of a batch of jobs on a worker node: ``python -m gridcwl.worker.batch 17``, in the folder of the sandbox.

``gridcwl-jobs.jsonl.gz`` has a line for each part, which is one job or several that share the node's cores. What came
of them goes into ``gridcwl-results.tar.gz``: for each job its result and the ends of its logs, and, where outputs have
nowhere else to go, the outputs. That file is always left, as long as this program can write at all. Where it is small,
it is the last line that is written, too: some batch systems keep the last lines of a job's output with its state, and
those of a thousand jobs are fetched in one call.

Exit codes: 0 when all jobs succeeded, 1 when one failed, 2 when there is no such part, 128 plus the number of the
signal that stopped it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import logging
import os
import shutil
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Dict, List, Mapping, Optional

from gridcwl.worker import result as results
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.command import stop_on_signals
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Call, Engine, EngineError, Plain, Running
from gridcwl.worker.failure import PERMANENT, SUCCESS
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.paths import file_path, file_url, inside

JOBS = "gridcwl-jobs.jsonl.gz"
SETTINGS = "gridcwl-sites.json"
FILES = "gridcwl-files.tar"
RESULTS = "gridcwl-results.tar.gz"
REPORT = "gridcwl-results"
"""How the line begins; the site and the archive, in base64, follow."""
IN_SANDBOX = "sandbox:"
"""How the location of an output begins that is in the results' archive."""

_LOG_HEAD, _LOG_TAIL = 64 * 1024, 192 * 1024  # bytes of a log that are kept
_MOST_REPORT = 6 * 1024  # bytes of an archive that is a line, too
_MOST_OUTPUT = 8 * 1024 * 1024  # bytes: output sandboxes of batch systems are small


def main(arguments: Optional[List[str]] = None) -> int:
    """Run the part that the command line names; returns the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    os.environ.pop("PYTHONPATH", None)  # it was for us, and is not for the tools
    logging.basicConfig(format="gridcwl-worker: %(levelname)s: %(message)s", stream=sys.stderr, level=logging.INFO)
    try:
        (span,) = words
        part = _part(span)
        site = os.environ.get("GRIDCWL_SITE", "")
        settings = _json(SETTINGS)
    except (OSError, ValueError) as error:
        print(f"gridcwl-worker: the part {' '.join(words)} of {JOBS} cannot be run: {error}", file=sys.stderr)
        return 2
    return PartRunner(part, settings, os.getcwd(), site).run()


class PartRunner:
    """The jobs of one part of a batch, run side by side."""

    def __init__(
        self,
        part: Plain,
        settings: Plain,
        folder: str,
        site: str,
        room: int = _MOST_OUTPUT,
        control: Optional[Control] = None,
    ) -> None:
        """Prepare.

        Args:
            part: a line of the jobs' file.
            settings: of all sites.
            folder: of the sandbox.
            site: where this machine is.
            room: bytes of outputs that the archive may hold.
            control: the stop button of a part of one job; None makes one for each job.
        """
        self._jobs: List[Plain] = part["jobs"]
        self._width = _width(part)
        self._carried: Dict[str, str] = part.get("carried") or {}
        self._settings = settings
        self._folder = folder
        self._site = site
        self._control = _Controls([control] if control else [Control() for _ in self._jobs])
        self._room = room

    def run(self) -> int:
        """Run all; leave the archive; returns the exit code."""
        stopped = stop_on_signals(self._control)
        if all(job.get("image") is None for job in self._jobs):
            ORPHANS.watch()
        made = self.execute()
        ORPHANS.end_all()
        with open(RESULTS, "wb") as file:
            self.archive(made, file)
        for job, result in zip(self._jobs, made):  # noqa: B905  Python 3.9
            if result["outcome"] != SUCCESS:
                print(f"gridcwl-worker: {job['name']}: {result['outcome']}: {result['reason']}", file=sys.stderr)
                sys.stderr.write(result["stderr_tail"])
        self._report()
        if stopped:
            return 128 + stopped[0]
        return 0 if all(result["outcome"] == SUCCESS for result in made) else 1

    def execute(self) -> List[Plain]:
        """Run all jobs; returns their results."""
        if self._carried:
            unpack(f"{self._folder}/{FILES}", self._folder)
        with ThreadPoolExecutor(max_workers=self._width) as pool:
            return list(pool.map(self._one, range(len(self._jobs))))

    def archive(self, made: List[Plain], file: IO[bytes]) -> None:
        """Write the archive of the results; changes what they say of files that are in it."""
        # dereference: else one of two hard links comes as a link, which nobody would follow
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6, dereference=True) as archive:
            for job, result in zip(self._jobs, made):  # noqa: B905  Python 3.9
                self._add(archive, job, result)

    def _report(self) -> None:
        if os.path.getsize(RESULTS) <= _MOST_REPORT:
            sys.stderr.flush()
            with open(RESULTS, "rb") as archive:
                # the only word of the line that is not ours
                print(REPORT, "".join(self._site.split()), base64.b64encode(archive.read()).decode("ascii"), flush=True)

    def _one(self, number: int) -> Plain:
        job = self._jobs[number]
        workdir = f"{self._folder}/gridcwl-{number}"
        settings = {**self._settings.get("*", {}), **self._settings.get(self._site, {})}
        options = WorkerOptions(
            base=self._folder,
            site=self._site,
            capabilities=tuple(settings.get("cap_add") or ()),
            processes=settings.get("pids_limit"),
        )
        try:
            return run_job(job, workdir, self._engine(job), self._control.of[number], options=options)
        except Exception as error:  # the last resort: without a result the client would wait for one
            logging.getLogger(__name__).exception("The worker failed at job %s", job["id"])
            failed = results.new(job["id"], results.Clock().usage(None))
            failed["reason"] = f"The worker itself failed: {type(error).__name__}: {error}."
            return failed

    def _engine(self, job: Plain) -> Engine:
        if job.get("image") is None:
            return BareEngine()
        from gridcwl.worker.site import engine_of, settings_of  # what a bare command can do without is not loaded

        try:
            return engine_of(settings_of(self._settings, self._site), site=self._site)
        except EngineError as error:
            return NoEngine(error)

    def _add(self, archive: tarfile.TarFile, job: Plain, result: Plain) -> None:
        name = str(job["id"])
        for stream in ("stdout", "stderr"):
            path = result[f"{stream}_log"]
            result[f"{stream}_log"] = None
            # Where the tool's stream is one of its outputs, it is data, and goes where data go.
            if path and os.path.basename(path) == f"{stream}.log" and (ends := _ends(path)):
                result[f"{stream}_log"] = f"{stream}.log"
                _put(archive, f"{name}/{stream}.log", ends)
        if job.get("storage") is None and result["outcome"] == SUCCESS:
            self._take_outputs(archive, name, result)
        _put(archive, f"{name}/result.json", results.line_of(result))

    def _take_outputs(self, archive: tarfile.TarFile, name: str, result: Plain) -> None:
        result["outdir"] = IN_SANDBOX if result["outdir"] else ""
        size = sum(entry["size"] for entry in result["files"])
        if size > self._room:
            result["outcome"], result["files"] = PERMANENT, []
            result["reason"] = (
                f"The outputs have {size} bytes, more than the output sandbox holds ({self._room} bytes); "
                "choose a store for them, with --store."
            )
            return
        self._room -= size
        for entry in result["files"]:
            location = entry["location"]
            origin = self._origin(location)
            if origin is not None:
                entry["location"] = origin
            elif location.startswith(file_url(self._folder) + "/"):
                path = file_path(location)
                entry["location"] = IN_SANDBOX + entry["path"]
                if entry["kind"] == "file" or not os.listdir(path):
                    archive.add(os.path.realpath(path), f"{name}/out/{entry['path']}", recursive=False)

    def _origin(self, location: str) -> Optional[str]:
        """What an input that came along in the sandbox was called where it came from."""
        for path, url in self._carried.items():
            here = file_url(f"{self._folder}/{path}")
            if location == here or location.startswith(here + "/"):
                return url + location[len(here) :]
        return None


class NoEngine:
    """Stands for an engine that is not there; says so for each job that wants it."""

    name = "none"
    containers = True

    def __init__(self, error: EngineError) -> None:
        self._error = error

    def prepare(self, image: Mapping[str, Any]) -> str:  # noqa: ARG002
        """See ``Engine.prepare``."""
        raise self._error

    def digest(self, prepared: str) -> str:  # noqa: ARG002
        """See ``Engine.digest``."""
        return ""

    def start(self, call: Call) -> Running:  # noqa: ARG002
        """See ``Engine.start``."""
        raise self._error


class _Controls:
    """The stop buttons of all jobs as one."""

    def __init__(self, controls: List[Control]) -> None:
        self.of = controls

    def stop(self, reason: str) -> None:
        for control in self.of:
            control.stop(reason)

    def kill(self, reason: str) -> None:
        for control in self.of:
            control.kill(reason)


def _width(part: Plain) -> int:
    """How many jobs run at a time: as many as the processors of the batch job allow."""
    cores = max(job.get("resources", {}).get("cores", 1) for job in part["jobs"])
    given = os.environ.get("GRIDCWL_PROCESSORS", "")
    processors = int(given) if given.isdigit() else int(part.get("processors", 1))
    return max(1, int(processors // max(cores, 1)))


def _part(span: str) -> Plain:
    """The line of the jobs' file that describes this part."""
    beginning = json.dumps({"span": span})[:-1] + ","
    with gzip.open(JOBS, "rt", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(beginning):
                part: Plain = json.loads(line)
                return part
    raise ValueError("there is no such part")


def _json(path: str) -> Plain:
    with open(path, encoding="utf-8") as file:
        value: Plain = json.load(file)
    return value


def _ends(path: str) -> bytes:
    """The beginning and the end of a log, all of it where it is short."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if size <= _LOG_HEAD + _LOG_TAIL:
                return file.read()
            head = file.read(_LOG_HEAD)
            file.seek(size - _LOG_TAIL)
            left_out = size - _LOG_HEAD - _LOG_TAIL
            return head + f"\n... {left_out} bytes left out ...\n".encode() + file.read(_LOG_TAIL)
    except OSError:
        return b""


def unpack(name: str, folder: str) -> None:
    """Input files that came along, with the links in their folders; nothing is written through a link.

    Raises:
        Refused: a member's name leads out of the folder.
    """
    with tarfile.open(name) as archive:
        for member in archive:
            target = inside(folder, member.name)
            os.makedirs(target if member.isdir() else os.path.dirname(target), exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, target)
            elif member.isreg() or member.islnk():
                content = archive.extractfile(member)
                if content is not None:
                    with content, open(target, "wb") as file:
                        shutil.copyfileobj(content, file)
                    os.chmod(target, member.mode & 0o777)


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    ORPHANS.own_process = True
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
