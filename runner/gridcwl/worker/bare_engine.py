"""The engine for no container: the tool is a process of this machine, in a session and process group of its own."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import resource
import shutil
import signal
import stat
import subprocess
import threading
from typing import Any, List, Mapping, Optional

from gridcwl.worker.engine import Call, EngineError, Exit
from gridcwl.worker.orphans import ORPHANS
from gridcwl.worker.sampling import SAMPLER
from gridcwl.worker.usage import ProcessTree, bytes_of

_LEAN_MIB = 64


class BareEngine:
    """Starts the bare command."""

    name = "none"
    containers = False

    def prepare(self, image: Mapping[str, Any]) -> str:
        """Never called by the worker; there are no images here.

        Raises:
            EngineError: always.
        """
        raise EngineError(f"The image {image.get('id')} needs a container engine, and this is the bare command.")

    def digest(self, prepared: str) -> str:  # noqa: ARG002
        """There is no image."""
        return ""

    def start(self, call: Call) -> "BareProcess":
        """Start the command.

        Raises:
            FileNotFoundError, PermissionError: its program is not there or may not be run.
        """
        opened: List[int] = []
        try:
            stdin = subprocess.DEVNULL
            if call.stdin:
                opened.append(stdin := _opened(call.stdin))
            opened.append(stdout := _created(call.stdout))
            # Both streams in one file share one position, or they would overwrite each other.
            stderr = stdout
            if call.stderr != call.stdout:
                opened.append(stderr := _created(call.stderr))
            if call.image is not None:  # an engine's command, which has children of its own
                return BareProcess(_spawned(call, stdin, stdout, stderr))
            number = ORPHANS.begin()
            try:
                process = _spawned(call, stdin, stdout, stderr)
            except BaseException:
                ORPHANS.ended(number)
                raise
            ORPHANS.began(number, process.pid)
            return BareProcess(process, number, call.environment.get("HOME", ""))
        finally:
            for descriptor in opened:
                os.close(descriptor)


class BareProcess:
    """A started process and the group that it leads."""

    def __init__(self, process: "subprocess.Popen[bytes]", number: int = 0, home: str = "") -> None:
        """``number`` and ``home``: the tool's, as ``Orphans`` knows it."""
        self.pid = process.pid
        self._number, self._home = number, home
        self._process = process
        self._lock = threading.Lock()
        self._ended = False
        self._sample = SAMPLER.watch(ProcessTree(process.pid).memory)

    def wait(self) -> Exit:
        """Block until the process has ended, then end what it left running."""
        # Waiting and reaping are two steps: until it is reaped, nobody else can get its number, so that a signal sent
        # meanwhile by another thread cannot hit a stranger.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        seen = SAMPLER.drop(self._sample).max_rss_mib
        read, written = bytes_of(self.pid)
        with self._lock:
            # As a container would: what the tool left in the background ends with it.
            self._signal(signal.SIGKILL)
            _, status, usage = os.wait4(self.pid, 0)
            self._ended = True
        code = _exit_code(status)
        self._process.returncode = code  # else Popen would wait for it as well
        ORPHANS.ended(self._number, self._home)
        return Exit(
            code=code,
            cpu_s=usage.ru_utime + usage.ru_stime,
            max_rss_mib=_max_rss_mib(usage.ru_maxrss, seen),
            read_bytes=read,
            written_bytes=written,
        )

    def terminate(self) -> None:
        """SIGTERM to the whole group."""
        with self._lock:
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        with self._lock:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _spawned(call: Call, stdin: int, stdout: int, stderr: int) -> "subprocess.Popen[bytes]":
    program = _found(call.argv[0], call.environment.get("PATH", ""))

    def spawn(executable: Optional[str]) -> "subprocess.Popen[bytes]":
        # Without preexec_fn, so that Python can use vfork: forking a large client costs milliseconds.
        return subprocess.Popen(
            call.argv,
            executable=executable,
            cwd=call.workdir,
            env=call.environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    if program is None:
        return spawn(None)
    try:
        return spawn(program)
    except OSError:  # it was moved since we looked
        _found.cache_clear()
        return spawn(None)


@functools.lru_cache(maxsize=1024)
def _found(program: str, path: str) -> Optional[str]:
    """Where the program is. Kept, as otherwise each child tries folder after folder; None where that has to be done."""
    if "/" in program or not all(folder.startswith("/") for folder in path.split(os.pathsep)):
        return None
    return shutil.which(program, path=path)


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return descriptor


def _created(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


def _exit_code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _max_rss_mib(kib: int, seen: Optional[float]) -> Optional[float]:
    """The most that was seen of all processes together, and the most that one of them had."""
    # The kernel counts what the process was before exec, too, and that was a copy of ourselves. Below our own peak the
    # number is only an upper limit, and says something of the tool if we are small.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if kib > own:
        return max(kib / 1024, seen or 0.0)
    return seen if seen is not None or own > _LEAN_MIB * 1024 else kib / 1024
