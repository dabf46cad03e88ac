"""JavaScript expressions: one node process that is kept, shut off from this machine, with errors that people can read.

``node_engine.js`` runs there, and documents how an expression is isolated. Around it: an empty environment, node's
permission model where the version has it, a limit to its memory, and on Linux no more open files than it has once it
runs: it can open no file, no connection and no pipe to another process then, whatever the version.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from cwl_utils.sandboxjs import NodeJSEngine, code_fragment_to_js, default_timeout, get_js_engine, set_js_engine

from gridcwl.errors import ExpressionError

log = logging.getLogger("gridcwl.cwl")

_THROWN = re.compile(r"^(?:Uncaught )?(\w*(?:Error|Exception)\b.*)$", re.M)
_AT = re.compile(r"^evalmachine\.<anonymous>:\d+\n(.*)$", re.M)
_LONGEST = 120
_HEAP_MIB = 2048
_MOST_BYTES = 256 * 1024**2
"""Of one value, as JSON."""
_CHUNK = 1 << 16
_START_S = 20.0
_HELD = (
    "--no-warnings",
    "--disallow-code-generation-from-strings",
    "--disable-proto=delete",
    "--no-addons",
    f"--max-old-space-size={_HEAP_MIB}",
)
_WARM_UP = "{ return new Date(0).toLocaleString() + Intl.DateTimeFormat().format(0) + 'a'.localeCompare('b'); }"
"""Has node read the time zone and the like, which it does when they are first used."""


NO_JAVASCRIPT_REMEDY = (
    "Run it without --no-javascript (javascript = false in the configuration), if you trust the document."
)

_allowed: ContextVar[bool] = ContextVar("javascript_allowed", default=True)
"""Whether the current run may evaluate JavaScript: runs that share a process may differ."""


_NOBODY = 65534
_nobody: int | None = None
"""The user that node runs as; None for this one."""


class _Silence(Exception):
    """Node ended, or took too long. The message gives the reason, if it is known."""


class NodeEngine(NodeJSEngine):  # type: ignore[misc]
    """Needs node only when there is something to evaluate, and never looks for it in a container image."""

    def __init__(self) -> None:
        super().__init__()
        self._held = threading.local()
        self.search_path = os.environ.get("PATH")
        """Where node was looked for."""

    def eval(
        self, scan: str, jslib: str = "", timeout: float = default_timeout, js_console: bool = False, **_rest: Any
    ) -> Any:
        """The value of one expression.

        Raises:
            ExpressionError: it failed, took longer than ``timeout`` seconds, or node is not there; or the run evaluates
                none, and this is of what only hints at JavaScript, as documents may.
        """
        if not _allowed.get():
            text = " ".join(scan.split())[:_LONGEST]
            raise ExpressionError(
                f"The JavaScript expression {text} is not evaluated: --no-javascript", remedy=NO_JAVASCRIPT_REMEDY
            )
        what = f"The JavaScript expression {_short(scan)}"
        process = self._process()
        try:
            answer = _asked(process, code_fragment_to_js(scan, jslib), js_console, timeout)
        except _Silence as silence:
            self.forget()
            if str(silence):
                raise ExpressionError(f"{what} was stopped: {silence}") from None
            raise ExpressionError(
                f"{what} was stopped after {timeout:g} s",
                remedy="Look for an endless loop, or give it longer with --eval-timeout.",
            ) from None
        for line in json.loads(answer.get("console", "[]")):
            log.warning("JavaScript console: %s", line)
        if "error" in answer:
            reason = _reason(answer["error"], many_lines="\n" in scan.strip())
            raise ExpressionError(f"{what} failed: {reason}")
        if answer["value"] == "undefined":
            raise ExpressionError(f"{what} gives undefined", remedy="Does it lack a 'return'?")
        try:
            return json.loads(answer["value"])
        except RecursionError:
            raise ExpressionError(f"{what} gives a value that is nested too deeply") from None
        except ValueError:
            raise ExpressionError(f"{what} gives a value that is not JSON") from None

    def forget(self) -> None:
        """End this thread's process, so that the next expression gets a new one."""
        process: subprocess.Popen[bytes] | None = getattr(self._held, "process", None)
        self._held.process = None
        if process is not None:
            _end(process)
            with contextlib.suppress(ValueError):
                self.processes_to_kill.remove(process)

    def new_js_proc(self, js_text: str, **_rest: Any) -> subprocess.Popen[str]:
        """A node process that runs a script of cwl_utils.

        cwl_utils' own asks node twice who it is before it starts it, and tries to pull an image if node is missing.

        Raises:
            ExpressionError: there is no node.
        """
        process = _started(js_text, text=True)
        self.processes_to_kill.append(process)
        return process

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._held, "process", None)
        if process is not None and process.poll() is None:
            return process
        process = _started(_script(), text=False)
        self.processes_to_kill.append(process)
        try:
            _asked(process, code_fragment_to_js(_WARM_UP), console=False, timeout=_START_S)
        except _Silence as silence:
            _end(process)
            raise ExpressionError(
                f"node, which evaluates JavaScript, does not start: {silence or 'it does not answer'}",
                remedy="Node.js 18 or newer is needed; node --version shows which one is in PATH.",
            ) from None
        _hold(process.pid)
        self._held.process = process
        return process


def node_program() -> str | None:
    """The path of node; None if it is not installed."""
    return shutil.which("node") or shutil.which("nodejs")


def _started(script: str, *, text: bool) -> subprocess.Popen[Any]:
    program = node_program()
    if program is None:
        raise ExpressionError(
            "The document holds JavaScript expressions, and node, which evaluates them, is not in PATH",
            remedy="Install Node.js (Debian: apt install nodejs), or add the folder that holds node to PATH.",
        )
    pipe = subprocess.PIPE
    flags = [*permissions(program), *(() if text else _HELD)]
    command = [program, *flags, "--eval", script]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=text, env={}, cwd="/", **identity())


def identity() -> dict[str, Any]:
    """As whom node runs, for ``subprocess``: this user, or nobody where :func:`apart` holds."""
    return {} if _nobody is None else {"user": _nobody, "group": _nobody, "extra_groups": []}


@contextlib.contextmanager
def apart(*, required: bool) -> Iterator[None]:
    """Have node run as nobody, in this whole process: what escapes it has no rights of this user, not even signals.

    Args:
        required: otherwise node runs as this user where nothing else is possible.

    Raises:
        ExpressionError: this process is not root's, or nobody may not run node.
    """
    global _nobody  # noqa: PLW0603  one setting for the process, as the engine is one
    problem = "" if os.geteuid() == 0 else "only root can start it as another user"
    program = node_program()
    if not problem and program is not None:
        try:
            found = subprocess.run(
                [program, "--version"], capture_output=True, check=False, env={}, cwd="/", user=_NOBODY, group=_NOBODY
            )
            problem = "" if found.returncode == 0 else "it does not start as nobody"
        except (OSError, subprocess.SubprocessError):
            problem = f"nobody may not run {program}"
    if problem and required:
        raise ExpressionError(f"node cannot be kept apart: {problem}", remedy="Set expressions = 'auto'.")
    _nobody = None if problem else _NOBODY
    try:
        yield
    finally:
        _nobody = None


@lru_cache(maxsize=4)
def permissions(program: str) -> tuple[str, ...]:
    """The option that takes files, processes, workers and addons away, as this version of node calls it."""
    try:
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, env={}).stdout
        version = tuple(int(part) for part in printed.strip().lstrip("v").split(".")[:2])
    except (OSError, ValueError):
        return ()
    if version >= (23, 5) or (22, 13) <= version < (23, 0):
        return ("--permission",)
    return ("--experimental-permission",) if version >= (20, 0) else ()


@lru_cache(maxsize=1)
def _script() -> str:
    return resources.files("gridcwl.cwl").joinpath("node_engine.js").read_text("utf-8")


def _hold(pid: int) -> None:
    """From now on the process can open nothing: the lowest free descriptor is beyond its limit."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        opened = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        free = next(number for number in range(len(opened) + 1) if number not in opened)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, free))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
        data = 2 * _HEAP_MIB * 1024**2  # typed arrays are not on node's heap
        resource.prlimit(pid, resource.RLIMIT_DATA, (data, data))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def _asked(process: subprocess.Popen[bytes], code: str, console: bool, timeout: float) -> dict[str, str]:
    """Send one expression and wait for its line."""
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    ahead = memoryview(json.dumps({"code": code, "console": console}).encode("ascii") + b"\n")
    into, out = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(into, False)
    until, pieces, size = time.monotonic() + timeout, [], 0
    try:
        while True:
            left = until - time.monotonic()
            readable, writable, _ = select.select([out], [into] if ahead else [], [], max(left, 0))
            if writable:
                ahead = ahead[os.write(into, ahead[:_CHUNK]) :]
            elif readable:
                piece = os.read(out, _CHUNK)
                if not piece:
                    raise _Silence(_last_words(process))
                pieces.append(piece)
                size += len(piece)
                if piece.endswith(b"\n"):
                    answer: dict[str, str] = json.loads(b"".join(pieces))
                    return answer
                if size > _MOST_BYTES:
                    raise _Silence(f"its value has more than {_MOST_BYTES // 1024**2} MiB")
            elif left <= 0:
                raise _Silence
    except BrokenPipeError:
        raise _Silence(_last_words(process)) from None


def _last_words(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    process.kill()
    last_lines = process.stderr.read(_CHUNK).decode("utf-8", "replace")
    if "heap out of memory" in last_lines or "Allocation failed" in last_lines:
        return f"it needs more than {_HEAP_MIB} MiB of memory"
    thrown = _THROWN.search(last_lines)
    return thrown[1] if thrown else "node ended"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _short(scan: str) -> str:
    text = " ".join(scan.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _reason(complained: str, *, many_lines: bool) -> str:
    """Node's words without its own stack."""
    thrown, at = _THROWN.search(complained), _AT.search(complained)
    reason = thrown[1] if thrown else complained.strip().splitlines()[0]
    return f"{reason} (at: {_short(at[1])})" if at and many_lines else reason


def allow_javascript(*, allowed: bool) -> None:
    """Let the current run evaluate JavaScript, or not; what is evaluated in this process, :class:`NodeEngine` does.

    Holds for the current task or thread, and for those that it starts.
    """
    _allowed.set(allowed)
    engine = get_js_engine()
    if not isinstance(engine, NodeEngine) or engine.search_path != os.environ.get("PATH"):
        set_js_engine(NodeEngine())
