"""Events of a run at a service, when the connection breaks or the service is started again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gridcwl.model import JobId, RunId
from gridcwl.remote import following
from gridcwl.runs.events import Event, JobStarted, RunEnded, RunStarted

RUN = RunId("run")
BEGUN, FIRST, SECOND = RunStarted(RUN), JobStarted(RUN, "one", JobId("1")), JobStarted(RUN, "two", JobId("2"))
ENDED = RunEnded(RUN, "success", "")


class Broken:
    """A service whose connections end after so many events."""

    url = "http://127.0.0.1:1"

    def __init__(self, *connections: tuple[str, list[Event]]) -> None:
        self._connections = list(connections)

    def events(self, run: str) -> Iterator[dict[str, Any]]:  # noqa: ARG002
        session, events = self._connections.pop(0)
        for event in events:
            yield following.plain_event(event) | {"session": session}


@pytest.mark.parametrize(
    ("connections", "seen"),
    [
        ([("a", [BEGUN, FIRST]), ("a", [BEGUN, FIRST, SECOND, ENDED])], [BEGUN, FIRST, SECOND, ENDED]),
        ([("a", [BEGUN, FIRST]), ("b", [BEGUN, SECOND, ENDED])], [BEGUN, FIRST, BEGUN, SECOND, ENDED]),
        ([("a", [BEGUN, FIRST, SECOND]), ("", [ENDED])], [BEGUN, FIRST, SECOND, ENDED]),
        ([("a", [BEGUN, FIRST, SECOND]), ("a", [ENDED])], [BEGUN, FIRST, SECOND, ENDED]),
    ],
    ids=["the connection breaks", "the service is started again", "it ends meanwhile", "only its end is left"],
)
def test_each_event_comes_once_and_the_end_always_comes(
    connections: list[tuple[str, list[Event]]], seen: list[Event], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "_LOOK_EVERY_S", 0.0)

    async def main() -> list[Event]:
        return [event async for event in following.events(Broken(*connections), "run")]  # type: ignore[arg-type]

    assert asyncio.run(main()) == seen
