"""The client's end of the worker processes, which run bare commands: see ``gridcwl.worker.server``.

There are as many as cores: Python holds its global lock while it starts a process, so one alone could start only one at
a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gridcwl
from gridcwl.errors import BackendError, GridCWLError
from gridcwl.model import Job, JobId, JobResult, Outcome
from gridcwl.model.acceptance import accepted, refused
from gridcwl.model.codec import result_from_json, to_plain, with_secrets
from gridcwl.model.limits import RESULT_BYTES
from gridcwl.tasks import TaskScope
from gridcwl.worker import credentials
from gridcwl.worker.recycle import places_of, recycled_by
from gridcwl.worker.stale import kill_below

_PATIENCE_S = 30.0  # for what was killed to go
_LAST_WORDS_S = 5.0  # for the last output of a process to be read
_PACKAGES = str(Path(gridcwl.__file__).parent.parent)
_SERVER = "import sys; sys.path.append(sys.argv.pop()); from gridcwl.worker.server import main; main()"
"""Without ``site``: the worker needs the standard library only, and what packages do at every start takes time."""


_ready: list[tuple[dict[str, str], subprocess.Popen[bytes]]] = []
"""Worker processes that were started ahead of a backend, each with the environment that it has."""


class _Running(NamedTuple):
    """A job that was handed over."""

    job: Job
    workdir: str
    result: asyncio.Future[JobResult]


def start_ahead() -> None:
    """Start a worker process for the next backend: it starts while the document is read. It ends with this process."""
    if not _ready:
        with contextlib.suppress(OSError):  # reported when there is a job
            _ready.append((dict(os.environ), _popen("/")))


def _taken() -> subprocess.Popen[bytes] | None:
    """A process that was started ahead, has not ended, and has this process' environment of now.

    A run that failed while its document was read leaves one. A notebook may have logged in as somebody else meanwhile.
    """
    while _ready:
        environment, process = _ready.pop()
        if process.poll() is None and environment == os.environ and credentials.own_are_used():
            return process
        process.kill()
        process.communicate()
    return None


def _popen(folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-S", "-P", "-c", _SERVER, _PACKAGES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the client's business
        cwd=folder,
        bufsize=0,
        env=None if credentials.own_are_used() else credentials.transfer_environment(trusted=True),
    )


class _Connected:
    """A worker process, with its pipes in the event loop."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self.stdout = asyncio.StreamReader(limit=RESULT_BYTES)
        self._process = process
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()

    async def open(self) -> None:
        """Connect the pipes, and wait for the process in a thread: one that is always waiting is no pool's."""
        process = self._process
        self._reading, _ = await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.stdout), process.stdout
        )
        self._stdin, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        threading.Thread(target=self._wait, name=f"wait-{process.pid}", daemon=True).start()

    def _wait(self) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # nobody waits any more
            self._loop.call_soon_threadsafe(self.ended.set_result, code)

    def send(self, line: bytes) -> None:
        """Write without waiting: requests are few, and small."""
        self._stdin.write(line)

    def close_stdin(self) -> None:
        """Send no more."""
        self._stdin.close()

    def close(self) -> None:
        """Close the pipes."""
        self._stdin.close()
        self._reading.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


class WorkerProcesses:
    """Gives each job to the worker process that has least to do."""

    def __init__(
        self, count: int, slots: int, folder: str, options: dict[str, Any], secrets: Mapping[str, str], tasks: TaskScope
    ) -> None:
        """Prepare; nothing is started yet. As :class:`WorkerProcess`; ``slots`` is for all of them together."""
        each = -(-slots // count)
        self._processes = [WorkerProcess(each, folder, options, secrets, tasks) for _ in range(count)]
        self._stopped: dict[JobId, str] = {}

    async def run(self, job: Job, workdir: str) -> JobResult:
        """Run a job to its end; see :meth:`WorkerProcess.hand_over`."""
        process = min(self._processes, key=lambda process: len(process.running))
        result = await process.hand_over(job, workdir)
        if (reason := self._stopped.pop(job.id, None)) is not None:
            process.stop(job.id, reason)
        return await result

    def stop(self, job_id: JobId, reason: str) -> None:
        """Stop a job, wherever it runs, also if it is only about to."""
        self._stopped[job_id] = reason  # repeated when it has been handed over, if it has not
        for process in self._processes:
            if job_id in process.running:
                process.stop(job_id, reason)

    async def close(self) -> None:
        """Stop everything and wait until the processes have gone."""
        await asyncio.gather(*(process.close() for process in self._processes))


class WorkerProcess:
    """Starts a worker process when the first job comes, and another one should it die."""

    def __init__(
        self, slots: int, folder: str, options: dict[str, Any], secrets: Mapping[str, str], tasks: TaskScope
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            slots: how many jobs it runs at a time.
            folder: below which all jobs have their working directories.
            options: fields of ``gridcwl.worker.options.WorkerOptions``, and ``recycle``: the folder of its recycler.
            secrets: by their stand-ins, which they replace at the last moment.
            tasks: of the backend.
        """
        self._tasks = tasks
        self._slots = slots
        self._folder = folder
        self._options = options
        self._secrets = secrets
        self.running: dict[JobId, _Running] = {}
        self._kept: list[JobId] = []
        self._process: _Connected | None = None
        self._starting = asyncio.Lock()
        self._closed = False
        self._reader: asyncio.Task[None] | None = None

    async def hand_over(self, job: Job, workdir: str) -> asyncio.Future[JobResult]:
        """Hand over a job; returns when it is handed over, with what will be its result.

        Waiting for the result raises whatever keeps results from being received: the run has to fail.

        Raises:
            BackendError: no worker process can be started.
        """
        result: asyncio.Future[JobResult] = asyncio.get_running_loop().create_future()
        self.running[job.id] = _Running(job, workdir, result)
        try:
            process = await self._started()
        except BackendError:
            del self.running[job.id]
            raise
        plain = to_plain(job)
        if self._secrets:
            plain = with_secrets(plain, self._secrets)
        self._send(process, {"job": plain, "workdir": workdir, "options": self._options})
        return result

    def stop(self, job_id: JobId, reason: str) -> None:
        """Stop a job; it ends with a result as any other."""
        if self._process is not None:
            self._send(self._process, {"stop": job_id, "reason": reason})

    async def close(self) -> None:
        """Stop everything and wait until the process has gone."""
        self._closed = True
        async with self._starting:  # one that is just being started has to end, too
            process = self._process
        if process is not None:
            self._send(process, {})
            process.close_stdin()
        if self._reader is not None:
            await self._reader

    async def _started(self) -> _Connected:
        async with self._starting:
            if self._process is None and self._closed:
                raise BackendError("The local backend is closed")
            if self._process is None:
                try:
                    process = _Connected(_taken() or _popen(self._folder))
                except OSError as error:
                    raise BackendError(f"The worker process cannot be started: {error.strerror or error}") from error
                await process.open()
                # by its folder it is known to whoever looks for what a killed client left
                self._send(process, {"slots": self._slots, "folder": self._folder})
                self._process = process
                self._reader = self._tasks.start(self._read(process))
            return self._process

    def _send(self, process: _Connected, request: dict[str, Any]) -> None:
        request["kept"], self._kept = self._kept, []
        process.send(json.dumps(request, ensure_ascii=True).encode("ascii") + b"\n")

    async def _read(self, process: _Connected) -> None:
        """Take in results until the process ends. What makes that impossible ends the process, and fails the run."""
        stdout = process.stdout
        loop = asyncio.get_running_loop()
        # A tool can hold the pipe open, though it is not its own: the end of the process is the end of its results.
        process.ended.add_done_callback(lambda _: loop.call_later(_LAST_WORDS_S, stdout.feed_eof))
        try:
            await self._take_in(stdout, recycled_by(self._options.get("recycle", ""), process.pid))
        except Exception as error:  # noqa: BLE001  whatever it is: a run that hears nothing any more would wait for ever
            self._fail(error)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        self._process = None
        try:
            code = await process.ended
            process.close()
            await self._give_up_lost(code)
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)

    async def _take_in(self, stdout: asyncio.StreamReader, recycled: str) -> None:
        while (line := await _line(stdout)).endswith(b"\n"):  # else the process ended in the middle of it
            result = _result(line)
            running = self.running.pop(result.id, None)
            if running is not None:
                _set(running, accepted_here(result, running.job, running.workdir, recycled))
            self._kept.append(result.id)

    def _fail(self, error: Exception) -> None:
        """Results can no longer be received."""
        for running in self.running.values():
            if not running.result.done():
                running.result.set_exception(error)

    async def _give_up_lost(self, code: int) -> None:
        lost = list(self.running.values())
        if lost:  # nobody else stops its tools, and they must not run beside the next attempt
            await asyncio.to_thread(kill_below, [running.workdir for running in lost], _PATIENCE_S)
        for running in lost:
            self.running.pop(running.job.id, None)
            reason = f"The worker process was lost while the job ran (it ended with {code})."
            _set(running, JobResult(running.job.id, Outcome.TEMPORARY_FAILURE, reason=reason))


def _set(running: _Running, result: JobResult) -> None:
    if not running.result.done():  # nobody waits any more, or it has failed
        running.result.set_result(result)


def accepted_here(result: JobResult, job: Job, workdir: str, recycled: str) -> JobResult:
    """The result, or a failure if it names what is not the job's: a bare tool may write into its worker's pipe."""
    try:
        return accepted(result, job, places_of(workdir, recycled))
    except GridCWLError as error:
        return refused(job, error)


async def _line(stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.readline()
    except ValueError:
        raise _unreadable(f"one of them has more than {RESULT_BYTES >> 20} MiB") from None


def _result(line: bytes) -> JobResult:
    try:
        return result_from_json(line)
    except GridCWLError as error:
        raise _unreadable("it sent something else") from error


def _unreadable(why: str) -> BackendError:
    return BackendError(
        f"The results of the worker process cannot be read: {why}",
        remedy="A tool may have written into its pipe. gridcwl resume continues the run.",
    )
