"""The polling loop: it queries all active jobs in bulk, sleeps while there are none, and wakes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from gridcwl.backends.batch.poller import Pace, Poller
from gridcwl.backends.batch.states import State


class Server:
    """A batch system whose jobs end at the second query."""

    def __init__(self) -> None:
        self.active: list[int] = []
        self.queries: list[list[int]] = []
        self.ended = asyncio.Event()

    async def query(self, numbers: Sequence[int]) -> Mapping[int, State]:
        self.queries.append(list(numbers))
        status = "ended" if len(self.queries) > 1 else "running"
        return dict.fromkeys(numbers, (status, "", ""))

    async def update(self, numbers: Sequence[int], states: Mapping[int, State]) -> bool:
        assert set(states) == set(numbers)
        if states[numbers[0]][0] == "ended":
            self.active.clear()
            self.ended.set()
        return True


async def polled(server: Server, jobs: Sequence[int]) -> None:
    poller = Poller(Pace(0.001, 0.001), lambda: list(server.active), server.query, server.update, linger_s=0)
    polling = asyncio.create_task(poller.run())
    await asyncio.sleep(0)
    assert server.queries == []  # no job is active
    server.active.extend(jobs)
    poller.wake()
    await server.ended.wait()
    polling.cancel()


def test_all_active_jobs_are_queried_in_one_call_until_they_have_ended():
    async def scenario() -> list[list[int]]:
        server = Server()
        await asyncio.wait_for(polled(server, [3, 7]), 30)
        return server.queries

    assert asyncio.run(scenario()) == [[3, 7], [3, 7]]
