"""Tasks that end with whoever started them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
log = logging.getLogger("gridcwl.runs")


class TaskScope:
    """A task group whose tasks end with the block: they are cancelled when it is left, and have ended behind it.

    If a task fails, the block and the other tasks are cancelled, and its error is raised where the block ends. As in
    ``asyncio.TaskGroup``, but a single error comes by itself.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as errors:
            first = _first(errors)
            if first is not error:  # that of the block is raised as it is
                raise first from first.__cause__

    async def close_after(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close what the tasks work for, then the scope, whatever becomes of the first."""
        try:
            await close()
        finally:
            await self.__aexit__(None, None, None)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task in the group."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def wait_for_any(*events: asyncio.Event, timeout_s: float) -> None:
    """Wait until one of the events is set, or for so long."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def in_thread(work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
    """Call a function in a thread. As ``asyncio.to_thread``, but begun at once, and not stopped with who waits."""
    return asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, work, *arguments)


given_up = False
"""Work in threads was given up: this process does not wait for it when it ends."""


def give_up_threads() -> None:
    """Neither the event loop nor the command line waits for functions that are in threads now: one does not return."""
    global given_up  # noqa: PLW0603  of the process
    given_up = True
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())


end_process: Callable[[], None] | None = None
"""Ends this process at once. Set where the process is gridcwl's own: that of a program that imports gridcwl is not."""


@contextmanager
def deadline(seconds: float, message: str) -> Iterator[None]:
    """A limit for what cannot be cancelled, because it blocks the event loop, or ignores that it is cancelled.

    Args:
        seconds: how long the block may take. Then the message is logged, and ``end_process`` is called.
        message: what has not ended, and what to do.
    """

    def give_up() -> None:
        log.error(message)
        if end_process is not None:
            end_process()

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    doomed = [task for task in tasks if not task.done()]
    for task in doomed:
        task.cancel()
    if doomed:
        await asyncio.wait(doomed)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
