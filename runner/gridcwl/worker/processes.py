"""Several processes of one job, one after the other: each in a container of its own, all with the same folders.

What one has left, the next one finds. Streams may be files in these folders: before such a file is opened here, it is
made sure that no earlier process has put a link in its way.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from typing import Callable, List, Optional

from gridcwl.worker.calls import limits_of, refuse_bytes, refuse_unsayable
from gridcwl.worker.engine import Call, Engine, Exit, Plain
from gridcwl.worker.failure import WorkerFailure, printable
from gridcwl.worker.layout import Layout
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.paths import below
from gridcwl.worker.result import tail, timestamp
from gridcwl.worker.stage import Staging

Run = Callable[[Call, Engine, Optional[float]], Exit]
"""Runs a call to its end, or for so many seconds."""


class Processes:
    """The processes of one job."""

    def __init__(self, job: Plain, layout: Layout, staging: Staging, run: Run, options: WorkerOptions) -> None:
        self._job = job
        self._layout = layout
        self._staging = staging
        self._run = run
        self._limits = limits_of(job, options)
        self._inputs = set(staging.inputs)
        self._logs = {name: f"{layout.workdir}/{name}.log" for name in ("stdout", "stderr")}

    def run(self, engine: Engine, result: Plain) -> Exit:
        """Run them until one fails; how the last one ended, with what all of them have used.

        Raises:
            Failure: a stream cannot be opened, or the job is to end.
            EngineError: an image or a container is unavailable.
        """
        if not engine.containers:
            raise WorkerFailure("A job with several processes runs in containers only.")
        limit = self._job["resources"]["time_limit_s"]
        begun = time.monotonic()
        result["stdout_log"], result["stderr_log"] = self._logs["stdout"], self._logs["stderr"]
        for log in self._logs.values():
            open(log, "wb").close()
        ended: List[Exit] = []
        for number, process in enumerate(self._job["processes"]):
            call = self._call(number, process, engine)
            if not number and call.image is not None:
                result["image"] = engine.digest(call.image)
            left = max(0.001, limit - (time.monotonic() - begun)) if limit else None
            started = timestamp(time.time())
            try:
                ended.append(self._run(call, engine, left))
            finally:
                said = self._keep(call)
            last = ended[-1]
            entry = {"exit_code": last.code, "started": started, "ended": timestamp(time.time())}
            result["processes"].append({**entry, **said})
            if last.code and not process["ignore_failure"]:
                break
            ended[-1] = dataclasses.replace(last, code=0)
        return _together(ended)

    def _call(self, number: int, process: Plain, engine: Engine) -> Call:
        refuse_unsayable(process)
        refuse_bytes([*process["command"], *(mount.target for mount in self._staging.mounts)])
        layout = self._layout
        home = {"HOME": layout.seen_tmp, "TMPDIR": layout.seen_tmp}
        return Call(
            name=f"gridcwl-{self._job['id']}-{self._job['attempt']}-{number}",
            argv=tuple(process["command"]),
            environment={**home, **process["environment"]},
            workdir=process["workdir"] or "",
            stdout=self._stream(process["stdout"], f"stdout-{number}"),
            stderr=self._stream(process["stderr"], f"stderr-{number}"),
            stdin=None if process["stdin"] is None else self._stdin(process["stdin"]),
            image=engine.prepare(process["image"]),
            mounts=tuple(self._staging.mounts),
            **self._limits,
        )

    def _stream(self, seen: Optional[str], log: str) -> str:
        """Where a stream is written: a file of the job's folders, or a log."""
        if seen is None:
            return f"{self._layout.workdir}/{log}.log"
        host = self._staging.host(seen)
        if host is None or seen in self._inputs or seen in self._staging.folders or not self._is_own(host):
            raise WorkerFailure(
                f"A stream cannot be written to {printable(seen)}, which is no file of the job's folders."
            )
        os.makedirs(os.path.dirname(host), exist_ok=True)
        if os.path.isdir(host):
            raise WorkerFailure(f"A stream cannot be written to {printable(seen)}, which is a directory.")
        if os.path.exists(host) and not os.path.isfile(host):
            raise WorkerFailure(f"A stream cannot be written to {printable(seen)}, which is no plain file.")
        return host

    def _stdin(self, seen: str) -> str:
        host = self._staging.host(seen)
        if host is None or not os.path.isfile(host) or not (self._is_own(host) or self._is_input(seen, host)):
            raise WorkerFailure(f"The standard input {printable(seen)} is no file of the job's folders, and no input.")
        return host

    def _is_own(self, host: str) -> bool:
        """Whether a path leads through no symbolic link: a process may have put one there."""
        return os.path.realpath(host) == self._layout.straight(host) and below(host, self._layout.workdir)

    def _is_input(self, seen: str, host: str) -> bool:
        """Whether a path is that of an input, or of a file in one."""
        for target, original in self._staging.inputs.items():
            if seen == target or seen.startswith(f"{target}/"):
                return below(os.path.realpath(host), os.path.realpath(original.host))
        return False

    def _keep(self, call: Call) -> Plain:
        """The last lines of a process's streams; those that went to no file of its own are added to the job's log."""
        lines = {}
        for name, log in self._logs.items():
            path = getattr(call, name)
            lines[name] = tail(path) if os.path.isfile(path) and self._is_own(path) else ""
            if os.path.dirname(path) == self._layout.workdir and os.path.exists(path):
                with open(log, "ab") as target, open(path, "rb") as source:
                    shutil.copyfileobj(source, target)
                os.unlink(path)
        return lines


def _together(ended: List[Exit]) -> Exit:
    """How the last one ended, with what all of them have used."""
    last = ended[-1]
    sums: Plain = {}
    for name in ("cpu_s", "read_bytes", "written_bytes"):
        known = [value for one in ended if (value := getattr(one, name)) is not None]
        sums[name] = sum(known) if known else None
    peaks = [one.max_rss_mib for one in ended if one.max_rss_mib is not None]
    return dataclasses.replace(last, max_rss_mib=max(peaks) if peaks else None, **sums)
