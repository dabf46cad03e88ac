"""A run whose client is killed at a named point of a result's life, in a process that is forked for it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dirac_in_memory import InMemoryDirac
from documents import on_command_line, step, tool, workflow
from rucio_builders import fake_server
from served import Caller, served

import gridcwl
import gridcwl.backends.dirac.backend
import gridcwl.backends.local.backend
import gridcwl.cwl.session
import gridcwl.runs.outdir
import gridcwl.runs.planning
import gridcwl.runs.run
import gridcwl.runs.storing  # all of them once, and not in each process that is forked
from gridcwl.backends.local import process
from gridcwl.model import JobId
from gridcwl.runs.lifecycle import Stage, Stages, Transition
from gridcwl.runs.record.history import History

CRASHED = 77
Backend = Literal["local", "dirac"]
Store = Literal["local", "toy", "rucio"]
SHARDS = ("1", "2", "3")

_SCRIPT = """
echo "start $1" >> "$0"
while [ -e "$0.hold" ]; do sleep 0.05; done
[ "$1" != "$2" ] || [ -e "$0.failed" ] || { touch "$0.failed"; exit 75; }
echo "made by $1"
echo "end $1" >> "$0"
"""
_SHARD = tool(
    "sh", "-c", _SCRIPT,
    inputs={
        "marks": on_command_line("string"),
        "number": on_command_line("string", position=2),
        "failing": on_command_line("string", position=3),
    },
    outputs={"said": "stdout"},
    stdout="said.txt",
    temporaryFailCodes=[75],
)  # fmt: skip
_JOIN = tool(
    "sh", "-c", 'marks=$0; echo "start join" >> "$marks"; cat "$@"; echo "end join" >> "$marks"',
    inputs={"marks": on_command_line("string"), "files": on_command_line("File[]", position=2)},
    outputs={"all": "stdout"},
    stdout="all.txt",
)  # fmt: skip
DOCUMENT = workflow(
    {"marks": "string", "numbers": "string[]", "failing": "string"},
    {"all": {"type": "File", "outputSource": "join/all"}, "said": {"type": "File[]", "outputSource": "shard/said"}},
    shard=step(_SHARD, "said", scatter="number", marks="marks", number="numbers", failing="failing"),
    join=step(_JOIN, "all", marks="marks", files="shard/said"),
)


@dataclass(frozen=True)
class Point:
    """Just before or just after a step is taken for the first time: what it stands for is done before."""

    when: Literal["before", "after"]
    step: Transition
    again: bool = False
    """Only after a job is tried again."""

    def __str__(self) -> str:
        return f"{self.when} {self.step}{' of another attempt' if self.again else ''}"


@dataclass(frozen=True)
class Call:
    """Just before or just after a function is called."""

    when: Literal["before", "after"]
    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.when} {self.function}"


@dataclass
class Bench:
    """A folder with a run, and fakes of what it talks to in this process."""

    folder: Path
    backend: Backend
    store: Store
    dirac: InMemoryDirac = field(default_factory=InMemoryDirac)
    rucio: Any = None
    failing: str = "none"
    """A shard whose first attempt fails temporarily."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Bench]:
        """Serve the fakes."""
        (self.folder / "wf.cwl").write_text(json.dumps(DOCUMENT))
        with contextlib.ExitStack() as stack:
            if self.backend == "dirac":
                stack.enter_context(served(self.dirac, self.folder / "dirac.socket"))
            if self.store == "rucio":
                self.rucio = fake_server(self.folder / "rucio")
                stack.enter_context(served(self.rucio.client("runner"), self.folder / "rucio.socket"))
            yield self

    @contextlib.contextmanager
    def _held(self, crash: Point | Call | None) -> Iterator[None]:
        """Tools wait while a client is to see that they run: of a short job DIRAC's client may see only the end."""
        hold = self.folder / "marks.hold"
        if isinstance(crash, Point) and crash.step is Transition.START:
            hold.touch()
        try:
            yield
        finally:
            hold.unlink(missing_ok=True)

    def run(self, crash: Point | Call | None = None, *, resume: bool = False) -> int:
        """Run or resume the workflow in a process of its own; its exit code."""
        with self._held(crash):
            return self._forked(crash, resume=resume)

    def _forked(self, crash: Point | Call | None, *, resume: bool) -> int:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with (self.folder / "client.log").open("a") as log:
                    os.dup2(log.fileno(), 1)
                    os.dup2(log.fileno(), 2)
                process._ready.clear()  # a worker process that was started ahead is the parent's
                self._connect()
                if crash is not None:
                    _kill_at(crash)
                asyncio.run(self._go(resume=resume))
                code = 0
            except BaseException:  # noqa: BLE001  this is the end of the process
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def run_outside(
        self, environment: dict[str, str], crash: Point | None = None, *, resume: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """The same with real servers, in a process that is started and not forked."""
        words = [str(self.folder), self.backend, self.store, str(int(resume))]
        words += [crash.when, crash.step.value] if crash is not None else []
        helpers = str(Path(__file__).parent)
        with self._held(crash):
            return subprocess.run(
                [sys.executable, __file__, *words],
                env={**environment, "PYTHONPATH": helpers, "GRIDCWL_STATE_DIR": os.environ["GRIDCWL_STATE_DIR"]},
                capture_output=True, text=True, check=False, timeout=300,
            )  # fmt: skip

    def settled(self) -> None:
        """Wait until DIRAC has run what it was given: it does so while no client is there."""
        if self.backend == "dirac":
            asyncio.run(_until(lambda: all(told.status in ("Done", "Failed") for told in self.dirac.jobs.values())))

    async def _go(self, *, resume: bool) -> None:
        settings: dict[str, Any] = {"state_dir": self.folder / "state", "backend": self.backend, "store": self.store}
        settings |= {"cache_dir": Path(os.environ["GRIDCWL_STATE_DIR"], "cache")}  # CWL's parsed schemas
        settings |= {"tmpdir_prefix": f"{self.folder}/tmp-"}
        if self.store == "toy":
            settings["toy_store"] = {"folder": str(self.folder / "toy")}
        if self.store == "rucio":
            settings["rucio"] = {"rse": "LYON-DISK"}
        async with gridcwl.Client(**settings) as client:
            if resume:
                (status,) = await client.runs()
                run = await client.resume(status.run, engine="none")
            else:
                inputs = {"marks": str(self.folder / "marks"), "numbers": list(SHARDS), "failing": self.failing}
                run = await client.submit(
                    self.folder / "wf.cwl", inputs, outdir=self.folder / "out", engine="none", retries=1
                )
            outputs = await run.result()
            (self.folder / "outputs.json").write_text(json.dumps([outputs["all"].location]))

    def _connect(self) -> None:
        """In the client's process: let it find the fakes, and the toy store."""
        if self.backend == "dirac":
            from gridcwl.backends.dirac import factory

            caller = Caller(self.folder / "dirac.socket", survives=True)
            factory.server_name = lambda _settings: "dirac-local"  # type: ignore[assignment]  # it polls often
            factory.open_server = lambda *_, **__: contextlib.nullcontext(caller)  # type: ignore[assignment]
        if self.store == "rucio":
            from gridcwl.stores.rucio import client

            client._real_client = lambda *_: Caller(self.folder / "rucio.socket", vo="def", account="runner")
        if self.store == "toy":
            install_toy(self.folder)

    # -- what came of it -----------------------------------------------------------------------------------------------

    def starts(self) -> Counter[str]:
        """How often each tool was started."""
        marks = self.folder / "marks"
        lines = marks.read_text().splitlines() if marks.exists() else []
        return Counter(line.removeprefix("start ") for line in lines if line.startswith("start "))

    def recorded(self) -> set[str]:
        """The tools whose success the journal knows."""
        journals = list((self.folder / "state").glob("runs/*/journal.db"))
        if not journals:
            return set()
        with closing(History(journals[0])) as history:
            names = [row.name for row in history.jobs(where="outcome = 'success'")]
        return {SHARDS[int(name[6:-1])] if name.startswith("shard[") else name for name in names}

    def log(self) -> str:
        """What the clients have printed."""
        return (self.folder / "client.log").read_text()

    def outputs(self) -> dict[str, str]:
        """The output directory: texts by names."""
        return {path.name: path.read_text() for path in (self.folder / "out").iterdir()}

    def in_rucio(self) -> list[str]:
        """Names of the run's files that Rucio knows, without those of its inputs."""
        names = self.rucio.client("runner").list_dids("user.runner", {"name": "*said.txt"}, did_type="file")
        more = self.rucio.client("runner").list_dids("user.runner", {"name": "*all.txt"}, did_type="file")
        return sorted([*names, *more])


def install_toy(folder: Path) -> None:
    """Let this process find the distribution of ``tests/plugin`` as if it were installed."""
    from gridcwl import plugins

    about = folder / "site" / "gridcwl_toy-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "entry_points.txt").write_text(
        "[gridcwl.backends]\ntoy = gridcwl_toy.plugin:BACKEND\n[gridcwl.stores]\ntoy = gridcwl_toy.plugin:STORE\n"
    )
    sys.path += [str(about.parent), str(Path(__file__).parents[1] / "plugin")]
    for cached in (plugins.backends, plugins.stores, plugins.declared, plugins._groups):
        cached.cache_clear()


def _kill_at(point: Point | Call) -> None:
    """End this process when a job comes to a point, without a word to anybody."""
    if isinstance(point, Call):
        _kill_at_call(point)
        return
    move = Stages.move
    retried = set[JobId]()

    def moving(self: Stages, job_id: JobId, taken: Transition) -> Stage:
        here = taken is point.step and (job_id in retried or not point.again)
        if taken is Transition.RETRY:
            retried.add(job_id)
        if here and point.when == "before":
            os._exit(CRASHED)
        then = move(self, job_id, taken)
        if here:
            os._exit(CRASHED)
        return then

    Stages.move = moving  # type: ignore[method-assign]


def _kill_at_call(point: Call) -> None:
    """The same at the call of a function, which may be a coroutine function or a method."""
    name, _, attribute = f"{point.module}:{point.function}".rpartition(".") if "." in point.function else ("", "", "")
    owner: Any = importlib.import_module(point.module)
    if name:
        owner = getattr(owner, name.partition(":")[2])
    attribute = attribute or point.function
    called = getattr(owner, attribute)

    def calling(*arguments: Any, **named: Any) -> Any:
        if point.when == "before":
            os._exit(CRASHED)
        answer = called(*arguments, **named)
        if asyncio.iscoroutine(answer):
            return _ended_after(answer)
        os._exit(CRASHED)

    setattr(owner, attribute, calling)


async def _ended_after(work: Coroutine[Any, Any, Any]) -> None:
    await work
    os._exit(CRASHED)


def main(folder: str, backend: Backend, store: Store, resume: str, *crash: str) -> None:
    """A client of real servers."""
    if crash:
        when, step_ = crash
        _kill_at(Point("before" if when == "before" else "after", Transition(step_)))
    asyncio.run(Bench(Path(folder), backend, store)._go(resume=bool(int(resume))))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  a thread of the fake changes it
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
