"""The DIRAC backend: submits in bulk, follows in bulk, fetches what comes back; jobs outlive the client.

Decisions are pure functions elsewhere (``matching``, ``packing``, ``following``, ``results``); here is who does what
when. All state belongs to the event loop; blocking calls run in the threads of ``Asking``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from gridcwl.backends.base import Capabilities
from gridcwl.backends.dirac import jdl, matching, names, packing, results, sandbox
from gridcwl.backends.dirac.asking import Asking
from gridcwl.backends.dirac.following import Pace, Phase, Watched, phase
from gridcwl.backends.dirac.leftovers import alive
from gridcwl.backends.dirac.matching import Limits, Needs, Wishes
from gridcwl.backends.dirac.problems import DiracCredential, DiracRefused, DiracUnreachable, TooManyJobs
from gridcwl.backends.dirac.server import Found, Server
from gridcwl.backends.dirac.sites import Offer
from gridcwl.errors import BackendError, ConfigError, GridCWLError, UnsupportedError
from gridcwl.model import Job, JobEvent, JobId, JobResult, JobState, Outcome, RunId
from gridcwl.model.codec import to_plain

log = logging.getLogger("gridcwl.backends.dirac")

_LINGER_S = 0.05
"""Jobs that become ready together are submitted together."""
_SUBMISSION = 1000
"""Jobs of one submission, where the server would take more: they begin to run while the next ones are submitted."""
_NO_SANDBOX_TRIES = 5
_AT_START_S = 30.0
_AT_END_S = 60.0

_STATES = {Outcome.SUCCESS: JobState.DONE, Outcome.CANCELLED: JobState.CANCELLED}
_SEEN = {Phase.WAITING: JobState.WAITING, Phase.RUNNING: JobState.RUNNING, Phase.STALLED: JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class DiracOptions:
    """How the DIRAC backend runs jobs."""

    folder: Path
    """Results and logs come here, a folder for each job."""
    wishes: Wishes = field(default_factory=Wishes)
    pack: packing.Pack = 1
    sites: Mapping[str, Any] = field(default_factory=dict)
    """Container engines and image places by site, as ``gridcwl.worker.site`` reads them."""
    poll_first_s: float = 1.0
    poll_top_s: float = 30.0
    stalled_s: float = 3600.0
    """A job that gives no sign of life for so long is given up."""
    window: int = 2000
    """Jobs under way at a time."""
    leave: bool = False
    """On leaving, let the jobs go on."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What jobs of one submission have in common."""

    needs: Needs
    prefix: str
    attempt: int


@dataclass(slots=True)
class _Out:
    """A DIRAC job that is out there, with those of ours that it holds."""

    number: int
    jobs: dict[JobId, Job]
    watched: Watched = field(default_factory=Watched)
    begun: bool = False
    fetching: bool = False

    @property
    def place(self) -> results.Place:
        seen = self.watched
        return results.Place(self.number, seen.status, seen.minor, seen.application, seen.site)


class DiracBackend:
    """Implements ``gridcwl.backends.Backend``."""

    capabilities: Capabilities

    def __init__(
        self,
        server: Server,
        options: DiracOptions,
        *,
        run: RunId,
        reveal: Callable[[Any], Any] | None = None,
        keep: Callable[[Job, JobResult], None] | None = None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            server: DIRAC, or what stands for it.
            options: see there.
            run: the run whose jobs these are.
            reveal: puts secrets in place of their stand-ins: jobs that have any are refused, as they would leave here.
            keep: told of every result before anybody else.
        """
        self._server = server
        self._options = options
        self._run = run
        self._reveal = reveal
        self._keep = keep
        self._ask = Asking(server.credential)
        self._limits = Limits()
        self._offers: Sequence[Offer] = ()
        self._most: int | None = None
        self._due: dict[_Kind, list[Job]] = {}
        self._out: dict[int, _Out] = {}
        self._number_of: dict[JobId, int] = {}
        self._left: dict[JobId, Found] = {}
        """Jobs of earlier sessions that are out there and that nobody has asked for yet."""
        self._failed_at: dict[JobId, list[str]] = {}
        self._cancelled: set[JobId] = set()
        self._durations = packing.Durations()
        self._events: asyncio.Queue[JobEvent | Exception | None] = asyncio.Queue()
        self._submit_now, self._look_now = asyncio.Event(), asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._submitting = False
        self._closed = False
        self._warned_of_end = False
        self.capabilities = Capabilities(
            containers=True,
            survives_client=server.survives,
            batch_size=_SUBMISSION,
            window=options.window,
            sees_files=False,
        )

    async def __aenter__(self) -> Self:
        self._ask.patience_s = _AT_START_S
        try:
            credential = await self._ask.once(self._server.credential)
            log.info("at DIRAC as %s, group %s, until %s", credential.user, credential.group, credential.ends)
            self._most = await self._ask(self._server.most_jobs)
            self._limits = await self._ask.once(self._server.limits)
            self._offers = await self._ask(self._server.offers)
        except BaseException:
            self._ask.close()
            raise
        self._ask.patience_s = None
        self._begin(self._submit_what_is_due())
        self._begin(self._follow())
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    # -- Backend -------------------------------------------------------------------------------------------------------

    async def check(self, samples: Sequence[Job]) -> None:
        """See ``Backend.check``."""
        for job in samples:
            needs = matching.needs_of(job, self._options.wishes, self._limits, self._offers)
            matching.refuse_homeless(job, needs, self._offers)

    async def submit(self, jobs: Sequence[Job]) -> None:
        """Check the jobs, and queue them for the next submission; see ``Backend.submit``.

        Raises:
            UnsupportedError: a job has a secret in it.
            BackendError: no site can run one of them. None of the batch is taken.
        """
        if self._closed:
            raise BackendError("The DIRAC backend is closed")
        kinds = [(job, self._kind(job)) for job in jobs]
        for job, kind in kinds:
            if job.id in self._left:
                self._adopt(job, self._left.pop(job.id))
            else:
                self._due.setdefault(kind, []).append(job)
        self._idle.clear()
        self._submit_now.set()

    async def results(self) -> AsyncIterator[JobEvent]:
        """See ``Backend.results``."""
        while (event := await self._events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def cancel(self, job_ids: Collection[JobId], *, running: bool = True) -> None:
        """See ``Backend.cancel``. What waits at DIRAC is killed there, in bulk."""
        wanted = set(job_ids)
        for kind, jobs in list(self._due.items()):
            for job in [job for job in jobs if job.id in wanted]:
                jobs.remove(job)
                self._tell_cancelled(job.id)
            if not jobs:
                del self._due[kind]
        doomed = [
            out
            for number in {self._number_of[job_id] for job_id in wanted & self._number_of.keys()}
            if (out := self._out[number]).jobs.keys() <= wanted
            and (running or phase(out.watched.status) is Phase.WAITING)
        ]
        for out in doomed:
            self._cancelled |= out.jobs.keys()
        if doomed:
            await self._ask(self._server.kill, [out.number for out in doomed])
            self._look_now.set()

    async def recover(self, run: RunId) -> Mapping[JobId, JobState]:
        """What earlier sessions of the run left at DIRAC: still on its way, or ended with nobody to see it.

        A job of these that is submitted again is not: it is followed. Those that nobody asks for end with the session.
        """
        found = await self._ask(self._server.find, run)
        self._left, superfluous = sorted_out(found, run)
        if superfluous:
            await self._ask(self._server.kill, superfluous)
        return {job_id: _state_of(left) for job_id, left in self._left.items()}

    async def settled(self) -> None:
        """Wait until all that was given to :meth:`submit` is at DIRAC."""
        if self._due or self._submitting:
            await self._idle.wait()

    async def close(self) -> None:
        """See ``Backend.close``. Jobs are killed, unless they are to go on."""
        if self._closed:
            return
        self._closed = True
        interrupted = self._submitting or bool(self._left)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._options.leave and (self._out or interrupted):
            self._ask.patience_s = _AT_END_S
            await self._kill_all()
        self._ask.close()
        self._events.put_nowait(None)

    # -- submitting ----------------------------------------------------------------------------------------------------

    def _kind(self, job: Job) -> _Kind:
        if self._reveal is not None:
            plain = to_plain(job)
            if self._reveal(plain) != plain:
                raise UnsupportedError(
                    f"{job.name} has a secret among its inputs, and secrets do not leave this machine",
                    remedy="Run it here (--backend local), or let the tool take the secret from where it runs.",
                )
        needs = matching.needs_of(job, self._options.wishes, self._limits, self._offers)
        matching.refuse_homeless(job, needs, self._offers)
        needs = matching.near(job, needs, self._options.wishes, self._offers)
        needs = matching.elsewhere(needs, self._failed_at.get(job.id, ()), self._offers)
        return _Kind(needs, names.split(job.id)[0], job.attempt)

    async def _submit_what_is_due(self) -> None:
        while True:
            await self._submit_now.wait()
            self._submit_now.clear()
            await asyncio.sleep(_LINGER_S)
            while self._due:
                self._submitting = True
                kind, jobs = next(iter(self._due.items()))
                del self._due[kind]
                await self._submit_kind(kind, jobs)
            self._submitting = False
            self._idle.set()

    async def _submit_kind(self, kind: _Kind, jobs: list[Job]) -> None:
        self._look_at_the_clock(jobs)
        size = packing.size_of(self._options.pack, self._durations.expected(jobs[0]), len(jobs), self._slots(kind))
        needs = replace(kind.needs, more_processors=size > 1)
        waiting = packing.parts(jobs, size, needs.processors)
        while waiting:
            some = waiting[: min(self._most or _SUBMISSION, _SUBMISSION)]
            try:
                done = await self._send(kind, needs, some)
            except TooManyJobs as error:
                log.info("DIRAC takes %d jobs in one submission", error.limit)
                self._most = error.limit
                if len(some) <= error.limit:
                    self._refused(some, error)
                    done = len(some)
                else:
                    continue
            except (DiracRefused, ConfigError, UnsupportedError) as error:
                self._refused(some, error)
                done = len(some)
            waiting = waiting[done:]

    def _slots(self, kind: _Kind) -> int:
        """A guess at how many jobs of a kind could run at a time."""
        return 4 * max(1, len(matching.fitting(kind.needs, self._offers)))

    async def _send(self, kind: _Kind, needs: Needs, parts: Sequence[sandbox.Part]) -> int:
        """Submit parts, as many as fit into one sandbox; returns how many did."""
        with tempfile.TemporaryDirectory(prefix="gridcwl-sandbox-") as folder:
            files, held = await self._ask.once(sandbox.write, Path(folder), parts, self._options.sites)
            place = await self._ask(self._server.put_sandbox, files)
        parts = parts[:held]
        spans = tuple(part.span for part in parts)
        text = jdl.text(jdl.Batch(self._run, kind.prefix, spans, names.suffix(kind.attempt), needs, place))
        called = [kind.prefix + word + names.suffix(kind.attempt) for word in spans]
        numbers = await self._submitted(text, called)
        for number, part in zip(numbers, parts, strict=True):
            self._register(_Out(number, {job.id: job for job in part.jobs}))
        await self._confirmed(numbers)
        self._look_now.set()
        return len(parts)

    async def _submitted(self, text: str, called: Sequence[str]) -> list[int]:
        """Submit a description once, whatever the network does: a call without an answer may have been heard."""
        begun = time.monotonic()
        wait = 1.0
        while True:
            try:
                return await self._ask.once(self._server.submit, text)
            except (DiracUnreachable, DiracCredential) as error:
                await self._ask.pause(error, begun, wait)
                wait = min(30.0, 2 * wait)
            wanted = set(called)
            mine = {
                found.name: found.place.number
                for found in await self._ask(self._server.find, self._run)
                if found.name in wanted and found.place.status == "Submitting" and found.place.number not in self._out
            }
            if mine.keys() == wanted:
                return [mine[name] for name in called]
            if mine:
                await self._ask(self._server.kill, list(mine.values()))

    async def _confirmed(self, numbers: Sequence[int]) -> None:
        try:
            await self._ask(self._server.confirm, numbers)
        except DiracRefused:
            # An earlier try may have been heard, and the jobs may be well on their way.
            states = await self._ask(self._server.states, numbers)
            if any(states.get(number, ("Submitting",))[0] == "Submitting" for number in numbers):
                raise

    def _refused(self, parts: Sequence[sandbox.Part], error: GridCWLError) -> None:
        for part in parts:
            for job in part.jobs:
                self._out.pop(self._number_of.get(job.id, 0), None)
                reason = f"{error.message}. {error.remedy}".strip()
                self._ended(job, JobResult(job.id, Outcome.PERMANENT_FAILURE, reason=reason), "")

    def _register(self, out: _Out) -> None:
        self._out[out.number] = out
        for job_id in out.jobs:
            self._number_of[job_id] = out.number

    def _adopt(self, job: Job, left: Found) -> None:
        """Follow a job that an earlier session submitted."""
        number = left.place.number
        out = self._out.get(number)
        if out is None or out.fetching:
            out = _Out(number, {})
        out.jobs[job.id] = job
        self._register(out)
        self._look_now.set()

    def _look_at_the_clock(self, jobs: Sequence[Job]) -> None:
        """Warn, once, of a credential that ends before the jobs can be expected to."""
        if self._warned_of_end:
            return
        with contextlib.suppress(BackendError):
            ends = self._server.credential().ends
            needed = max(job.resources.time_limit_s or 3600 for job in jobs)
            if ends < datetime.now(UTC) + timedelta(seconds=needed):
                self._warned_of_end = True
                log.warning(
                    "the proxy ends at %s, perhaps before these jobs do; renew it in time with dirac-proxy-init: "
                    "the run then goes on, and what jobs have done is not lost",
                    f"{ends:%Y-%m-%d %H:%M} UTC",
                )

    # -- following -----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        pace = Pace(self._options.poll_first_s, self._options.poll_top_s)
        wait = pace.first_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), wait if self._out else None)
            fresh = self._look_now.is_set()
            self._look_now.clear()
            if fresh:
                await asyncio.sleep(_LINGER_S)
            begun = time.monotonic()
            watched = [number for number, out in self._out.items() if not out.fetching]
            if not watched:
                wait = pace.first_s
                continue
            states = await self._ask(self._server.states, watched)
            took = time.monotonic() - begun
            changed = await self._see(watched, states)
            wait = pace.next(changed=changed or fresh, took_s=took)

    async def _see(self, watched: Sequence[int], states: Mapping[int, tuple[str, str, str]]) -> bool:
        now = time.monotonic()
        moved = [out for number in watched if (out := self._out[number]).watched.see(states.get(number), now)]
        for out in moved:
            if phase(out.watched.status) is Phase.WAITING:
                out.watched.site = ""  # rescheduled: it may come to another one
        homeless = [o.number for o in moved if not o.watched.site and phase(o.watched.status) is not Phase.WAITING]
        if homeless:
            sites = await self._ask(self._server.sites, homeless)
            for number, site in sites.items():
                self._out[number].watched.site = "" if site in ("ANY", "Multiple") else site
        for out in moved:
            self._tell_seen(out)
        spared = [n for n in watched if self._out[n].jobs.keys() <= self._cancelled and self._is_alive(n)]
        if spared:
            await self._ask(self._server.kill, spared)
        for number in watched:
            out = self._out[number]
            verdict = out.watched.verdict(now, patience_s=self._options.stalled_s)
            if verdict in (Phase.ENDED, Phase.GONE):
                out.fetching = True
                self._begin(self._bring_home(out, gone=verdict is Phase.GONE))
        return bool(moved)

    def _is_alive(self, number: int) -> bool:
        return phase(self._out[number].watched.status) in (Phase.WAITING, Phase.RUNNING)

    def _tell_seen(self, out: _Out) -> None:
        seen = _SEEN.get(phase(out.watched.status))
        if seen is None:
            return
        for job_id in out.jobs:
            detail = f"{out.watched.status}: {out.watched.minor}"
            self._events.put_nowait(JobEvent(job_id, seen, site=out.watched.site, detail=detail))

    async def _bring_home(self, out: _Out, *, gone: bool) -> None:
        """Fetch what an ended job left, and tell of its results."""
        content: bytes | None = None
        if gone:
            await self._ask(self._server.kill, [out.number])  # should it come to life again, nobody would listen
        else:
            for left in reversed(range(_NO_SANDBOX_TRIES if out.watched.status == "Done" else 1)):
                content = await self._ask(self._server.sandbox, out.number)
                if content is not None or not left:
                    break
                await asyncio.sleep(1)
        found = await self._ask.once(self._read, out, content)
        self._out.pop(out.number, None)
        for job, result in zip(list(out.jobs.values()), found, strict=True):
            self._ended(job, result, out.watched.site)

    def _read(self, out: _Out, content: bytes | None) -> list[JobResult]:
        """In a thread: results out of a sandbox, with their logs on this machine's disk."""
        said = results.opened(content)
        found: list[JobResult] = []
        for job in out.jobs.values():
            result = results.result_of(job, said, out.place, self._options.folder / f"{job.id}-{job.attempt}")
            if job.id in self._cancelled:
                result = replace(result, outcome=Outcome.CANCELLED, reason="It was cancelled.", files=())
            found.append(result)
        return found

    def _ended(self, job: Job, result: JobResult, site: str) -> None:
        self._number_of.pop(job.id, None)
        self._durations.add(job, result)
        if result.outcome is Outcome.TEMPORARY_FAILURE and site:
            self._failed_at.setdefault(job.id, []).append(site)
        else:
            self._failed_at.pop(job.id, None)
        if self._keep is not None:
            self._keep(job, result)
        state = _STATES.get(result.outcome, JobState.FAILED)
        self._events.put_nowait(JobEvent(job.id, state, result, site))

    def _tell_cancelled(self, job_id: JobId) -> None:
        result = JobResult(job_id, Outcome.CANCELLED, reason="cancelled before it was submitted")
        self._events.put_nowait(JobEvent(job_id, JobState.CANCELLED, result))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        """Kill what is left of the run at DIRAC, and see that it is so."""
        begun = time.monotonic()
        try:
            while numbers := [f.place.number for f in await self._ask(self._server.find, self._run) if alive(f)]:
                if time.monotonic() - begun > _AT_END_S:
                    raise DiracRefused(f"{len(numbers)} jobs are still at DIRAC after they were killed.")
                log.info("killing %d DIRAC job(s)", len(numbers))
                await self._ask(self._server.kill, numbers)
                await asyncio.sleep(self._options.poll_first_s)
        except BackendError as error:
            log.warning("%s Jobs may be left at DIRAC: gridcwl cancel %s stops them.", error.message, self._run)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.put_nowait(error if isinstance(error, Exception) else BackendError(repr(error)))


def sorted_out(found: Sequence[Found], run: RunId) -> tuple[dict[JobId, Found], list[int]]:
    """Which DIRAC job stands for which of ours, and which are too many: never confirmed, or there twice.

    Failed ones stand for nothing: they are run again.
    """
    best: dict[JobId, tuple[int, Found]] = {}
    superfluous: list[int] = []
    for one in found:
        kept = names.read(one.name, run)
        if kept is None:
            continue
        if one.place.status == "Submitting":
            superfluous.append(one.place.number)
            continue
        if not alive(one) and one.place.status != "Done":
            continue
        taken = False
        for job_id in kept.jobs:
            if job_id not in best or best[job_id][0] < kept.attempt:
                best[job_id] = (kept.attempt, one)
                taken = True
        if not taken and alive(one):
            superfluous.append(one.place.number)
    return {job_id: one for job_id, (_, one) in best.items()}, superfluous


def _state_of(found: Found) -> JobState:
    if found.place.status == "Done":
        return JobState.DONE
    return _SEEN.get(phase(found.place.status), JobState.FAILED)
