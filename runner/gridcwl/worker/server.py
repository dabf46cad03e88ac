"""The worker as a process that runs job after job for a client on the other end of a pipe.

A client that computes and workers that start processes are in each other's way in one Python process; and a client
that is killed cannot stop its tools. So bare commands are run here: once the client is gone, everything is stopped.

Each line on stdin is a JSON object: ``{"job": ..., "workdir": ..., "options": {...}}`` runs a job, and
``{"stop": ID, "reason": ...}`` stops one. Each line on stdout is a result. The first one may be
``{"slots": NUMBER, "folder": ...}``: how many jobs run at a time, and the folder that the process works in.

Further keys of a job, for clients whose jobs may be started again by somebody else, or run on other machines:

- ``"settings"``: of the site, for jobs in containers; without them there are only bare commands
- ``"witness"``: a file; see ``gridcwl.worker.witness``
- ``"carried"``: input files that came along, by their names in ``"files"``, a tar file. The answer is then
  ``{"id": ..., "outcome": ..., "archive": ...}``, with an archive of results as ``gridcwl.worker.batch`` makes it, in
  base64
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Dict, Tuple

from gridcwl.worker import record
from gridcwl.worker import result as results
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Engine, EngineError, Plain
from gridcwl.worker.failure import CANCELLED, SUCCESS, WorkerFailure
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.recycle import Recycler, recycled_by
from gridcwl.worker.removing import remove_tree

GONE = "The client that wanted this job is gone."


class JobServer:
    """Runs what is asked for, at most ``slots`` jobs at a time."""

    def __init__(self, slots: int, results: BinaryIO) -> None:
        self._pool = ThreadPoolExecutor(max_workers=slots)
        self._results = results
        self._writing = threading.Lock()
        self._controls: Dict[str, Control] = {}
        self._recyclers: Dict[str, Recycler] = {}
        self._not_kept: Dict[str, Tuple[Plain, str]] = {}
        self._engine = BareEngine()

    def serve(self, requests: BinaryIO) -> None:
        """Read requests until there are no more; then stop what runs, and wait for it."""
        with contextlib.suppress(OSError, ValueError):
            for line in requests:
                self._accept(json.loads(line))
        for control in list(self._controls.values()):
            control.stop(GONE)
        self._pool.shutdown(wait=True)
        ORPHANS.end_all()
        for result, workdir in self._not_kept.values():
            record.end(result, workdir)

    def _accept(self, request: Plain) -> None:
        for job_id in request.get("kept", ()):
            self._not_kept.pop(job_id, None)
        if "slots" in request:
            if request.get("folder"):
                os.chdir(request["folder"])
            self._pool = ThreadPoolExecutor(max_workers=request["slots"])
            return
        if "job" in request:
            self._controls[request["job"]["id"]] = Control()
            self._pool.submit(self._run, request)
            return
        control = self._controls.get(request.get("stop", ""))
        if control is not None:
            control.stop(request["reason"])

    def _run(self, request: Plain) -> None:
        """Run a job and send its result; whatever goes wrong, the client gets an answer or sees this process end."""
        job_id = request["job"]["id"]
        try:
            line = self._once(request) if "witness" in request else self._line(request)
        except Exception as error:  # noqa: BLE001  the last resort; MemoryError is one of them
            self._not_kept.pop(job_id, None)
            result = results.new(job_id, results.Clock().usage(None))
            result["reason"] = f"The worker itself failed: {type(error).__name__}: {error}."
            line = results.line_of(result)
        self._controls.pop(job_id, None)
        # Nobody reads any more where the client is gone, and that is what it is.
        with self._writing, contextlib.suppress(OSError):
            self._results.write(line)
            self._results.flush()

    def _once(self, request: Plain) -> bytes:
        """The answer of a job that somebody else may have run."""
        from gridcwl.worker.witness import run_once

        control = self._controls[request["job"]["id"]]
        make = self._archive if "carried" in request else self._finished

        def run() -> Tuple[bytes, bool]:
            # what was stopped has not been done: it may be started again
            return make(request), control.ending is None or control.ending.outcome != CANCELLED

        try:
            return run_once(request["witness"], request["workdir"], control, run)
        except WorkerFailure as failure:
            result = results.new(request["job"]["id"], results.Clock().usage(None))
            result["outcome"], result["reason"] = failure.outcome, failure.reason
            return results.line_of(result)

    def _archive(self, request: Plain) -> bytes:
        """Run a job of another machine; its logs and outputs are part of the answer."""
        from gridcwl.worker.batch import FILES, PartRunner

        job, folder = request["job"], request["workdir"]
        os.makedirs(folder, mode=0o700)
        if request["carried"]:
            shutil.move(request["files"], f"{folder}/{FILES}")
        part = {"jobs": [job], "processors": 1, "carried": request["carried"]}
        runner = PartRunner(
            part, request["settings"], folder, request["site"], request["room"], self._controls[job["id"]]
        )
        made, file = runner.execute(), io.BytesIO()
        runner.archive(made, file)
        remove_tree(folder)
        outcome = made[0]["outcome"]
        answer = {"id": job["id"], "outcome": outcome, "archive": base64.b64encode(file.getvalue()).decode("ascii")}
        return json.dumps(answer).encode("ascii") + b"\n"

    def _finished(self, request: Plain) -> bytes:
        line = self._line(request)
        self._not_kept.pop(request["job"]["id"], None)
        return line

    def _engine_of(self, request: Plain) -> Engine:
        if request["job"].get("image") is None or "settings" not in request:
            return self._engine
        from gridcwl.worker.site import engine_of, settings_of

        site = request.get("site", "")
        try:
            return engine_of(settings_of(request["settings"], site), site=site)
        except EngineError as error:
            from gridcwl.worker.batch import NoEngine

            return NoEngine(error)

    def _line(self, request: Plain) -> bytes:
        job = request["job"]
        given: Dict[str, Any] = dict(request["options"])
        folder = given.pop("recycle", "")
        recycler = self._recyclers.setdefault(folder, Recycler(recycled_by(folder, os.getpid()))) if folder else None
        options = WorkerOptions(recycler=recycler, **given)
        control = self._controls[job["id"]]
        result = run_job(job, request["workdir"], self._engine_of(request), control, options=options)
        if result["outcome"] == SUCCESS:
            self._not_kept[job["id"]] = (result, request["workdir"])
        return results.line_of(result)


def main() -> None:
    """Serve on stdin and stdout; the argument is the number of slots, unless the client sends it."""
    ORPHANS.own_process = True
    ORPHANS.watch()
    JobServer(int(sys.argv[1] if sys.argv[1:] else "1"), sys.stdout.buffer).serve(sys.stdin.buffer)
    sys.stderr.flush()
    os._exit(0)  # the client waits for the end, and to take the interpreter apart takes longer than many a job


if __name__ == "__main__":
    main()
