"""Processes that work on runs, started and watched by the one that answers requests: ``gridcwl serve --drivers N``.

Each is a ``Driver`` of its own, with its own ownership in the database. It ends when the process that has started it
ends, and suspends its runs then; if it is killed, others take them, and it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gridcwl.cwl.javascript import apart
from gridcwl.service.db import Database
from gridcwl.service.driver import Driver
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.messages import RunHandler
from gridcwl.service.opening import owners_of, service_folder, webhooks_of
from gridcwl.service.settings import ServiceSettings

if TYPE_CHECKING:
    from gridcwl.service.owners import Owners

log = logging.getLogger("gridcwl.service")

DRIVE = "--drive"
"""The option that makes ``gridcwl serve`` one of these processes."""
EXIT_LOST = 75
"""As ``sysexits.h`` has it: try again."""
_AGAIN_S = 1.0
_LOOK_EVERY_S = 1.0
_LONGEST_S = 60.0


class DriverProcesses(Driver):
    """Drivers in processes of their own. What this process does itself is what needs the database only."""

    def __init__(
        self, settings: ServiceSettings, folder: ServiceFolder, db: Database, owners: Owners | None = None
    ) -> None:
        super().__init__(settings, folder, db, owners)
        self._most = settings.drivers or 0
        self._running: dict[int, asyncio.subprocess.Process] = {}

    @property
    def active(self) -> int:
        """Runs that are worked on by this service."""
        return self._db.owned_by([process.pid for process in self._running.values()])

    @property
    def is_working(self) -> bool:
        """Whether runs are begun: by these processes, or by those of other machines."""
        return not self._stopping and (bool(self._running) or not self._most)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Have runs worked on until the block is left."""
        keeping = [asyncio.create_task(self._keep_alive(number)) for number in range(self._most)]
        try:
            yield
        finally:
            self._stopping = True
            for process in self._running.values():
                if process.stdin is not None:
                    process.stdin.close()
            await asyncio.gather(*keeping)

    async def _keep_alive(self, number: int) -> None:
        delay = _AGAIN_S
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gridcwl", "serve", DRIVE,
                stdin=asyncio.subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
            self._running[number] = process
            assert process.stdin is not None
            with contextlib.suppress(ConnectionError):
                process.stdin.write(_encoded(self._settings) + b"\n")
                await process.stdin.drain()
            if self._stopping:
                process.stdin.close()
            code = await process.wait()
            self._running.pop(number, None)
            if self._stopping:
                return
            lasted = asyncio.get_running_loop().time() - began
            delay = _AGAIN_S if lasted > _LONGEST_S else min(2 * delay, _LONGEST_S)
            log.error(
                "The process %d, which worked on runs, ended with code %d; it is started again", process.pid, code
            )
            await asyncio.sleep(delay)


def leave() -> None:
    """End this process at once: whatever it would do next, others do already."""
    os._exit(EXIT_LOST)


def _encoded(settings: ServiceSettings) -> bytes:
    return msgspec.json.encode(settings, enc_hook=str)


def _decoded(data: bytes) -> ServiceSettings:
    return msgspec.json.decode(data, type=ServiceSettings, dec_hook=_path)


def _path(_kind: type, value: Any) -> Path:
    return Path(value)


async def _drive(settings: ServiceSettings) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), _read, stop)
    with contextlib.closing(Database(settings.database_url)) as db, contextlib.ExitStack() as stack:
        folder = service_folder(settings, db)
        stack.enter_context(apart(required=settings.expressions == "user"))
        webhooks_of(settings, db)
        driver = Driver(settings, folder, db, owners_of(settings, db, stack)[1], leave)
        async with driver.working():
            while driver.is_working and not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await stop.wait()


def _read(stop: asyncio.Event) -> None:
    """The process that has started this one has ended, or wants it to end."""
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def drive() -> None:
    """Work on runs until stdin ends, which begins with the settings."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("gridcwl").addHandler(RunHandler())
    data = b""
    while not data.endswith(b"\n"):  # not more: the rest is watched for its end
        piece = os.read(sys.stdin.fileno(), 1)
        if not piece:
            return
        data += piece
    asyncio.run(_drive(_decoded(data)))
