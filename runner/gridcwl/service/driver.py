"""Works on the queue: starts runs, resumes those of an earlier process, records how they end.

All runs share one Client and its event loop. The database says which state a run is in, its journal what it has done:
when the service is killed, both are there for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from gridcwl.api import Client
from gridcwl.client_runs import Run
from gridcwl.errors import GridCWLError, RunCancelled
from gridcwl.model.confinement import Confinement
from gridcwl.runs.events import Event, Failure, JobEnded, JobStarted, RunEnded, RunStarted
from gridcwl.runs.record.journal_file import Fenced
from gridcwl.service import quotas, run_settings, zooniverse_exports
from gridcwl.service.db import TASK_KIND, Database, OwnersQueue, StoredRun
from gridcwl.service.endings import end_of, without_places
from gridcwl.service.folders import ServiceFolder, is_resumable, stored_bytes
from gridcwl.service.messages import Messages, reporting
from gridcwl.service.owner_credentials import act_for_owner, renewing
from gridcwl.service.ownership import Ownership, WatchfulSelector
from gridcwl.service.registries import located_within
from gridcwl.service.run_settings import SITES
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.sharing import next_owner
from gridcwl.service.states import State
from gridcwl.service.tes import ending as tes

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners

log = logging.getLogger("gridcwl.service")

_LOOK_EVERY_S = 5.0
_LOOK_OFTEN_S = 1.0
"""Where other processes receive requests."""
EXIT_INTERNAL = 70
"""As ``sysexits.h`` has it: an internal error."""


class Driver:
    """The service's runs in this process."""

    def __init__(
        self,
        settings: ServiceSettings,
        folder: ServiceFolder,
        db: Database,
        owners: Owners | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            settings: of the service.
            folder: of the service on this machine.
            db: of the service.
            owners: the users, and their credentials.
            lost: called when other processes own the runs of this one, before it does anything else: ends the process.
                Without it, the runs are stopped here, and others are begun.
        """
        self._settings = settings
        self._folder = folder
        self._db = db
        self._owners = owners
        self._runs: dict[str, StoredRun] = {}
        self._jobs: dict[str, set[str]] = {}
        self._began = secrets.token_hex(4)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._handles: dict[str, Run] = {}
        self._unwanted: set[str] = set()
        self._stopping = False
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._due = asyncio.Event()
        """Something may be due of a schedule or a production."""
        self._ownership = Ownership(db.engine, folder.path, settings.takeover_s)
        self._lost = lost
        self._is_lost = False
        self._others = db.is_shared or settings.drivers is not None
        """Requests come to other processes, too."""

    @property
    def active(self) -> int:
        """Runs that are worked on now."""
        return len(self._tasks)

    @property
    def works_here(self) -> bool:
        """Whether runs are worked on in this process, and by no others."""
        return not self._others

    @property
    def is_working(self) -> bool:
        """Whether runs are begun."""
        return self._client is not None and not self._stopping

    @property
    def client(self) -> Client:
        """The client of all runs."""
        assert self._client is not None
        return self._client

    def wake(self) -> None:
        """There may be something to do. In any thread."""
        self.call(self._wake.set)

    def wake_schedules(self) -> None:
        """Something of a schedule or a production has changed. In any thread."""
        self.call(self._due.set)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have a function called in the thread that works on runs."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(function, *arguments)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work on the queue until the block is left; what is active then is resumed by the next process.

        Runs have a thread and an event loop of their own: a request never waits for an expression of a document.
        """
        started: Future[None] = Future()
        thread = threading.Thread(target=self._work_in_thread, args=(started,), name="gridcwl-runs")
        thread.start()
        try:
            await asyncio.wrap_future(started)
            yield
        finally:
            self._stopping = True
            self.wake()
            await asyncio.to_thread(thread.join)

    def _work_in_thread(self, started: Future[None]) -> None:
        try:
            with asyncio.Runner(
                loop_factory=lambda: asyncio.SelectorEventLoop(WatchfulSelector(self._look_late))
            ) as runner:
                runner.run(self._work_on_queue(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                log.critical("Runs are no longer worked on: %s", error, exc_info=error)
        finally:
            self._stopping = True

    def session(self, run: str) -> str:
        """What events of a run that is worked on here belong to: in another session they begin again. Empty if none."""
        handle = self._handles.get(run)
        return "" if handle is None else f"{self._began}-{id(handle)}"

    async def subscribe(self, run: str) -> AsyncIterator[Event] | None:
        """The events of a run that is worked on here, in the caller's event loop; None if it is not."""
        handle = self._handles.get(run)
        if handle is None:
            return None
        loop, queue = asyncio.get_running_loop(), asyncio.Queue[Event]()
        handle.listen(lambda event: _put(loop, queue, event))

        async def events() -> AsyncIterator[Event]:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, RunEnded):
                    return

        return events()

    def cancel(self, run: str) -> None:
        """Stop a run, if it has not ended; returns at once. Blocks for the database only."""
        message, code = "The run was cancelled while it was queued", RunCancelled.exit_code
        if self._db.move(run, State.CANCELED, only=State.QUEUED, message=message, exit_code=code):
            return
        if self._db.move(run, State.CANCELING):
            self.call(self._stop, run)

    def _stop(self, run: str) -> None:
        self._unwanted.add(run)
        if (handle := self._handles.get(run)) is not None:
            handle.request_cancel()

    async def _work_on_queue(self, started: Future[None]) -> None:
        settings = dict(self._settings.runs)
        folder = self._folder
        self._loop = asyncio.get_running_loop()
        async with Client(
            **settings, state_dir=folder.state, cache_dir=folder.cache, tmpdir_prefix=f"{folder.work}/"
        ) as self._client:
            await asyncio.to_thread(self._ownership.begin)
            started.set_result(None)
            attending = asyncio.create_task(
                renewing(self._owners, self._db, lambda: list(self._runs.values())), name="gridcwl-credentials"
            )
            scheduling = asyncio.create_task(self._schedule(), name="gridcwl-schedules")
            done = threading.Event()
            beating = threading.Thread(target=self._beat, args=(done,), name="gridcwl-alive")
            beating.start()
            try:
                while not self._stopping:
                    self._wake.clear()
                    try:
                        await self._look()
                    except SQLAlchemyError as error:  # it may answer again
                        log.warning("The database does not answer: %s", getattr(error, "orig", None) or error)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_OFTEN_S if self._others else _LOOK_EVERY_S):
                            await self._wake.wait()
            finally:
                attending.cancel()
                self._due.set()
                await scheduling  # what it does in a thread is not cut off
                await self._suspend_all()
                done.set()
                await asyncio.to_thread(beating.join)
                await asyncio.to_thread(self._ownership.end)

    async def _look(self) -> None:
        """Do what there is to do."""
        if self._is_lost:
            await self._suspend_all()
            await asyncio.to_thread(self._ownership.end)
            await asyncio.to_thread(self._ownership.begin)
            self._is_lost = False
        await asyncio.to_thread(self._ownership.bury)
        for run in await asyncio.to_thread(self._db.orphans):
            if (fence := await asyncio.to_thread(self._ownership.take, run.engine)) is not None:
                self._begin(run, fence)
        for run_id in await asyncio.to_thread(self._db.unwanted, list(self._tasks)):
            if run_id not in self._unwanted:
                self._stop(run_id)
        await self._take()

    async def _schedule(self) -> None:
        """Do what is due of schedules, and productions, until this process stops."""
        from gridcwl.service.production_runs import Productions
        from gridcwl.service.scheduled_runs import ScheduleDriver
        from gridcwl.service.submitting import driver_intake

        intake = driver_intake(self._settings, self._folder, self._db, self)
        schedules = ScheduleDriver(intake, self._owners)
        productions = Productions(intake, schedules.runs, self._ownership)
        most = _LOOK_OFTEN_S if self._others else _LOOK_EVERY_S
        while not self._stopping:
            self._due.clear()
            wake = time.time() + _LOOK_EVERY_S
            if not self._is_lost:
                schedules.name = self._ownership.driver
                try:
                    wake = await asyncio.to_thread(schedules.step, time.time())
                    await asyncio.to_thread(productions.step, lambda: self._stopping)
                    self._wake.set()
                except SQLAlchemyError as error:
                    log.warning("The database does not answer: %s", getattr(error, "orig", None) or error)
                except Exception:
                    log.exception("Schedules were not looked at")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(most, max(0.2, wake - time.time()))):
                    await self._due.wait()

    def _beat(self, done: threading.Event) -> None:
        """Show that this process is alive, in a thread of its own: nothing that a run does delays it."""
        while not done.wait(self._ownership.beat_s):
            try:
                self._see_that_alive()
            except SQLAlchemyError:
                pass  # it is tried again until the others take the runs
            except Exception:
                log.exception("This process could not show that it is alive")

    def _look_late(self) -> None:
        """After each wait of the event loop: whoever was suspended for long may own nothing any more."""
        if self._ownership.is_late and not self._is_lost:
            with contextlib.suppress(SQLAlchemyError):
                self._see_that_alive()

    def _see_that_alive(self) -> None:
        if not self._is_lost and not self._stopping and not self._ownership.beat():
            log.error("This process was suspended, or could not reach the database: its runs are others' now")
            self._is_lost = True
            if self._lost is not None:
                self._lost()
            self.wake()

    async def _suspend_all(self) -> None:
        """Stop the jobs of all runs; returns when they have ended. What is recorded of them stays as it is."""
        tasks = dict(self._tasks)
        for run, task in tasks.items():
            if (handle := self._handles.get(run)) is not None:
                handle.request_cancel()  # once: a task that is cancelled twice cannot clean up
            else:
                task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _take(self) -> None:
        """Begin as many runs of the queue as may be active; whose owner has the fewest active ones comes first."""
        free = self._settings.max_active - self.active
        await asyncio.to_thread(self._note_jobs)
        queue = await asyncio.to_thread(self._db.queue)
        held = await asyncio.to_thread(self._held, queue)
        while free > 0 and (owner := next_owner(queue, held)) is not None:
            run = await asyncio.to_thread(self._db.first_waiting, owner)
            if run is None:
                queue = [one for one in queue if one.owner != owner]
                continue
            if await self._take_one(run):
                free -= 1
            queue = [one.after_one() if one.owner == owner else one for one in queue]
            held |= await asyncio.to_thread(self._held, [one for one in queue if one.owner == owner and one.waiting])
        if free <= 0 and any(one.waiting for one in queue if one.owner not in held):
            most = self._settings.max_active
            reason = f"{most} {'run is' if most == 1 else 'runs are'} active, the most that this service works on"
            await asyncio.to_thread(self._db.explain_waiting, reason, tuple(held))

    async def _take_one(self, run: StoredRun) -> bool:
        """Own and begin a run of the queue; False if another process has been quicker."""
        fence = await asyncio.to_thread(self._ownership.take, run.engine)
        if fence is None:
            return False
        if await asyncio.to_thread(self._db.move, run.id, State.INITIALIZING):
            self._begin(run, fence)
            return True
        await asyncio.to_thread(self._ownership.release, run.engine)
        return False

    def _note_jobs(self) -> None:
        """Let all processes of the service know how many jobs are running here."""
        if self._settings.quotas.jobs:
            for run in list(self._runs):
                quotas.note_jobs(self._db, run, len(self._jobs.get(run, ())))

    def _held(self, queue: list[OwnersQueue]) -> set[str]:
        """Users whose runs cannot begin now; their runs show why."""
        held = set()
        for one in queue:
            reason = self._owners.lacking(one.owner) if self._owners is not None else ""
            reason = reason or quotas.why_held(self._settings.quotas, one)
            if reason:
                held.add(one.owner)
                self._db.explain_waiting(reason, owner=one.owner)
        return held

    def _begin(self, run: StoredRun, fence: int) -> None:
        task = asyncio.create_task(self._work_and_release(run, fence), name=f"gridcwl-service-{run.id}")
        self._tasks[run.id], self._runs[run.id] = task, run
        task.add_done_callback(lambda _task: self._ended(run.id))

    def _ended(self, run: str) -> None:
        self._tasks.pop(run, None)
        self._runs.pop(run, None)
        self._jobs.pop(run, None)
        self._handles.pop(run, None)
        self._unwanted.discard(run)
        self._wake.set()
        self._due.set()

    async def _work_and_release(self, run: StoredRun, fence: int) -> None:
        try:
            await self._work(run, fence)
        finally:
            await asyncio.shield(asyncio.to_thread(self._ownership.release, run.engine))

    async def _work(self, run: StoredRun, fence: int) -> None:
        """One run, from its document to its outputs."""
        submitted = await asyncio.to_thread(self._folder.restored, run.engine)
        with Messages(submitted.messages(run.id)) as messages, reporting(messages):
            state, changes = State.SYSTEM_ERROR, {}
            try:
                await act_for_owner(self._owners, self._db, run)
                outputs = await self._execute(run, fence, messages)
                if run.kind == TASK_KIND:
                    outputs = await asyncio.to_thread(tes.delivered, self._settings, self._folder, run, outputs)
                state, changes = State.COMPLETE, {"outputs": outputs, "exit_code": 0}
            except asyncio.CancelledError:
                return  # the service ends; the run is resumed when it starts again
            except GridCWLError as error:
                if self._is_lost or isinstance(error, Fenced):
                    log.warning("%s", error.message)
                    return
                if self._stopping and isinstance(error, RunCancelled) and run.id not in self._unwanted:
                    return
                state, changes = end_of(error)
                if run.kind == TASK_KIND:
                    changes["outputs"] = None
                    state = await asyncio.to_thread(tes.end_of, self._folder, run, error, state)
                changes["message"] = without_places(changes["message"], submitted.files)
                messages.write(f"gridcwl: {changes['message']}")
            except Exception as error:
                log.exception("The run %s ended with an internal error", run.id)
                changes = {"message": f"Internal error: {type(error).__name__}", "exit_code": EXIT_INTERNAL}
                messages.write("gridcwl: internal error")
            finally:
                if self._owners is not None:
                    await asyncio.shield(asyncio.to_thread(self._owners.close, run.id))
        if not self._is_lost:
            await asyncio.shield(asyncio.to_thread(self._record_end, run, fence, state, changes))

    def _record_end(self, run: StoredRun, fence: int, state: State, changes: dict[str, Any]) -> None:
        """Files first: whoever sees that the run has ended can fetch them."""
        self._folder.keep(run.engine, run.id, changes.get("outputs"))
        if self._settings.quotas.stored_mib:
            quotas.note_stored(self._db, run.id, stored_bytes(self._folder.run(run.engine).path))
        self._db.move(run.id, state, fence=fence, **changes)

    async def _execute(self, run: StoredRun, fence: int, messages: Messages) -> Any:
        if run.state is State.CANCELING:
            await asyncio.to_thread(self._stop_orphans, run)
            raise RunCancelled("The run was stopped by its user")
        handle = await self._begun(run)
        self._handles[run.id] = handle
        fenced = partial(self._db.move, run.id, State.RUNNING, fence=fence)
        running = await asyncio.to_thread(fenced) or run.state is State.RUNNING
        if not running or run.id in self._unwanted:  # somebody has cancelled it meanwhile
            self._unwanted.add(run.id)
            handle.request_cancel()
        async for event in handle.events():
            match event:
                case RunStarted():
                    messages.write(f"gridcwl: the run {run.id} has started")
                case JobStarted(job=job):
                    self._jobs.setdefault(run.id, set()).add(job)
                case JobEnded(name=name, job=job, outcome=outcome, reason=reason):
                    self._jobs.get(run.id, set()).discard(job)
                    messages.write(f"{name}: {outcome}{f', {reason}' if reason else ''}")
                case Failure(message=message, remedy=remedy):
                    messages.write(f"{message} {remedy}".strip())
        try:
            return await handle.output_object()
        except RunCancelled as error:
            if run.id in self._unwanted:
                error.message, error.remedy = "The run was stopped by its user", ""
            raise

    async def _begun(self, run: StoredRun) -> Run:
        """The run with its jobs on their way: resumed if it has a journal."""
        record = await asyncio.to_thread(self._folder.record, run.engine)
        journal_log = self._ownership.log(run.engine)
        await asyncio.to_thread(record.lift_hold)  # whoever holds it does not own the run any more
        if await asyncio.to_thread(is_resumable, record.path):
            changes = {} if run.engine == run.id else {k: v for k, v in run.settings.items() if k != SITES}
            return await self.client.resume(run.engine, journal_log=journal_log, **changes)
        if record.path.exists():  # the service was killed while it made it
            await asyncio.to_thread(record.remove)
        submitted = self._folder.run(run.engine)
        await zooniverse_exports.fetch_for(run, self._settings, self._folder, self._db, self._owners)
        params = await asyncio.to_thread(submitted.read_params)
        allowed = self.confinement(submitted.files)
        document = await asyncio.to_thread(located_within, submitted.here(run.document), allowed)
        return await self.client.submit(
            document,
            params,
            run_id=run.engine,
            journal_log=journal_log,
            basedir=submitted.files,
            outdir=submitted.outputs,
            confinement=allowed,
            **run_settings.completed(run.settings, self._settings),
        )

    def confinement(self, *folders: Path) -> Confinement:
        """What documents may read: the operator's folders and URLs, and these folders."""
        return run_settings.confinement(self._settings, *folders)

    def _stop_orphans(self, run: StoredRun) -> None:
        """Stop what a killed service has left of a run that was to be cancelled."""
        from gridcwl.runs.observer import stop

        record = self._folder.record(run.engine)
        if is_resumable(record.path):
            record.lift_hold()
            stop(record, self._ownership.log(run.engine))


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Event], event: Event) -> None:
    with contextlib.suppress(RuntimeError):  # the request's loop is closed
        loop.call_soon_threadsafe(queue.put_nowait, event)
