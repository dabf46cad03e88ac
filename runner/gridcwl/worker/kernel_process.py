"""A Jupyter kernel on this machine: its files staged in as those of a job, its process in a container like a tool's.

Its five sockets are in a folder that only this user can enter, and that the container sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import threading
import time
from typing import Callable, Dict, List, Optional, Set

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.calls import limits_of
from gridcwl.worker.control import Control
from gridcwl.worker.engine import Call, Engine, EngineError, Mount, Plain, Running
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.layout import Layout
from gridcwl.worker.options import WorkerOptions, complete
from gridcwl.worker.site import engine_of
from gridcwl.worker.stage import Staging

CHANNELS = ("shell", "iopub", "stdin", "hb", "control")
"""Of a kernel, in the order of their numbers: 1 is the shell."""
SEEN = "/gridcwl/kernel"
"""Where a container sees the folder of the sockets."""
NO_KERNEL = 95
"""Exit code of the start command where the image has no ipykernel."""
_START_S = 300.0
_TAIL = 2000
_LONGEST_PLACE = 60
"""A socket's path has 107 bytes at most."""


class KernelNotStarted(Exception):
    """The kernel does not start; why, in a sentence."""


class Kernel:
    """The kernel's folder on this machine, and its processes one after the other. Methods block."""

    def __init__(self, workdir: str, settings: Plain, site: str) -> None:
        self.sockets = short_folder()
        self._settings, self._site = settings, site
        self._workdir = workdir
        self._layout: Optional[Layout] = None
        self._staged: Set[str] = set()
        self._mounts: Dict[str, Mount] = {}
        self._control = Control()
        self._running: Optional[Running] = None
        self._count = 0

    def socket_of(self, channel: int) -> str:
        """The path of one of the kernel's sockets, by the number of its channel."""
        return f"{self.sockets}/k-{channel}"

    def start(self, request: Plain, ended: Callable[[int], None]) -> None:
        """Stage in what is not there yet, start the kernel, and wait until it listens.

        Args:
            request: ``job`` in the form of ``gridcwl.model.Job``, and the ``key`` and ``signature_scheme`` of messages.
            ended: called in another thread with the exit code, if the kernel ends after it was started.

        Raises:
            NotStarted: a file is unavailable, there is no such image, or the kernel ends at once.
        """
        try:
            job = complete(request["job"])
            engine: Engine = BareEngine() if job["image"] is None else engine_of(self._settings, site=self._site)
            layout = self._stage(job, engine)
            call = self._call(job, engine, layout)
            self._write_connection(request, bare=not engine.containers)
            self._control.check()
            running = self._running = engine.start(call)
        except WorkerFailure as failure:
            raise KernelNotStarted(failure.reason) from failure
        except (EngineError, OSError) as error:
            raise KernelNotStarted(str(error)) from error
        codes: List[int] = []
        over = threading.Event()
        started = threading.Event()

        def wait() -> None:
            codes.append(_code(running))
            over.set()
            if started.is_set():
                ended(codes[0])

        threading.Thread(target=wait, daemon=True, name="gridcwl-kernel").start()
        until = time.monotonic() + _START_S
        while not all(map(_listens, map(self.socket_of, range(1, len(CHANNELS) + 1)))):
            if over.wait(0.05) or time.monotonic() > until:
                running.kill()
                raise KernelNotStarted(_reason(codes, request["job"].get("image"), call.stderr))
        started.set()
        if over.is_set():
            raise KernelNotStarted(_reason(codes, request["job"].get("image"), call.stderr))

    def stop(self, *, now: bool) -> None:
        """Ask the kernel to end, or end it now with all that it started."""
        if self._running is not None:
            (self._running.kill if now else self._running.terminate)()

    def close(self) -> None:
        """End the kernel and whatever is being staged, and remove the sockets."""
        self._control.stop("The kernel was shut down.")
        self.stop(now=True)
        if self._layout is not None:
            with contextlib.suppress(OSError):
                self._layout.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _stage(self, job: Plain, engine: Engine) -> Layout:
        layout = self._layout
        if layout is None:
            layout = Layout(self._workdir, job["directories"], bare=not engine.containers)
            layout.make(os.mkdir)
            self._layout = layout
        new = [item for item in job["staged"] if item["target"] not in self._staged]
        staging = Staging({**job, "staged": new}, layout, WorkerOptions(site=self._site), self._control)
        staging.run()
        self._mounts.update((mount.target, mount) for mount in staging.mounts)
        self._staged.update(item["target"] for item in new)
        return layout

    def _call(self, job: Plain, engine: Engine, layout: Layout) -> Call:
        self._count += 1
        seen = self.sockets if layout.bare else SEEN
        environment = {"PATH": os.environ.get("PATH", os.defpath)} if layout.bare else {}
        environment.update(job["environment"])
        environment["HOME"] = layout.out if layout.bare else layout.seen_out
        environment["TMPDIR"] = layout.tmp if layout.bare else layout.seen_tmp
        mounts = [*self._mounts.values(), Mount(self.sockets, SEEN, writable=True)]
        options = WorkerOptions(site=self._site)
        return Call(
            name=f"gridcwl-{job['id']}-{self._count}",
            argv=(*job["command"], f"{seen}/connection.json"),
            environment=environment,
            workdir=layout.out if layout.bare else layout.seen_out,
            stdout=f"{layout.workdir}/stdout.log",
            stderr=f"{layout.workdir}/stderr.log",
            image=engine.prepare(job["image"]) if engine.containers else None,
            mounts=tuple(sorted(mounts, key=lambda mount: mount.target.count("/"))),
            **limits_of(job, options),
        )

    def _write_connection(self, request: Plain, *, bare: bool) -> None:
        for channel in range(1, len(CHANNELS) + 1):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.socket_of(channel))
        about = {
            "transport": "ipc",
            "ip": f"{self.sockets if bare else SEEN}/k",
            "key": request["key"],
            "signature_scheme": request["signature_scheme"],
            "kernel_name": "gridcwl",
            **{f"{name}_port": number for number, name in enumerate(CHANNELS, 1)},
        }
        path = f"{self.sockets}/connection.json"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(about, file)


def short_folder(*places: str) -> str:
    """A new folder that only this user can enter, with a path that is short enough for sockets in it.

    Raises:
        OSError: there is no place for one.
    """
    for place in (*places, tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        if place and len(os.fsencode(place)) <= _LONGEST_PLACE and os.access(place, os.W_OK | os.X_OK):
            return tempfile.mkdtemp(prefix="gridcwl-k-", dir=place)
    raise OSError("There is no folder for sockets: neither of /tmp, /var/tmp and /dev/shm can be written to")


def _code(running: Running) -> int:
    try:
        return running.wait().code
    except EngineError:
        return 1


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _reason(codes: List[int], image: Optional[Plain], stderr: str) -> str:
    where = f"The image {image['id']}" if image else f"The Python of {os.uname().nodename}"
    if not codes:
        return f"The kernel does not listen after {_START_S:g} s."
    if codes[0] == NO_KERNEL:
        return f"{where} has no ipykernel\nAdd it (pip install ipykernel), or choose another image."
    try:
        with open(stderr, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            last = file.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
    except OSError:
        last = ""
    return f"The kernel ended with exit code {codes[0]} before it listened{': ' + last if last else '.'}"
