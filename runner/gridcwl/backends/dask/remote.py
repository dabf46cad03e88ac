"""What runs in a Dask worker. It travels there as a whole: a worker needs no gridcwl, only the standard library.

The plugin writes gridcwl's worker, a zipapp, once into each Dask worker's folder, and starts one process of it, which
runs job after job. A task sends a job to that process, and logs its answer as an event of Dask's scheduler: from there
it reaches the client, and there it is kept for a client that comes back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import stat
import sys
import tempfile
from typing import Any

from distributed import Status, Worker, WorkerPlugin, get_worker

_LINE = 64 << 20
_LOOK_S = 1.0
_SOON_S = 0.02
_CHUNK, _MOST_LOG = 16 << 10, 256 << 10
_MOST_ANSWER = 8 << 20
_MOST_AGE_S = 7 * 86400
_SERVER = "import sys; sys.path.insert(0, sys.argv.pop()); from gridcwl.worker.server import main; main()"
_CLEAR = """import sys; sys.path.insert(0, sys.argv[1])
from gridcwl.worker.stale import kill_below
kill_below(sys.argv[2:], 30)"""
_FOLDERS = """import sys; sys.path.insert(0, sys.argv[1])
from gridcwl.worker.witness import own_folder, remove_old
folder = own_folder(sys.argv[2])
remove_old(folder, float(sys.argv[3]))
print(folder)"""


class JobPlugin(WorkerPlugin):
    """Runs jobs in a process beside the Dask worker; it ends with the worker, and stops its tools."""

    idempotent = True

    def __init__(self, name: str, zipapp: bytes, gpus: int | None = None) -> None:
        self.name = name
        self.zipapp = zipapp
        self.gpus = gpus

    async def setup(self, worker: Worker) -> None:
        """Write the zipapp, and declare what the worker has, where whoever started it has not."""
        self.worker = worker
        self.running: dict[str, asyncio.Future[str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.node: Any = getattr(worker, "gridcwl_node", None)
        """The connection to a node of a pool, which then runs the jobs in place of a process."""
        if self.node is not None:
            self.node.listeners.append(self._heard_of_node)
        self.process: asyncio.subprocess.Process | None = None
        self.starting = asyncio.Lock()
        self.bases: dict[str, str] = {}
        self.kept: list[str] = []
        """Jobs whose results have arrived since the last request: the process need not leave them in a file."""
        self.unsent: dict[str, list[dict[str, Any]]] = {}
        """Messages by topic: several go in one event, as each costs as much as starting a process."""
        self.reading: asyncio.Task[None] | None = None
        self.watching: asyncio.Task[None] | None = None
        descriptor, self.path = tempfile.mkstemp(prefix="gridcwl-worker-", suffix=".pyz", dir=worker.local_directory)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.zipapp)
        declared = worker.state.total_resources
        memory = worker.memory_manager.memory_limit or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        gpus = len([name for name in os.listdir("/dev") if name[:6] == "nvidia" and name[6:].isdigit()])
        known = {
            "CORES": float(worker.state.nthreads),
            "MEMORY": float(memory),
            "GPU": float(gpus if self.gpus is None else self.gpus),
        }
        missing = {name: value for name, value in known.items() if name not in declared}
        if missing:
            await worker.set_resources(**missing)
            self.announcing = asyncio.create_task(self._announce())

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002
        """Stop what runs, and wait for it."""
        self._log_all()
        if self.watching is not None:
            self.watching.cancel()
        if self.process is not None and self.process.stdin is not None:
            self._send({"kept": self.kept})
            self.process.stdin.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), 30)
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    async def _announce(self) -> None:
        """Let the scheduler look again at tasks that no worker had the resources for: only a new state makes it."""
        while self.worker.status != Status.running:  # noqa: ASYNC110  Dask has no event for it
            await asyncio.sleep(_SOON_S)
        self.worker.status = Status.paused
        self.worker.status = Status.running

    async def run(self, task: dict[str, Any]) -> None:
        """Run a job to its end; its answer is logged, and kept by the scheduler."""
        key, job_id = task["key"], task["job"]
        self.jobs[job_id] = task
        about = {"key": key, "worker": self.worker.address, "host": os.uname().nodename}
        self._log(task["topic"], {**about, "state": "running"})
        try:
            answer: dict[str, Any] = {"line": await self._answer(task)}
            if self.process is not None:
                answer["process"] = self.process.pid
            if len(answer["line"]) > _MOST_ANSWER:
                answer = {"lost": f"its result has more than {_MOST_ANSWER >> 20} MiB"}
        except Exception as error:  # noqa: BLE001  whatever it is: who waits for the job has to know
            answer = {"lost": f"{type(error).__name__}: {error}"}
        finally:
            self.jobs.pop(job_id, None)
        self._log(task["topic"], {**about, "state": "ended", **answer})
        self._log_all()  # before Dask reports that the task has ended

    def _log(self, topic: str, message: dict[str, Any]) -> None:
        """Log a message soon: with the answer of a short job goes that it has begun."""
        if not self.unsent:
            asyncio.get_running_loop().call_later(_SOON_S, self._log_all)
        self.unsent.setdefault(topic, []).append(message)

    def _log_all(self) -> None:
        unsent, self.unsent = self.unsent, {}
        for topic, messages in unsent.items():
            self.worker.log_event(topic, {"messages": messages})

    def stop(self, jobs: list[str], reason: str) -> None:
        """Stop those of these jobs that are here; each still ends with an answer."""
        for job in jobs:
            if self.node is not None:
                self.node.moved.discard(job)
            if job in self.running:
                self._send({"stop": job, "reason": reason})
            elif job in self.jobs:
                self.jobs[job]["stopped"] = reason

    async def _answer(self, task: dict[str, Any]) -> str:
        request = json.loads(task["request"])
        if self.node is not None:
            return await self._of_node(task, request)
        process = await self._started()
        if "folder" in task:  # without shared files: this machine's own folder
            base = await self._base(task["folder"])
            place = f"{base}/{task['name']}"
            request.update(workdir=place, witness=f"{place}.result")
            if request["carried"]:
                request["files"] = f"{place}.tar"
                descriptor = os.open(request["files"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(task["files"])
            task["watched"] = f"{place}/gridcwl-0"
            if self.watching is None or self.watching.done():
                self.watching = asyncio.create_task(self._watch())
        task["place"] = request["workdir"]
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.running[task["job"]] = future
        request["kept"], self.kept = self.kept, []
        self._send(request)
        if "stopped" in task:
            self._send({"stop": task["job"], "reason": task["stopped"]})
        await process.stdin.drain()  # type: ignore[union-attr]
        return await future

    async def _of_node(self, task: dict[str, Any], request: dict[str, Any]) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.running[task["job"]] = future
        self._send({**request, "name": task["name"], "files": base64.b64encode(task["files"]).decode("ascii")})
        if "stopped" in task:
            self._send({"stop": task["job"], "reason": task["stopped"]})
        return await future

    def _heard_of_node(self, answer: dict[str, Any]) -> None:
        """An answer of the node; if it is lost, so is the Dask worker, and Dask starts its tasks elsewhere."""
        if "log" in answer:
            self._log_of_node(answer)
            return
        job = str(answer.get("id"))
        if job not in self.running:  # another client's, whose plugin differs
            return
        if job in self.node.moved:
            self.node.moved.discard(job)
            if answer.get("outcome") == "cancelled":  # because the node leaves: its task starts elsewhere
                return
        future = self.running.pop(job)
        if not future.done():
            future.set_result(json.dumps(answer))

    def _log_of_node(self, written: dict[str, Any]) -> None:
        """A node is not trusted: it may send the beginning of the logs of its jobs."""
        task = self.jobs.get(str(written.get("log")))
        stream, start, text = written.get("stream"), written.get("start"), written.get("text")
        if task is None or stream not in ("stdout", "stderr"):
            return
        if isinstance(start, int) and isinstance(text, str) and 0 <= start < _MOST_LOG and len(text) <= 2 * _CHUNK:
            with contextlib.suppress(ValueError):
                content = base64.b64decode(text, validate=True)
                said = {"key": task["key"], "state": "wrote", "stream": stream, "start": start, "text": content}
                self._log(task["topic"], said)

    def _send(self, request: dict[str, Any]) -> None:
        if self.node is not None:
            self.node.send(json.dumps(request).encode("ascii") + b"\n")
        elif self.process is not None and self.process.stdin is not None:
            self.process.stdin.write(json.dumps(request).encode("ascii") + b"\n")

    async def _started(self) -> asyncio.subprocess.Process:
        async with self.starting:
            if self.process is None:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-S", "-P", "-c", _SERVER, str(max(1, self.worker.state.nthreads)), self.path),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=_LINE,
                    start_new_session=True,
                    cwd=self.worker.local_directory,
                )
                self.reading = asyncio.create_task(self._read(self.process))
            return self.process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        reason = ""
        try:
            while line := await process.stdout.readline():  # type: ignore[union-attr]
                job = json.loads(line)["id"]
                future = self.running.pop(job, None)
                self.kept.append(job)
                if future is not None and not future.done():
                    future.set_result(line.decode("ascii"))
        except Exception as error:  # noqa: BLE001  a tool may write into the pipe
            reason = f"; its answers cannot be read ({error})"
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        code = await process.wait()
        self.process = None
        lost, self.running = self.running, {}
        if places := [self.jobs[job]["place"] for job in lost if job in self.jobs]:
            # nobody else stops their tools, which must not run beside the next attempt
            words = [sys.executable, "-S", "-P", "-c", _CLEAR, self.path, *places]
            await (await asyncio.create_subprocess_exec(*words)).wait()
        for future in lost.values():
            if not future.done():
                future.set_exception(RuntimeError(f"the process of gridcwl's worker ended with {code}{reason}"))

    async def _base(self, folder: str) -> str:
        if folder not in self.bases:
            words = [sys.executable, "-S", "-P", "-c", _FOLDERS, self.path, folder, str(_MOST_AGE_S)]
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe)
            out, err = await process.communicate()
            if process.returncode:
                raise RuntimeError(err.decode("utf-8", "replace").strip().rpartition("\n")[2])
            self.bases[folder] = os.fsdecode(out).strip()
        return self.bases[folder]

    async def _watch(self) -> None:
        """Log what jobs write while they run, the beginning of it."""
        sent: dict[tuple[str, str], int] = {}
        while self.jobs:
            await asyncio.sleep(_LOOK_S)
            for task in list(self.jobs.values()):
                for stream in ("stdout", "stderr"):
                    start = sent.get((task["key"], stream), 0)
                    text = _read_log(f"{task.get('watched', '')}/{stream}.log", start) if start < _MOST_LOG else b""
                    if text:
                        sent[task["key"], stream] = start + len(text)
                        said = {"key": task["key"], "state": "wrote", "stream": stream, "start": start, "text": text}
                        self._log(task["topic"], said)


def _read_log(path: str, start: int) -> bytes:
    """Some of a log from there on; nothing if a tool has put a link or a pipe in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return b""
        file.seek(start)
        return file.read(_CHUNK)


async def run_job(name: str, task: dict[str, Any]) -> None:
    """The task of a job."""
    await get_worker().plugins[name].run(task)


async def stop_jobs(name: str, jobs: list[str], reason: str, dask_worker: Worker) -> None:
    """Stop jobs that are at this worker."""
    plugin = dask_worker.plugins.get(name)
    if plugin is not None:
        plugin.stop(jobs, reason)
