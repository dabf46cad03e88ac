"""Streams of bytes over one connection that may be cut.

Frames are numbered by counting them. What was sent is kept until the peer acknowledges it; when the two have a
connection again, each reports how many frames it has received, and the rest is sent again. So a cut loses nothing and
repeats nothing. A stream may have ``WINDOW`` bytes under way: one that nobody reads does not hold up the others.

A frame is its kind, its stream, the length of its payload, and the payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from typing import Any, Callable, Deque, Dict, List, Optional, Set

from gridcwl.worker.engine import Plain

OPEN, DATA, CLOSE, CREDIT, MESSAGE, ACKNOWLEDGE, ALIVE = range(1, 8)
HEAD = struct.Struct("!BII")
PIECE = 1 << 16
"""The most bytes of a frame of a stream."""
WINDOW = 1 << 22
"""The most bytes of a stream that were sent and not read yet."""
LONGEST_MESSAGE = 1 << 16
MOST_STREAMS = 512
ALIVE_S, SILENT_S = 15.0, 60.0
"""Between two signs of life; and how long a peer may be silent before the connection counts as lost."""
_NUMBER = struct.Struct("!Q")


class ProtocolError(Exception):
    """The peer sent what it may not send. Nothing that comes from it can be trusted any more."""


class Stream:
    """One stream, at one end."""

    def __init__(self, session: "StreamSession", number: int, channel: int) -> None:
        self.number, self.channel = number, channel
        self.closed = False
        """At this end."""
        self.ended = False
        """At the other end; what it had sent before can still be read."""
        self._session = session
        self._chunks: Deque[bytes] = Deque()
        self._room, self._unread, self._taken = WINDOW, 0, 0
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        """The next bytes; none at the end."""
        while not self._chunks:
            if self.ended or self.closed:
                return b""
            await self._change()
        chunk = self._chunks.popleft()
        self._taken += len(chunk)
        if self._taken >= WINDOW // 4 and not self.ended:
            self._unread -= self._taken
            self._session._post(CREDIT, self.number, _NUMBER.pack(self._taken))
            self._taken = 0
        return chunk

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the other end does not read.

        Raises:
            ConnectionError: the stream is closed, at this end or the other.
        """
        rest = memoryview(data)
        while rest:
            while not self._room and not self.closed and not self.ended:
                await self._change()
            if self.closed or self.ended:
                raise ConnectionError("the stream is closed")
            piece = bytes(rest[: min(self._room, PIECE)])
            self._room -= len(piece)
            self._session._post(DATA, self.number, piece)
            rest = rest[len(piece) :]

    def close(self) -> None:
        """Close this end: nothing more is sent or read."""
        if not self.closed:
            self.closed = True
            self._session._post(CLOSE, self.number)
            self._session._forget(self)
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _received(self, chunk: bytes) -> None:
        self._unread += len(chunk)
        if self._unread > WINDOW or self.ended:
            raise ProtocolError("it sends more of a stream than it may")
        if chunk and not self.closed:
            self._chunks.append(chunk)
            self._changed.set()

    def _credited(self, count: int) -> None:
        self._room += count
        if self._room > WINDOW:
            raise ProtocolError("it has read more of a stream than there was")
        self._changed.set()

    def _end(self) -> None:
        self.ended = True
        self._changed.set()


class StreamSession:
    """The streams between two peers, whatever connection they have at a time. Made and used in one event loop."""

    def __init__(
        self,
        message: Callable[[Plain], None],
        opened: Optional[Callable[[Stream], None]] = None,
        longest_message: int = LONGEST_MESSAGE,
    ) -> None:
        """``opened`` is called with each stream that the peer opens; without it, the peer may open none."""
        self.received = 0
        """Frames of the peer that have been received, but for those that are not counted."""
        self._message, self._opened, self._longest = message, opened, longest_message
        self._streams: Dict[int, Stream] = {}
        self._gone: Set[int] = set()
        """Closed here, and not at the other end yet: what still comes for them means nothing."""
        self._last = 0
        self._frames: Dict[int, bytes] = {}
        self._first = self._next = self._end = 0
        """Numbers of frames: the first that is not acknowledged, the next one to send, and the next to be made."""
        self._heard = False
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def open(self, channel: int) -> Stream:
        """Open a stream.

        Raises:
            ConnectionError: there are too many.
        """
        if len(self._streams) >= MOST_STREAMS:
            raise ConnectionError("there are too many streams")
        self._last += 1
        stream = self._streams[self._last] = Stream(self, self._last, channel)
        self._post(OPEN, stream.number, bytes([channel]))
        return stream

    def send(self, message: Plain) -> None:
        """Send a message, an object."""
        self._post(MESSAGE, 0, json.dumps(message).encode("ascii"))

    async def delivered(self) -> None:
        """Wait until the peer has acknowledged all that was sent."""
        await self._empty.wait()

    def close_streams(self) -> None:
        """Close all streams at this end."""
        for stream in list(self._streams.values()):
            stream.close()

    def resume(self, received: Any) -> None:
        """The peer has received so many frames: the next connection begins with the one that follows.

        Raises:
            ProtocolError: that cannot be.
        """
        if not isinstance(received, int) or not self._first <= received <= self._end:
            raise ProtocolError("it has received what was never sent")
        self._acknowledged(received)
        self._next = received
        self._wake.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use this connection until it is lost.

        Raises:
            ProtocolError: the peer does not keep to the protocol.
        """
        works = (self._receive(reader), self._send(writer), self._alive(writer))
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
        for task in done:
            error = task.exception()
            if error is not None and not isinstance(error, (OSError, EOFError)):
                raise error

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        acknowledged = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while True:
                if self.received != acknowledged:
                    acknowledged = self.received
                    writer.write(HEAD.pack(ACKNOWLEDGE, 0, _NUMBER.size) + _NUMBER.pack(acknowledged))
                if self._next >= self._end:
                    break
                writer.write(self._frames[self._next])
                self._next += 1
                await writer.drain()
            await writer.drain()

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        while True:
            kind, number, length = HEAD.unpack(await reader.readexactly(HEAD.size))
            if length > (self._longest if kind == MESSAGE else PIECE):
                raise ProtocolError("it sent a frame that is too long")
            payload = await reader.readexactly(length)
            self._heard = True
            if kind == ACKNOWLEDGE:
                self._acknowledged(_number_in(payload))
            elif kind != ALIVE:
                self.received += 1
                self._take(kind, number, payload)
                self._wake.set()

    async def _alive(self, writer: asyncio.StreamWriter) -> None:
        """Give signs of life, until the peer has given none for too long."""
        silent_s = 0.0
        while silent_s < SILENT_S:
            self._heard = False
            await asyncio.sleep(ALIVE_S)
            silent_s = 0.0 if self._heard else silent_s + ALIVE_S
            writer.write(HEAD.pack(ALIVE, 0, 0))

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == MESSAGE:
            self._message(_object_in(payload))
        elif kind == OPEN:
            self._open(number, payload)
        elif number in self._gone:
            if kind == CLOSE:
                self._gone.discard(number)
        elif number not in self._streams:
            raise ProtocolError("it names a stream that there is not")
        elif kind == DATA:
            self._streams[number]._received(payload)
        elif kind == CREDIT:
            self._streams[number]._credited(_number_in(payload))
        elif kind == CLOSE:
            self._streams[number]._end()
        else:
            raise ProtocolError("it sent a frame of an unknown kind")

    def _open(self, number: int, payload: bytes) -> None:
        crowded = len(self._streams) >= MOST_STREAMS
        if self._opened is None or crowded or number in self._streams or number in self._gone or len(payload) != 1:
            raise ProtocolError("it opened a stream that it may not open")
        stream = self._streams[number] = Stream(self, number, payload[0])
        self._opened(stream)

    def _post(self, kind: int, number: int, payload: bytes = b"") -> None:
        self._frames[self._end] = HEAD.pack(kind, number, len(payload)) + payload
        self._end += 1
        self._empty.clear()
        self._wake.set()

    def _acknowledged(self, count: int) -> None:
        if count > self._end:
            raise ProtocolError("it has received what was never sent")
        while self._first < count:
            del self._frames[self._first]
            self._first += 1
        if self._first == self._end:
            self._empty.set()

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.number, None) is not None and not stream.ended:
            self._gone.add(stream.number)


async def bridge(
    stream: Stream,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    used: Optional[Callable[[], None]] = None,
) -> None:
    """Carry bytes between a stream and a connection of this machine, until one of them ends; both are closed then.

    ``used`` is called whenever bytes of this machine are sent.
    """

    async def outwards() -> None:
        while data := await reader.read(PIECE):
            if used is not None:
                used()
            await stream.write(data)

    async def inwards() -> None:
        while data := await stream.read():
            writer.write(data)
            await writer.drain()

    tasks: List[asyncio.Future[None]] = [asyncio.ensure_future(work) for work in (outwards(), inwards())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stream.close()
        with contextlib.suppress(RuntimeError):
            writer.close()


def _number_in(payload: bytes) -> int:
    if len(payload) != _NUMBER.size:
        raise ProtocolError("it sent a number that is none")
    number: int = _NUMBER.unpack(payload)[0]
    return number


def _object_in(payload: bytes) -> Plain:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProtocolError("it sent a message that is not an object")
    return found
