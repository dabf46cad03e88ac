"""A DIRAC in this process: takes the backend's sandboxes and descriptions, and runs them with the real start script.

What real servers do with a description is for the tests with a real one; here it is about what the backend makes of
answers, of silence, and of what comes back.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gridcwl.backends.dirac import jdl
from gridcwl.backends.dirac.matching import Limits
from gridcwl.backends.dirac.problems import DiracCredential, DiracUnreachable, TooManyJobs
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.server import Credential, FoundJob, State
from gridcwl.backends.dirac.sites import DiracSite, Queue

SITES = (
    DiracSite("LCG.Lyon.fr", (Queue("q", 4, 8192, 600_000),)),
    DiracSite("LCG.CNAF.it", (Queue("q", 2, 4096, 600_000, ("GPU",)),)),
    DiracSite("LCG.Orsay.fr", (Queue("q", 1, 1024, 600_000),)),
)


@dataclass
class Told:
    """One job of this DIRAC."""

    number: int
    name: str
    group: str
    span: str
    sandbox: str
    text: str
    banned: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    status: str = "Submitting"
    minor: str = ""
    site: str = "ANY"
    output: bytes | None = None
    said: str = ""


@dataclass
class InMemoryDirac:
    """Implements ``gridcwl.backends.dirac.server.Server``.

    Attributes:
        limit: how many jobs one submission may have.
        hold: jobs wait until ``go()``; otherwise they run as soon as they are confirmed.
        unreachable: so many calls fail before the next one is answered.
        deaf_after: the names of calls that are heard, but not answered, once each.
        expired: there is no credential.
        keeps_parameters: the last lines that a job has written are kept.
        sabotage: asked before a job runs: the state in which it ends without having run, or None.
        echo: what becomes of the last lines of a job that has run.
        full: sites where jobs wait for ever.
        calls: the names of all calls, in their order.
    """

    limit: int = 1000
    hold: bool = False
    unreachable: int = 0
    deaf_after: list[str] = field(default_factory=list)
    expired: bool = False
    keeps_parameters: bool = True
    sabotage: Callable[[Told], State | None] = lambda _told: None
    echo: Callable[[Told, str], str] = lambda _told, said: said
    full: Collection[str] = ()
    ends: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=1))
    offered: Sequence[DiracSite] = SITES
    calls: list[str] = field(default_factory=list)
    jobs: dict[int, Told] = field(default_factory=dict)
    sandboxes: dict[str, bytes] = field(default_factory=dict)
    survives: bool = True
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._seen.set()

    def _call(self, name: str) -> None:
        with self._lock:
            self.calls.append(name)
            if self.expired:
                raise DiracCredential("the proxy has expired")
            if self.unreachable > 0:
                self.unreachable -= 1
                raise DiracUnreachable("nobody there")

    def _answer(self, name: str) -> None:
        with self._lock:
            if name in self.deaf_after:
                self.deaf_after.remove(name)
                raise DiracUnreachable(f"the answer to {name} was lost")

    def most_jobs(self) -> int | None:
        self._call("most_jobs")
        return None

    def limits(self) -> Limits:
        return Limits()

    def offers(self) -> Sequence[DiracSite]:
        self._call("offers")
        return self.offered

    def credential(self) -> Credential:
        if self.expired:
            raise DiracCredential("the proxy has expired")
        return Credential("tester", "group", self.ends)

    def put_sandbox(self, files: Sequence[Path]) -> str:
        self._call("put_sandbox")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:bz2") as archive:
            for file in files:
                archive.add(file, file.name)
        name = f"SB:Box|/{len(self.sandboxes)}"
        self.sandboxes[name] = buffer.getvalue()
        return name

    def submit(self, jdl: str) -> list[int]:
        self._call("submit")
        values = _values(jdl)
        if len(values) > self.limit:
            raise TooManyJobs(self.limit)
        made = []
        for value in values:
            number = len(self.jobs) + 1
            self.jobs[number] = Told(
                number, _word(jdl, "JobName").replace("%s", value), _word(jdl, "JobGroup"), value,
                _word(jdl, "InputSandbox"), jdl, _words(jdl, "BannedSites"), _words(jdl, "Site"),
            )  # fmt: skip
            made.append(number)
        self._answer("submit")
        return made

    def confirm(self, jobs: Sequence[int]) -> None:
        self._call("confirm")
        for number in jobs:
            if self.jobs[number].status == "Submitting":
                self.jobs[number].status = "Waiting"
                if not self.hold:
                    self._pool.submit(self._run, self.jobs[number])
        self._answer("confirm")

    def go(self) -> None:
        """Let the jobs that wait run."""
        self.hold = False
        for told in self.jobs.values():
            if told.status == "Waiting":
                self._pool.submit(self._run, told)

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """States are reported only when all is over."""
        self._seen.clear()
        try:
            yield
        finally:
            self._seen.set()

    def wait(self) -> None:
        """Until no job runs or is about to."""
        self._pool.shutdown()

    def states(self, jobs: Collection[int]) -> Mapping[int, State]:
        self._call("states")
        self._seen.wait()
        return {n: (self.jobs[n].status, self.jobs[n].minor, "") for n in jobs if n in self.jobs}

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        self._call("sites")
        return {n: self.jobs[n].site for n in jobs if n in self.jobs}

    def find(self, group: str) -> Sequence[FoundJob]:
        self._call("find")
        return [
            FoundJob(JobStatus(told.number, told.status, told.minor, "", told.site), told.name)
            for told in self.jobs.values()
            if told.group == group
        ]

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        self._call("reports")
        return {n: self.jobs[n].said for n in jobs if self.jobs[n].said} if self.keeps_parameters else {}

    def sandbox(self, job: int) -> bytes | None:
        self._call("sandbox")
        return self.jobs[job].output

    def kill(self, jobs: Iterable[int]) -> None:
        self._call("kill")
        for number in jobs:
            if self.jobs[number].status not in ("Done", "Failed"):
                self.jobs[number].status = "Killed"

    def parameters(self, job: int) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def _run(self, told: Told) -> None:
        if told.status != "Waiting":
            return
        usable = [o.site for o in self.offered if o.site not in told.banned and (not told.only or o.site in told.only)]
        usable = [site for site in usable if site not in self.full]
        if not usable:
            return
        told.site, told.status, told.minor = usable[told.number % len(usable)], "Running", "Application"
        state = self.sabotage(told)
        if state is not None:
            told.status, told.minor = state[:2]
            return
        with tempfile.TemporaryDirectory(prefix="in-memory-dirac-") as folder:
            with tarfile.open(fileobj=io.BytesIO(self.sandboxes[told.sandbox])) as archive:
                archive.extractall(folder)
            environment = {**os.environ, "DIRACSITE": told.site, "JOBID": str(told.number)}
            with (Path(folder) / "std.out").open("wb") as out, (Path(folder) / "std.err").open("wb") as err:
                command = ["/bin/sh", jdl.START, told.span]
                code = subprocess.run(command, cwd=folder, env=environment, stdout=out, stderr=err, check=False)
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:bz2") as archive:
                for name in ("std.out", "std.err", jdl.RESULTS):
                    if (Path(folder) / name).exists():
                        archive.add(Path(folder) / name, name)
            told.output = buffer.getvalue()
            lines = (Path(folder) / "std.out").read_text("utf-8", "replace").splitlines()
            told.said = self.echo(told, "\n".join(lines[-20:]))
        if told.status == "Running":
            told.status, told.minor = ("Done" if code.returncode == 0 else "Failed"), "Execution Complete"


def _word(text: str, name: str) -> str:
    found = re.search(rf'^{name} = \{{?"([^"]*)"', text, re.MULTILINE)
    assert found is not None, name
    return found[1]


def _words(text: str, name: str) -> tuple[str, ...]:
    found = re.search(rf"^{name} = \{{(.*)\}};", text, re.MULTILINE)
    return tuple(re.findall(r'"([^"]*)"', found[1])) if found else ()


def _values(text: str) -> Sequence[str]:
    start = re.search(r"^Parameters = (\d+);\nParameterStart = (\d+);", text, re.MULTILINE)
    if start:
        return [str(int(start[2]) + place) for place in range(int(start[1]))]
    return _words(text, "Parameters")
