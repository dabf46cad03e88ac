"""A run's side of Rucio for tests: the client on a fake server or on the testbed's, elements, stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from gridcwl.stores.rucio.client import RucioClient
from gridcwl.stores.rucio.elements import find_elements
from gridcwl.stores.rucio.names import Naming
from gridcwl.stores.rucio.settings import RucioSettings
from gridcwl.stores.rucio.store import RucioStore
from gridcwl.testbed.fakes.rucio import FakeRucio

T = TypeVar("T")


def now(question: Coroutine[Any, Any, T]) -> T:
    """The answer."""
    return asyncio.run(question)


class Quick:
    """A clock that a waiting client moves itself: no test waits for a pause."""

    def __init__(self) -> None:
        self.time = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.time += seconds
        self.pauses.append(seconds)
        return False


def fake_server(folder: Path) -> FakeRucio:
    """A fake Rucio whose storage elements are there."""
    server = FakeRucio(folder)
    for name in server.sites:
        (folder / name).mkdir(parents=True)
    return server


def client_of(make: Callable[[], Any]) -> tuple[RucioClient, Quick]:
    """A client that does not wait, and the clock that says how long it would have."""
    clock = Quick()
    client = RucioClient(make, chance=lambda: 0.5, clock=clock)
    client._closing.wait = clock.wait  # type: ignore[method-assign, assignment]
    return client, clock


def store_of(client: RucioClient, run: str, element: str, scope: str = "user.runner") -> RucioStore:
    """A store that puts files into one element."""
    elements = now(find_elements(client, RucioSettings(elements=element)))
    return RucioStore(client, elements, Naming(scope, "{run}/{step}", run))
