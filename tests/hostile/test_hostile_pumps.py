"""Threads and tasks that carry bytes or events: what ends one of them is raised where somebody waits for it."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from types import SimpleNamespace

import pytest

from gridcwl.backends.dirac.backend import DiracBackend
from gridcwl.backends.dirac.local_server import LocalServer
from gridcwl.backends.local.docker_stream import Attachment
from gridcwl.errors import BackendError
from gridcwl.tasks import TaskScope
from gridcwl.worker.engine import EngineError


@pytest.mark.parametrize("line", ["nonsense\n", '{"ended": 99, "problem": null}\n', "[]\n" * 2 + '{"ended": []}\n'])
def test_what_the_process_of_diracs_local_mode_must_not_send_ends_the_run(line):
    server = LocalServer.__new__(LocalServer)
    server._process, server._lock = SimpleNamespace(stdout=io.StringIO(line)), threading.RLock()
    server._jobs, server._unable = {}, ""

    server._listen()

    assert "sent an invalid message" in server._unable


def test_a_standard_input_that_cannot_be_read_is_an_error_of_the_job():
    ours, engines = socket.socketpair()
    attachment = Attachment.__new__(Attachment)
    attachment._socket = ours
    closed = io.BytesIO()
    closed.close()

    def engine():
        engines.recv(1)  # returns when nothing more comes
        engines.close()

    threading.Thread(target=engine).start()
    with pytest.raises(EngineError, match="standard input could not be sent"):
        attachment.copy(SimpleNamespace(stdin=closed, sinks={1: io.BytesIO(), 2: io.BytesIO()}))
    ours.close()


def test_waiting_for_submissions_ends_with_the_task_that_makes_them():
    async def never():
        await asyncio.Event().wait()

    async def dies():
        raise BackendError("DIRAC is gone")

    async def go():
        backend = DiracBackend.__new__(DiracBackend)
        backend._submission = SimpleNamespace(settled=never)
        backend._closed, backend._over, backend._events = False, None, asyncio.Queue()
        async with TaskScope() as backend._tasks:
            backend._working = [backend._tasks.start(backend._work(run)) for run in (never, dies)]
            await asyncio.wait_for(backend.settled(), 60)

    with pytest.raises(BackendError, match="DIRAC is gone"):
        asyncio.run(go())
