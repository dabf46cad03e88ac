"""``gridcwl shell --site SITE``: the container of a job at a site, by a node that connects to this terminal."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pty
import signal
import socket
import ssl
import sys
import tarfile
import tempfile
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gridcwl import plugins
from gridcwl.backends.nodes import (
    NODE_CERTIFICATE,
    NODE_KEY,
    NodeHost,
    NodeRequest,
    listening_socket,
    own_address,
    sandbox_files,
    server_tls,
    write_certificate,
)
from gridcwl.cli.interactive import at_terminal, plain_of
from gridcwl.cli.terminal import escaped
from gridcwl.errors import BackendError, ConfigError, UnsupportedError
from gridcwl.model import Job, paths
from gridcwl.worker.shell_node import CHUNK, FILES, SETTINGS, ShellConnection

_MOST_FILES = 6 << 20
"""Bytes of input files of this machine that go along."""
_HANDSHAKE_S, _LOOK_S, _LEAVE_S = 30.0, 5.0, 10.0
_HOOK = "open_nodes"


@dataclass(frozen=True, slots=True)
class SiteShell:
    """Where a shell is to run."""

    backend: str
    site: str
    engine: str = ""
    """On this machine, where the backend is that."""
    host: str = ""
    """The name or address by which sites reach this machine."""
    time_s: int = 4 * 3600


def has_nodes(backend: str) -> bool:
    """Whether a backend can start one."""
    return backend in plugins.backends() and _HOOK in plugins.backend(backend).hooks


def run_at_site(job: Job, command: Sequence[str], where: SiteShell) -> int:
    """Run a command in the container of a job at a site, with this terminal; returns the command's exit code.

    Raises:
        BackendError: the node does not start, or the connection was lost.
        ConfigError: the backend has no nodes.
    """
    plugin = plugins.backend(where.backend)
    if _HOOK not in plugin.hooks:
        able = sorted(name for name, one in plugins.backends().items() if _HOOK in one.hooks)
        raise ConfigError(f"The backend {where.backend} has no nodes for shells", remedy=f"Choose {' or '.join(able)}.")
    module = plugins.loaded(plugin)
    settings = plugins.configured(plugin, plugins.configuration())
    sites = module.node_sites(settings) if hasattr(module, "node_sites") else {}
    if where.engine:
        sites = {"*": {**sites.get("*", {}), "engines": [where.engine]}}
    job = asyncio.run(_with_sources(job))
    with tempfile.TemporaryDirectory(prefix="gridcwl-shell-") as name, listening_socket("", 0) as listening:
        folder = Path(name)
        write_certificate(folder / NODE_CERTIFICATE, folder / NODE_KEY)
        terminal = at_terminal()
        (box := folder / "sandbox").mkdir(mode=0o700)
        plain, carried = _carried(job, box)
        about = {
            "host": where.host or own_address(), "port": listening.getsockname()[1], "time_s": where.time_s,
            "job": json.dumps(plain), "carried": bool(carried), "command": list(command), "sites": sites,
            "terminal": terminal, "term": os.environ.get("TERM", ""), "folder": "job",
            "size": _size() if terminal else None,
        }  # fmt: skip
        files = sandbox_files(box, folder, "gridcwl.worker.shell_node", SETTINGS, about) + carried
        request = NodeRequest(
            f"gridcwl-shell-{os.urandom(4).hex()}", tuple(files), cores=max(1, round(job.resources.cores)),
            ram_mib=max(1024, int(job.resources.ram_mib)), time_s=where.time_s, site=where.site, prefix="shell-",
        )  # fmt: skip
        with module.open_nodes(settings) as nodes:
            _report(
                f"Waiting for a node at {where.site or 'any site'}, which connects to {about['host']}:{about['port']}"
            )
            node = nodes.start(request)
            return _served(nodes, node, listening, server_tls(folder), terminal=terminal, here=not plugin.remote)


def _served(
    nodes: NodeHost, node: str, listening: socket.socket, tls: ssl.SSLContext, *, terminal: bool, here: bool
) -> int:
    connection = None
    try:
        connection = _accepted(nodes, node, listening, tls)
        code = _relayed(connection, terminal=terminal)
    except BaseException:
        if connection is not None:
            connection.close()
        nodes.end(node)
        raise
    connection.close()
    until = time.monotonic() + _LEAVE_S
    while here and nodes.ended(node) is None and time.monotonic() < until:  # it works in a folder that is removed
        time.sleep(0.05)
    return code


def _report(text: str) -> None:
    print(f"gridcwl: {escaped(text)}", file=sys.stderr, flush=True)


# -- what the node gets ------------------------------------------------------------------------------------------------


async def _with_sources(job: Job) -> Job:
    """The job with the replicas of inputs that a store holds, as workers read them."""
    urls: dict[str, list[str]] = {}
    for entry in job.staged:
        for url in entry.sources:
            if name := plugins.store_of_location(url):
                urls.setdefault(name, []).append(url)
    for name, wanted in urls.items():
        plugin = plugins.store(name)
        if not plugin.between_jobs:
            continue
        store = plugins.loaded(plugin).open_run_store(plugins.configured(plugin, plugins.configuration()), None)
        with contextlib.closing(store):
            await asyncio.to_thread(store.files.find, list(dict.fromkeys(wanted)))
            (job,) = await store.locate([job])
    return job


def _carried(job: Job, box: Path) -> tuple[dict[str, Any], list[Path]]:
    """The job for the worker, and the archive of those of its inputs that are on this machine."""
    plain = plain_of(replace(job))
    names: dict[str, str] = {}
    archive_path = box / FILES
    with tarfile.open(archive_path, "w") as archive:
        for entry in plain["staged"]:
            entry["sources"] = [_along(source, archive, names) for source in entry["sources"]]
    return plain, [archive_path] if names else []


def _along(source: str, archive: tarfile.TarFile, names: dict[str, str]) -> str:
    if not source.startswith("file://"):
        return source
    if source not in names:
        path = Path(paths.file_path(source, "The location of an input"))
        names[source] = f"files/{len(names)}/{path.name}"
        if not path.exists():
            raise ConfigError(f"The input {path} does not exist any more")
        archive.add(path.resolve(), names[source])
        if archive.offset > _MOST_FILES:
            raise UnsupportedError(
                f"{path} is on this machine, and with it more than {_MOST_FILES >> 20} MiB would travel to the site",
                remedy="Give the input as a DID in Rucio, or leave out --site.",
            )
    return names[source]


# -- the terminal ------------------------------------------------------------------------------------------------------


def _accepted(nodes: NodeHost, node: str, listening: socket.socket, tls: ssl.SSLContext) -> ShellConnection:
    """The node's connection. Whoever has another certificate is refused."""
    listening.settimeout(_LOOK_S)
    while True:
        try:
            plain, _ = listening.accept()
        except TimeoutError:
            if (reason := nodes.ended(node)) is not None:
                raise BackendError(f"The shell did not start: {reason.rstrip('.')}") from None
            continue
        try:
            plain.settimeout(_HANDSHAKE_S)
            connection = ShellConnection(tls.wrap_socket(plain, server_side=True))
        except OSError:
            plain.close()
            continue
        hello = connection.receive()
        if hello is None or "hello" not in hello:
            connection.close()
            continue
        site = f" at {str(hello['site'])[:80]}" if hello.get("site") else ""
        _report(f"Connected to {str(hello['hello'])[:80]}{site}; the inputs are fetched")
        return connection


def _relayed(connection: ShellConnection, *, terminal: bool) -> int:
    """Carry bytes between this terminal and the node until the command has ended; returns its exit code."""
    threading.Thread(target=_send_input, args=(connection,), daemon=True).start()
    outputs = {"out": pty.STDOUT_FILENO, "err": pty.STDERR_FILENO}
    with _raw(connection) if terminal else contextlib.nullcontext():
        while (message := connection.receive()) is not None:
            if isinstance(code := message.get("exit"), int):
                return 128 - code if code < 0 else code & 0xFF
            if "failed" in message:
                reason = escaped(str(message["failed"])[:4000]).rstrip(".")
                raise BackendError(f"The container could not be opened: {reason}")
            for name, descriptor in outputs.items():
                if name in message:
                    _write(descriptor, message[name])
    raise BackendError("The connection to the node was lost", remedy="What ran there is stopped.")


def _write(descriptor: int, text: Any) -> None:
    with contextlib.suppress(ValueError, TypeError):  # not base64
        rest = base64.b64decode(text)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _send_input(connection: ShellConnection) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(pty.STDIN_FILENO, CHUNK):
            connection.send_bytes("in", data)
    connection.send({"eof": True})


def _size() -> list[int]:
    """Rows and columns of this terminal."""
    size = os.get_terminal_size(pty.STDIN_FILENO)
    return [size.lines, size.columns]


@contextlib.contextmanager
def _raw(connection: ShellConnection) -> Iterator[None]:
    """Every key goes to the command, Ctrl-C among them, and the size of the terminal is the command's."""

    def resized(*_: object) -> None:
        connection.send({"size": _size()})

    import termios

    descriptor = pty.STDIN_FILENO
    before = termios.tcgetattr(descriptor)
    handler = signal.signal(signal.SIGWINCH, resized)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
