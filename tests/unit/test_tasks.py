"""A task group whose tasks end with its block."""

from __future__ import annotations

import asyncio

import pytest

from gridcwl.tasks import TaskScope, in_thread, stop, wait_for_any


async def for_ever(ended: list[str] | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("ended")


def test_leaving_the_block_ends_its_tasks() -> None:
    ended: list[str] = []

    async def go() -> str:
        async with TaskScope() as tasks:
            tasks.start(for_ever(ended))
            await asyncio.sleep(0)
            return "left"

    assert asyncio.run(go()) == "left"
    assert ended == ["ended"]


def test_the_error_of_a_task_ends_the_block_and_the_others_and_comes_by_itself() -> None:
    ended: list[str] = []

    async def fail() -> None:
        raise ValueError("a task")

    async def go() -> None:
        async with TaskScope() as tasks:
            tasks.start(for_ever(ended))
            await asyncio.sleep(0)
            tasks.start(fail())
            await for_ever()

    with pytest.raises(ValueError, match="a task"):
        asyncio.run(go())
    assert ended == ["ended"]


def test_the_error_of_the_block_goes_on_as_it_is() -> None:
    error = ValueError("the block")
    error.__cause__ = KeyError("why")

    async def go() -> None:
        async with TaskScope() as tasks:
            tasks.start(for_ever())
            raise error

    with pytest.raises(ValueError, match="the block") as raised:
        asyncio.run(go())
    assert raised.value is error
    assert isinstance(raised.value.__cause__, KeyError)


def test_the_first_error_of_scopes_within_each_other_comes_by_itself() -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail_within())
            await for_ever()

    async def fail_within() -> None:
        raise ValueError("deep")

    async def go() -> None:
        async with TaskScope() as tasks:
            tasks.start(fail())
            await for_ever()

    with pytest.raises(ValueError, match="deep"):
        asyncio.run(go())


def test_cancelling_the_block_cancels_its_tasks_and_is_a_cancellation() -> None:
    ended: list[str] = []

    async def scope() -> None:
        async with TaskScope() as tasks:
            tasks.start(for_ever(ended))
            await for_ever()

    async def go() -> bool:
        async with TaskScope() as tasks:
            task = tasks.start(scope())
            await asyncio.sleep(0.01)
            await stop([task])
            return task.cancelled()

    assert asyncio.run(go())
    assert ended == ["ended"]


def test_work_in_a_thread_does_not_end_with_who_waits_for_it() -> None:
    async def go() -> int:
        work = in_thread(lambda: 7)
        waiting = asyncio.gather(asyncio.shield(work))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await work

    assert asyncio.run(go()) == 7


def test_a_scope_ends_its_tasks_although_what_they_work_for_cannot_be_closed() -> None:
    ended: list[str] = []

    async def close() -> None:
        raise ValueError("it cannot be closed")

    async def go() -> None:
        scope = await TaskScope().__aenter__()
        scope.start(for_ever(ended))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="cannot be closed"):
            await scope.close_after(close)

    asyncio.run(go())
    assert ended == ["ended"]


def test_waiting_for_events_ends_with_the_first_of_them_and_leaves_no_task() -> None:
    async def go() -> int:
        first, second = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().call_soon(second.set)
        await wait_for_any(first, second, timeout_s=600)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(go()) == 1
