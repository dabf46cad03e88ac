"""The HTTP server around the application, from its start to its graceful end."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from gridcwl.errors import ConfigError
from gridcwl.service.app import application
from gridcwl.service.driver_processes import leave
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.web import Service

_IDLE_S = 75
"""How long a connection without requests stays open: longer than proxies and clients keep one, or they would send a
request into one that is being closed."""
_PATIENCE_S = 10
"""For requests that are under way when the service is to end."""


async def serve(settings: ServiceSettings, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. Active runs are suspended then, and resumed by the next service on this folder.

    Args:
        settings: checked.
        ready: is given the URL, once requests are answered.
        stop: set by the caller, as for signals.

    Raises:
        ConfigError: the address is in use, or another service works on the folder.
        StoreError: the database is unavailable.
    """
    app = application(settings, leave)
    with bound_to(settings) as bound:
        url = settings.public_url or _url(settings, bound)
        config = uvicorn.Config(
            app,
            lifespan="off",  # what cannot be opened is an error of ours, not a traceback of the server's
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_PATIENCE_S,
            timeout_keep_alive=_IDLE_S,
            proxy_headers=bool(settings.public_url),
        )
        server = _Server(config, lambda: ready(url))
        async with app.router.lifespan_context(app):
            stopping = asyncio.create_task(_stop(server, stop, app.state.service))
            try:
                await server.serve(sockets=[bound])
            finally:
                stopping.cancel()


def _url(settings: ServiceSettings, bound: socket.socket) -> str:
    if settings.unix_socket is not None:
        return f"unix:{settings.unix_socket}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{bound.getsockname()[1]}"


async def _stop(server: uvicorn.Server, stop: asyncio.Event, service: Service) -> None:
    await stop.wait()
    service.ending = True
    server.should_exit = True


class _Server(uvicorn.Server):
    """uvicorn's server; says when it answers, and leaves signals to its caller."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See ``uvicorn.Server``."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()


@contextmanager
def bound_to(settings: ServiceSettings) -> Iterator[socket.socket]:
    """The socket that the service listens on.

    Raises:
        ConfigError: the address is in use, or not this machine's.
    """
    if settings.unix_socket is not None:
        with _bound_to_file(settings.unix_socket) as bound:
            yield bound
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # the protocol by name: asyncio sets TCP_NODELAY only then, and answers would wait 40 ms for an acknowledgement
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as bound:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigError(
                f"The service cannot listen on {settings.host}:{settings.port}: {error.strerror}",
                remedy="Choose another --port; 0 takes a free one.",
            ) from None
        yield bound


@contextmanager
def _bound_to_file(path: Path) -> Iterator[socket.socket]:
    """A socket in the file system that only this user can connect to. What a dead service left there is replaced."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        try:
            if path.is_socket() and not _answers(path):
                path.unlink()
            before = os.umask(0o177)
            try:
                bound.bind(str(path))
            finally:
                os.umask(before)
        except OSError as error:
            raise ConfigError(
                f"The service cannot listen on {path}: {error.strerror or error}",
                remedy="Choose another --unix-socket.",
            ) from None
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True
