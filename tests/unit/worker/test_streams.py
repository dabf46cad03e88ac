"""Streams over a connection that is cut again and again: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.worker import streams
from gridcwl.worker.streams import HEAD, PIECE, WINDOW, ProtocolError, Stream, StreamSession


class Pipe:
    """One direction of a connection, as ``StreamWriter``; it breaks when so many bytes have passed."""

    def __init__(self, far: asyncio.StreamReader, room: float, broken: Callable[[], None]) -> None:
        self._far, self._room, self._broken = far, room, broken

    def write(self, data: bytes) -> None:
        passed = data[: int(min(self._room, len(data)))]
        self._room -= len(data)
        if passed and not self._far.at_eof():
            with contextlib.suppress(AssertionError):  # it is at its end
                self._far.feed_data(passed)
        if self._room < 0:
            self._broken()

    async def drain(self) -> None:
        await asyncio.sleep(0)
        if self._room < 0:
            raise ConnectionResetError

    def close(self) -> None:
        self._broken()


async def connected(one: StreamSession, other: StreamSession, room: float = float("inf")) -> None:
    """A connection of the two until it breaks, as node and client have it."""
    to_one, to_other = asyncio.StreamReader(), asyncio.StreamReader()

    def broken() -> None:
        to_one.feed_eof()
        to_other.feed_eof()

    one.resume(other.received)
    other.resume(one.received)
    ends = (one.carry(to_one, Pipe(to_other, room, broken)), other.carry(to_other, Pipe(to_one, room, broken)))  # type: ignore[arg-type]
    await asyncio.gather(*ends)


async def until_done(one: StreamSession, other: StreamSession, cuts: list[int], work: Any) -> Any:
    """Do the work, with connections that break after so many bytes, and a last one that lasts."""

    async def connections() -> None:
        for room in cuts:
            await connected(one, other, room)
        await connected(one, other)

    carrying = asyncio.ensure_future(connections())
    try:
        return await asyncio.wait_for(work, 60)
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)


def ignored(_: Any) -> None:
    pass


async def all_of(stream: Stream) -> bytes:
    return b"".join([chunk async for chunk in chunks(stream)])


async def chunks(stream: Stream) -> Any:
    while chunk := await stream.read():
        yield chunk


@given(
    sent=st.lists(st.lists(st.binary(max_size=300), max_size=6), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 900), max_size=8),
)
def test_what_is_sent_arrives_once_and_in_order_however_often_the_connection_is_cut(
    sent: list[list[bytes]], cuts: list[int]
) -> None:
    async def run() -> list[tuple[int, bytes, bytes]]:
        got: dict[int, asyncio.Future[bytes]] = {}

        def opened(stream: Stream) -> None:
            async def echo() -> bytes:
                received = b""
                for chunk in sent[stream.channel]:
                    while len(received) < len(chunk):
                        received += await stream.read()
                    await stream.write(received[::-1])
                    got_all[stream.channel] += received
                    received = b""
                return await all_of(stream)

            got[stream.channel] = asyncio.ensure_future(echo())

        got_all = dict.fromkeys(range(len(sent)), b"")
        near, far = StreamSession(ignored), StreamSession(ignored, opened)

        async def one(channel: int) -> tuple[int, bytes, bytes]:
            stream = near.open(channel)
            answers = b""
            for chunk in sent[channel]:
                await stream.write(chunk)
                answer = b""
                while len(answer) < len(chunk):
                    answer += await stream.read()
                answers += answer
            stream.close()
            await near.delivered()
            assert await got[channel] == b""
            return channel, got_all[channel], answers

        work = asyncio.gather(*(one(channel) for channel in range(len(sent))))
        return list(await until_done(near, far, cuts, work))

    for channel, arrived, answers in asyncio.run(run()):
        assert arrived == b"".join(sent[channel])
        assert answers == b"".join(chunk[::-1] for chunk in sent[channel])


@given(count=st.integers(1, 30), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_messages_arrive_once_and_in_order(count: int, cuts: list[int]) -> None:
    async def run() -> list[Any]:
        got: list[Any] = []
        near, far = StreamSession(ignored), StreamSession(got.append)
        for number in range(count):
            near.send({"number": number})
        await until_done(near, far, cuts, near.delivered())
        return got

    assert asyncio.run(run()) == [{"number": number} for number in range(count)]


def test_a_stream_that_nobody_reads_holds_up_no_other() -> None:
    async def run() -> tuple[bytes, bool]:
        opened: list[Stream] = []
        both = asyncio.Event()

        def arrived(stream: Stream) -> None:
            opened.append(stream)
            if len(opened) == 2:
                both.set()

        near, far = StreamSession(ignored), StreamSession(ignored, arrived)
        stuck, other = near.open(1), near.open(2)

        async def work() -> tuple[bytes, bool]:
            flood = asyncio.ensure_future(stuck.write(b"x" * (WINDOW + 1)))
            await other.write(b"interrupt")
            await both.wait()
            answer = await opened[1].read()
            waits = not flood.done()
            read = 0
            while read <= WINDOW:
                read += len(await opened[0].read())
            await flood
            return answer, waits

        return await until_done(near, far, [], work())

    assert asyncio.run(run()) == (b"interrupt", True)


def test_what_was_sent_before_the_end_of_a_stream_can_be_read_and_then_the_stream_is_gone() -> None:
    async def run() -> tuple[bytes, int]:
        opened: list[Stream] = []
        near, far = StreamSession(ignored), StreamSession(ignored, opened.append)
        stream = near.open(1)

        async def work() -> tuple[bytes, int]:
            await stream.write(b"last words")
            stream.close()
            await near.delivered()
            found = await all_of(opened[0])
            opened[0].close()
            await far.delivered()
            with pytest.raises(ConnectionError):
                await opened[0].write(b"x")
            return found, len(near._streams) + len(far._streams) + len(near._gone) + len(far._gone)

        return await until_done(near, far, [], work())

    assert asyncio.run(run()) == (b"last words", 0)


def frame(kind: int, number: int, payload: bytes) -> bytes:
    return HEAD.pack(kind, number, len(payload)) + payload


NUMBER = (5).to_bytes(8, "big")


@pytest.mark.parametrize(
    "sent",
    [
        frame(streams.OPEN, 1, b"\1"),  # only the client opens streams
        frame(streams.DATA, 7, b"x"),
        frame(streams.CREDIT, 1, NUMBER),  # nothing of it was sent
        frame(streams.CREDIT, 1, b"x"),
        frame(streams.ACKNOWLEDGE, 0, NUMBER),
        frame(streams.MESSAGE, 0, b"[]"),
        frame(streams.MESSAGE, 0, b"[" * 60_000),
        frame(99, 1, b""),
        HEAD.pack(streams.DATA, 1, PIECE + 1),
        HEAD.pack(streams.MESSAGE, 0, streams.LONGEST_MESSAGE + 1),
        frame(streams.CLOSE, 1, b"") + frame(streams.DATA, 1, b"x"),
        frame(streams.DATA, 1, b"x" * PIECE) * (WINDOW // PIECE) + frame(streams.DATA, 1, b"x"),
    ],
)
def test_a_peer_that_breaks_the_protocol_is_given_up(sent: bytes) -> None:
    async def run() -> None:
        session = StreamSession(ignored)
        session.open(1)
        reader = asyncio.StreamReader(limit=1 << 30)
        reader.feed_data(sent)
        with pytest.raises(ProtocolError):
            await asyncio.wait_for(session.carry(reader, Pipe(asyncio.StreamReader(), 1e9, reader.feed_eof)), 60)  # type: ignore[arg-type]

    asyncio.run(run())


@pytest.mark.parametrize("received", [-1, 3, "1", None, 1.5, json.loads("1e400")])
def test_a_peer_that_resumes_what_never_was_is_given_up(received: Any) -> None:
    async def run() -> None:
        session = StreamSession(ignored)
        session.send({})
        with pytest.raises(ProtocolError):
            session.resume(received)

    asyncio.run(run())
