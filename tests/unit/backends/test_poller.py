"""The polling loop: it queries all active jobs in bulk, sleeps while there are none, and wakes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gridcwl.backends.batch.active_jobs import ActiveJob, ActiveJobs
from gridcwl.backends.batch.poller import Pace, Poller
from gridcwl.backends.batch.states import Phase, Tracked


async def queries(jobs: Sequence[int]) -> list[list[int]]:
    """Of a batch system whose jobs end at the second query."""
    active, asked = ActiveJobs(), list[list[int]]()
    poller = Poller(Pace(0.001, 0.001), active, linger_s=0)

    async def poll() -> None:
        while True:
            asked.append(await poller.due())
            poller.answered()
            if len(asked) == 2:
                for number in asked[-1]:
                    active.forget(active[number])
                return
            poller.polled(changed=True)

    polling = asyncio.create_task(poll())
    await asyncio.sleep(0)
    assert asked == []  # no job is active
    for number in jobs:
        active.add(ActiveJob(number, {}, Tracked(lambda _status: Phase.RUNNING, "Running")))
    poller.wake()
    await polling
    return asked


def test_all_active_jobs_are_queried_in_one_call_until_they_have_ended():
    async def scenario() -> list[list[int]]:
        return await asyncio.wait_for(queries([3, 7]), 30)

    assert asyncio.run(scenario()) == [[3, 7], [3, 7]]
