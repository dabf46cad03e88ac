"""The worker as a process that runs job after job for a client on the other end of a pipe.

A client that computes and workers that start processes are in each other's way in one Python process; and a client
that is killed cannot stop its tools. So bare commands are run here: once the client is gone, everything is stopped.

Each line on stdin is a JSON object: ``{"job": ..., "workdir": ..., "options": {...}}`` runs a job, and
``{"stop": ID, "reason": ...}`` stops one. Each line on stdout is a result. The first one may be
``{"slots": NUMBER, "folder": ...}``: how many jobs run at a time, and the folder that the process works in.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Dict, Tuple

from gridcwl.worker import record
from gridcwl.worker import result as results
from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import SUCCESS
from gridcwl.worker.job import run_job
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.recycle import Recycler, recycled_by

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
            line = self._line(request)
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

    def _line(self, request: Plain) -> bytes:
        job = request["job"]
        given = dict(request["options"])
        folder = given.pop("recycle", "")
        recycler = self._recyclers.setdefault(folder, Recycler(recycled_by(folder, os.getpid()))) if folder else None
        options = WorkerOptions(recycler=recycler, **given)
        control = self._controls[job["id"]]
        result = run_job(job, request["workdir"], self._engine, control, options=options)
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
