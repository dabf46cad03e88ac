"""What changes while somebody looks: server-sent events that a page reloads its parts at, and the growth of logs.

Events say only that something is new: a page has one form, which is made at one place. Whether something is new is
looked for in the database and in the run's files, as any process may work on the run.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from gridcwl.service import tasks
from gridcwl.service.db import StoredRun
from gridcwl.service.pages.jobs import read_from
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, shown
from gridcwl.service.problems import NotFound
from gridcwl.service.web import Service
from gridcwl.service.wes import visible

_LOOK_EVERY_S = 0.5
_HEARTBEAT_S = 15.0
_MOST_BYTES = 64 << 10
_MOST_RUNS = 1000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

router = APIRouter(route_class=PageRoute)


@router.get("/live/runs")
async def list_events(request: Request, service: TheService, viewer: TheViewer) -> Response:
    """``changed`` whenever the list of runs has."""

    def look() -> tuple[Any, bool]:
        return service.db.glance(viewer, _MOST_RUNS), False

    return _streamed(_changes(request, service, look))


@router.get("/runs/{run_id}/live")
async def run_events(request: Request, run_id: str, service: TheService, viewer: TheViewer) -> Response:
    """``changed`` whenever there is something new in a run; ``end`` after it has ended."""
    run = await asyncio.to_thread(visible, service, run_id, viewer)

    def look() -> tuple[Any, bool]:
        current = service.db.get(run.id)
        return _state_of_run(service, current), current is None or current.state.is_terminal

    return _streamed(_changes(request, service, look))


@router.get("/runs/{run_id}/messages/live")
async def message_events(
    request: Request, run_id: str, service: TheService, viewer: TheViewer, start: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """What gridcwl reports of a run, as it comes."""
    run = await asyncio.to_thread(visible, service, run_id, viewer)
    path = service.folder.run(run.engine).messages(run.id)
    return _streamed(_growth(request, service, run, lambda: path, start))


@router.get("/runs/{run_id}/jobs/{task_id}/{stream}/live")
async def log_events(
    request: Request,
    run_id: str,
    task_id: str,
    stream: str,
    service: TheService,
    viewer: TheViewer,
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """What a job writes, as it comes."""
    run = await asyncio.to_thread(visible, service, run_id, viewer)
    record = service.folder.record(run.engine)
    if stream not in tasks.STREAMS or not (await asyncio.to_thread(tasks.log_file, record, task_id, stream))[0]:
        raise NotFound(f"The run {run.id} has no such log")
    return _streamed(_growth(request, service, run, lambda: tasks.log_file(record, task_id, stream)[1], start))


def _streamed(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


def _event(name: str, data: Any = "", number: int | None = None) -> bytes:
    mark = "" if number is None else f"id: {number}\n"
    return f"{mark}event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _changes(request: Request, service: Service, look: Callable[[], tuple[Any, bool]]) -> AsyncIterator[bytes]:
    """Look again and again until the page is closed, or there will be nothing new."""
    known, ended = await asyncio.to_thread(look)
    yield _event("ready")
    silent = 0.0
    while not ended and not service.ending and not await request.is_disconnected():
        await asyncio.sleep(_LOOK_EVERY_S)
        silent += _LOOK_EVERY_S
        now, ended = await asyncio.to_thread(look)
        if now != known:
            known, silent = now, 0.0
            yield _event("changed")
        elif silent >= _HEARTBEAT_S:
            silent = 0.0
            yield b": alive\n\n"
    if ended:
        yield _event("end")


async def _growth(
    request: Request, service: Service, run: StoredRun, place: Callable[[], Path | None], start: int
) -> AsyncIterator[bytes]:
    """What is added to a file, until the run has ended; each event's id is the offset after it."""
    resumed = request.headers.get("last-event-id", "")
    offset = int(resumed[:18]) if resumed.isascii() and resumed.isdigit() else start
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    silent = 0.0

    def read() -> tuple[bytes, bool]:
        current = service.db.get(run.id)
        ended = current is None or current.state.is_terminal
        with contextlib.suppress(OSError):
            if (path := place()) is not None:
                return read_from(path, offset, _MOST_BYTES)[0], ended
        return b"", ended

    yield _event("ready", number=offset)
    while not service.ending and not await request.is_disconnected():
        data, ended = await asyncio.to_thread(read)
        if data:
            offset, silent = offset + len(data), 0.0
            yield _event("text", shown(decoder.decode(data)), offset)
            continue
        if ended:
            yield _event("end", number=offset)
            return
        await asyncio.sleep(_LOOK_EVERY_S)
        silent += _LOOK_EVERY_S
        if silent >= _HEARTBEAT_S:
            silent = 0.0
            yield b": alive\n\n"


def _state_of_run(service: Service, run: StoredRun | None) -> Any:
    if run is None:
        return None
    journal = service.folder.record(run.engine).journal
    files = (journal, journal.with_name(f"{journal.name}-wal"))
    return run.state, run.reason, run.message, [_written(path) for path in files]


def _written(path: Path) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116
        return found.st_mtime_ns, found.st_size
    return 0, 0
