"""What Jupyter calls to start a kernel whose kernelspec names ``gridcwl-provisioner``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Dict

from gridcwl import plugins
from gridcwl.backends.nodes import NODE_CERTIFICATE, NODE_KEY, write_certificate
from gridcwl.errors import BackendError, ConfigError
from gridcwl.jupyter.kernels.model import KernelRequest, Record, active, is_alive, load, remove, save
from gridcwl.worker.kernel_process import short_folder

_RELAY_S = 60.0
_ANSWER_S = 30.0
_LOST = 1
_ATTACHMENTS = "rucio_attachments"
"""Where rucio-jupyterlab has a notebook's DIDs, in its metadata."""


class GridcwlProvisioner(KernelProvisionerBase):
    """A kernel in a job: its relay does the work, and outlives the Jupyter server."""

    settings = Dict(help="Where the kernel runs: see gridcwl kernel add").tag(config=True)

    _record: Record | None = None
    _lease: socket.socket | None = None
    _launched = False
    _adopted = False
    _wanted = True
    """A start was asked for, and is not an attempt to restart what has ended by itself."""
    _has_process = False

    @property
    def has_process(self) -> bool:
        """See the base class."""
        return self._has_process

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """See the base class. A kernel that a Jupyter server has left for this notebook is taken over."""
        for name in ("transport_encryption", "extra_arguments"):
            kwargs.pop(name, None)
        environment = kwargs.get("env") or {}
        if self._record is None:
            notebook = str(environment.get("JPY_SESSION_NAME") or "")
            self._record = await asyncio.to_thread(self._found, notebook)
            self._adopted = self._record is not None
            if self._record is None:
                self._record = await asyncio.to_thread(self._created, notebook)
            self._attach()
        self.connection_info = cast(KernelConnectionInfo, self._record.connection_info())
        manager = self.parent
        if manager is not None and not self._launched:
            manager.load_connection_info(self.connection_info)
            manager.write_connection_file()
        return await super().pre_launch(cmd=list(self.kernel_spec.argv), **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:  # noqa: ARG002
        """See the base class.

        Raises:
            BackendError: the kernel does not start; why.
        """
        record = self._record
        assert record is not None
        if not self._adopted:
            await self._start(record, kwargs.get("env") or {})
        self._adopted = self._wanted = False
        self._launched = self._has_process = True
        return self.connection_info

    async def _start(self, record: Record, environment: dict[str, str]) -> None:
        if self._launched and not self._wanted:
            state = await self._ask("state")
            if state["kernel"] == "ended":
                raise BackendError(state["reason"].rstrip("."), remedy="Restart the kernel to start it again.")
        own = {**self.kernel_spec.env, **{k: v for k, v in environment.items() if k == "JPY_SESSION_NAME"}}
        inputs = list(dict.fromkeys([*record.request.inputs, *attached(record.notebook)]))
        try:
            state = await self._ask("start", environment=own, inputs=inputs)
        except asyncio.CancelledError:
            await asyncio.shield(self._end())
            raise
        if state["kernel"] != "running":
            if not self._launched:
                await self._end()
            reason, _, remedy = state["reason"].partition("\n")
            raise BackendError(f"{record.title}: {reason.rstrip('.')}", remedy=remedy or _remedy(record))

    async def poll(self) -> int | None:
        """See the base class. While the connection to its node is lost, a kernel counts as running."""
        if not self._has_process:
            return 0
        state = await self._ask("state")
        return None if state["kernel"] in ("running", "starting") else int(state["code"])

    async def wait(self) -> int | None:
        """See the base class."""
        code: int | None = 0
        while self._has_process and (code := await self.poll()) is None:  # noqa: ASYNC110  another process's state
            await asyncio.sleep(0.1)
        self._has_process = False
        return code

    async def send_signal(self, signum: int) -> None:
        """See the base class. A kernel is interrupted by a message of Jupyter's, not by a signal."""
        if signum in (signal.SIGKILL, signal.SIGTERM):
            await self._ask("kill" if signum == signal.SIGKILL else "terminate")

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """See the base class."""
        await self._ask("kill")

    async def terminate(self, restart: bool = False) -> None:  # noqa: ARG002
        """See the base class."""
        await self._ask("terminate")

    async def shutdown_requested(self, restart: bool = False) -> None:
        """See the base class."""
        self._wanted = restart

    async def cleanup(self, restart: bool = False) -> None:
        """See the base class: without a restart, the job ends."""
        if not restart:
            await self._end()

    async def get_provisioner_info(self) -> dict[str, Any]:
        """See the base class: the folder of the kernel has the rest, for its user only."""
        info: dict[str, Any] = await super().get_provisioner_info()
        return {**info, "folder": str(self._record.folder) if self._record is not None else ""}

    async def load_provisioner_info(self, provisioner_info: dict[str, Any]) -> None:
        """See the base class.

        Raises:
            BackendError: the kernel has ended.
        """
        await super().load_provisioner_info(provisioner_info)
        try:
            record = load(Path(provisioner_info["folder"]))
        except (OSError, ValueError, KeyError):
            record = None
        if record is None or not is_alive(record):
            raise BackendError("The kernel has ended", remedy="Start another one.")
        self._record = record
        self._attach()
        self.connection_info = cast(KernelConnectionInfo, record.connection_info())
        self._launched = self._has_process = True
        self._wanted = False

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        """See the base class."""
        return max(recommended, 10.0)

    def get_stable_start_time(self, recommended: float = 10.0) -> float:
        """See the base class."""
        return max(recommended, float(self._request().start_s))

    # -- the relay -----------------------------------------------------------------------------------------------------

    def _request(self) -> KernelRequest:
        try:
            return msgspec.convert(self.settings, KernelRequest)
        except msgspec.ValidationError as error:
            raise ConfigError(
                f"The kernelspec {self.kernel_spec.display_name} cannot be used: {error}",
                remedy="Add it again: gridcwl kernel add.",
            ) from None

    def _found(self, notebook: str) -> Record | None:
        """The kernel of this notebook that is attached to no Jupyter server."""
        for record in active() if notebook else ():
            if (record.name, record.notebook, record.request) == (self._name(), notebook, self._request()):
                with contextlib.suppress(OSError, ValueError):
                    state = asked(record, {"do": "state"})
                    if not state["attached"] and state["kernel"] == "running":
                        return record
        return None

    def _name(self) -> str:
        return Path(self.kernel_spec.resource_dir).name or "gridcwl"

    def _created(self, notebook: str) -> Record:
        """Record a new kernel, and start its relay."""
        request = self._request()
        session = getattr(self.parent, "session", None)
        record = Record(
            id=secrets.token_hex(6),
            name=self._name(),
            title=self.kernel_spec.display_name,
            request=request,
            notebook=notebook,
            sockets=short_folder(os.environ.get("XDG_RUNTIME_DIR", "")),
            key=(session.key.decode("ascii") if session is not None and session.key else secrets.token_hex(32)),
            signature_scheme=session.signature_scheme if session is not None else "hmac-sha256",
        )
        folder = record.folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        try:
            write_certificate(folder / NODE_CERTIFICATE, folder / NODE_KEY)
            return _with_relay(save(record))
        except BaseException:
            remove(record)
            raise

    def _attach(self) -> None:
        """Hold a connection: the relay knows by it that a Jupyter server has this kernel."""
        assert self._record is not None
        lease = self._lease = socket.socket(socket.AF_UNIX)
        lease.connect(self._record.control)
        lease.sendall(b'{"do": "attach"}\n')

    async def _ask(self, what: str, **more: Any) -> dict[str, Any]:
        """Something of the relay; one that has ended has no kernel."""
        assert self._record is not None
        patience_s = _ANSWER_S + (self._request().start_s if what == "start" else 0)
        try:
            async with asyncio.timeout(patience_s):
                reader, writer = await asyncio.open_unix_connection(self._record.control)
                with contextlib.closing(writer):
                    writer.write(json.dumps({"do": what, **more}).encode("ascii") + b"\n")
                    answer: dict[str, Any] = json.loads(await reader.readline())
                    return answer
        except (OSError, ValueError, TimeoutError):
            return {"kernel": "ended", "code": _LOST, "reason": "Its relay on this machine has ended", "attached": 0}

    async def _end(self) -> None:
        if self._record is not None:
            await self._ask("end")
        if self._lease is not None:
            self._lease.close()
        self._record, self._lease, self._has_process, self._launched = None, None, False, False


def asked(record: Record, request: dict[str, Any]) -> dict[str, Any]:
    """Something of a relay, where there is no event loop.

    Raises:
        OSError, ValueError: it does not answer.
    """
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(_ANSWER_S)
        control.connect(record.control)
        control.sendall(json.dumps(request).encode("ascii") + b"\n")
        with control.makefile("rb") as file:
            answer: dict[str, Any] = json.loads(file.readline())
            return answer


def attached(notebook: str) -> Iterator[str]:
    """The DIDs that rucio-jupyterlab has attached to a notebook."""
    try:
        with Path(notebook).open("rb") as file:
            found = json.load(file)["metadata"][_ATTACHMENTS]
        yield from (str(one["did"]) for one in found if plugins.store_of_name(str(one["did"])))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or no notebook
        return


def _with_relay(record: Record) -> Record:
    """Start the relay, which outlives this process, and wait until it listens.

    Raises:
        BackendError: it does not start.
    """
    folder = record.folder
    with (folder / "relay.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gridcwl.jupyter.kernels.relay", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
        )  # fmt: skip
    until = time.monotonic() + _RELAY_S
    while not load(folder).pid:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            last = (folder / "relay.log").read_text("utf-8", "replace").strip().rpartition("\n")[2]
            raise BackendError(f"The kernel's relay does not start: {last}")
        time.sleep(0.02)
    return load(folder)


def _remedy(record: Record) -> str:
    if record.request.backend == "local":
        return "gridcwl doctor checks this machine."
    return f"gridcwl doctor checks {record.request.backend}; gridcwl sites lists the sites."
