"""The streams of a Docker container: one socket with numbered frames on it, and the files on this machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import docker

from gridcwl.worker.engine import EngineError

_CHUNK = 256 * 1024
_HEADER = struct.Struct(">BxxxL")
_STDOUT, _STDERR = 1, 2
_SILENCE_S = 1.0


class Streams:
    """The files behind a tool's stdin, stdout and stderr, opened together; a context manager that closes them.

    Raises:
        OSError: one of them could not be opened.
    """

    def __init__(self, stdin: str | None, stdout: str, stderr: str) -> None:
        with contextlib.ExitStack() as files:
            self.stdin = files.enter_context(Path(stdin).open("rb")) if stdin is not None else None
            out = files.enter_context(Path(stdout).open("wb"))
            # Both streams in one file share one position, or they would overwrite each other.
            err = out if stderr == stdout else files.enter_context(Path(stderr).open("wb"))
            self.sinks: Mapping[int, IO[bytes]] = {_STDOUT: out, _STDERR: err}
            self._files = files.pop_all()

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._files.close()


class Demultiplexer:
    """Takes frames apart, however the bytes come, and writes each to the file of its stream.

    A frame is the stream's number, three zero bytes, the length in four bytes, and as many bytes.
    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    """

    def __init__(self, sinks: Mapping[int, IO[bytes]]) -> None:
        self._sinks = sinks
        self._header = b""
        self._sink = sinks[_STDOUT]
        self._left = 0

    def feed(self, data: memoryview) -> None:
        """Write what is in these bytes.

        Raises:
            EngineError: they are not frames.
            OSError: a file could not be written.
        """
        while data:
            if self._left:
                part = data[: self._left]
                self._sink.write(part)
                self._left -= len(part)
                data = data[len(part) :]
                continue
            part = data[: _HEADER.size - len(self._header)]
            self._header += part
            data = data[len(part) :]
            if len(self._header) == _HEADER.size:
                number, self._left = _HEADER.unpack(self._header)
                self._header = b""
                if number not in self._sinks:
                    raise EngineError(f"Docker sent something that is no output of the tool (stream {number}).")
                self._sink = self._sinks[number]

    @property
    def between_frames(self) -> bool:
        """Whether nothing is missing of the last frame."""
        return not self._left and not self._header


class Attachment:
    """The connection to a container's streams."""

    def __init__(self, api: docker.APIClient, identifier: str, *, stdin: bool) -> None:
        self._raw: Any = api.attach_socket(
            identifier, params={"stream": 1, "stdout": 1, "stderr": 1, "stdin": int(stdin)}
        )
        # A SocketIO over a plain connection, the socket itself over TLS (APIClient._get_raw_response_socket).
        self._socket: socket.socket = getattr(self._raw, "_sock", self._raw)
        self._socket.settimeout(None)

    def copy(self, streams: Streams) -> bool:
        """Feed stdin, and write the other two, until the container closes them.

        Returns:
            False if they are still open, but the tool has ended.

        Raises:
            EngineError: the connection broke.
            OSError: a file could not be written.
        """
        if streams.stdin is None:
            return self._drain(streams)
        feeder = threading.Thread(target=self._feed, args=(streams.stdin,), name="stdin", daemon=True)
        self._unfed: BaseException | None = None
        feeder.start()
        try:
            return self._drain(streams)
        finally:
            # A tool that has not read all of its stdin leaves the feeder waiting for room.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            feeder.join()
            if self._unfed is not None:
                raise EngineError(f"The tool's standard input could not be sent: {self._unfed}.", temporary=True)

    def close(self) -> None:
        """Give the connection up; safe to call twice."""
        # The response first: it flushes the file object on the socket. It is where the SDK leaves it.
        response = getattr(self._raw, "_response", None)
        for closeable in (response, self._raw):
            if closeable is not None:
                with contextlib.suppress(OSError, ValueError):
                    closeable.close()

    def _over(self) -> bool:
        """Whether the tool has ended although its streams are open; asked where there is a limit to silence."""
        return False

    def _drain(self, streams: Streams) -> bool:
        frames = Demultiplexer(streams.sinks)
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            try:
                size = self._socket.recv_into(buffer)
            except TimeoutError:
                if self._over():
                    return False
                continue
            except OSError as error:
                raise EngineError(f"The connection to the running container broke: {error}.", temporary=True) from error
            if not size:
                break
            frames.feed(buffer[:size])
            for sink in streams.sinks.values():
                sink.flush()  # so that a log can be followed
        if not frames.between_frames:
            raise EngineError(
                "The connection to the running container broke in the middle of its output.", temporary=True
            )
        return True

    def _feed(self, source: IO[bytes]) -> None:
        try:
            while chunk := source.read(_CHUNK):
                self._socket.sendall(chunk)
        except OSError:
            pass  # the tool may end before it has read all; that is its own affair
        except BaseException as error:  # noqa: BLE001  raised again by copy: this thread has nobody to tell
            self._unfed = error
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)


class ExecAttachment(Attachment):
    """The connection to the streams of a process that was started in a container that keeps running.

    It may end before the streams: what it left in the background may hold them open for ever.
    """

    def __init__(self, api: docker.APIClient, identifier: str, runs: Callable[[], bool]) -> None:
        """Start the process and listen to it. ``runs`` asks the engine whether it still does."""
        self._raw = api.exec_start(identifier, socket=True)
        self._socket = getattr(self._raw, "_sock", self._raw)
        self._socket.settimeout(_SILENCE_S)
        self._runs = runs

    def _over(self) -> bool:
        """Asked when nothing came for a while."""
        return not self._runs()
