"""Whether a kernel is busy, as it publishes it."""

from __future__ import annotations

import contextlib
import json
import time

import zmq
import zmq.asyncio

_ALL = b"kernel."
"""Topics of ipykernel begin so, but those of streams."""
_STATUS = b".status"


class KernelActivity:
    """When the kernel was used last."""

    def __init__(self) -> None:
        self.busy = False
        self._last = time.monotonic()

    def note(self) -> None:
        """It is used."""
        self._last = time.monotonic()

    @property
    def idle_s(self) -> float:
        """For how long it has not been used."""
        return 0.0 if self.busy else time.monotonic() - self._last

    async def follow(self, address: str) -> None:
        """Follow the state that one kernel publishes, until this is cancelled.

        Only its status messages come this way, once their topic is known: outputs are not carried twice.
        """
        self.busy = False
        self.note()
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as published:
            published.linger = 0
            published.subscribe(_ALL)
            published.connect(address)
            narrow = False
            while True:
                parts = await published.recv_multipart()
                if not parts[0].endswith(_STATUS):
                    continue
                if not narrow:
                    narrow = True
                    published.subscribe(parts[0])
                    published.unsubscribe(_ALL)
                with contextlib.suppress(ValueError, IndexError, AttributeError, RecursionError):
                    self.busy = json.loads(parts[6]).get("execution_state") == "busy"
                    self.note()
