"""gridcwl's command line in processes of their own, forked from one that has imported all of it.

A start takes 30 ms that way and not half a second. The process from which they are forked has one thread, and the
library of ``preload.c``.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign import preload

_MODULES = (
    *("gridcwl.cli.main", "gridcwl.cli.running", "gridcwl.cli.commands", "gridcwl.cli.run_list", "gridcwl.api"),
    *("gridcwl.backends.dirac.backend", "gridcwl.backends.local.backend", "gridcwl.backends.dirac.factory"),
    *(
        "gridcwl.cwl.session",
        "gridcwl.runs.outdir",
        "gridcwl.runs.planning",
        "gridcwl.runs.run",
        "gridcwl.runs.session",
    ),
    *("gridcwl.runs.storing", "gridcwl.runs.prepared", "gridcwl.runs.publish", "gridcwl.stores.rucio.run_store"),
    *("gridcwl.stores.rucio.session", "gridcwl.stores.rucio.replicas", "gridcwl.cwl.javascript"),
    *("gridcwl.runs.outputs", "gridcwl.runs.record.history", "gridcwl.cli.reporting", "gridcwl.cli.display"),
)
_PATIENCE_S = 180.0


@dataclass(frozen=True)
class Command:
    """What a client does, and where."""

    words: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    connect: tuple[str, Mapping[str, str]] | None = None
    """A function (``module:name``) that is called in the client's process first, with these arguments."""
    crash_at: int = 0
    """End before this call of those that ``preload.c`` counts; 0 for never."""
    control: Path | None = None
    address_space: int = 0
    """Bytes that it may map; 0 for any."""


@dataclass(frozen=True)
class Ended:
    """How a client ended: the exit code, or minus the number of the signal."""

    code: int
    stdout: str
    stderr: str
    counted: int = 0
    """Calls that change something, if it ended by itself."""
    crashed_at: str = ""
    """The call before which it was ended."""


@dataclass
class Client:
    """A client under way."""

    process: Any
    output: Path
    _ended: Ended | None = field(init=False, default=None)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def alive(self) -> bool:
        return bool(self.process.is_alive())

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def wait(self, patience_s: float = _PATIENCE_S) -> Ended | None:
        """Until it has ended; None if it has not in time."""
        if self._ended is None:
            self.process.join(patience_s)
            if self.process.exitcode is None:
                return None
            texts = [self._text(name) for name in ("stdout", "stderr", "counted", "crashed")]
            self._ended = Ended(self.process.exitcode, texts[0], texts[1], int(texts[2] or 0), texts[3].strip())
        return self._ended

    def _text(self, name: str) -> str:
        path = self.output / name
        return path.read_text("utf-8", "replace") if path.exists() else ""


class Clients:
    """Starts clients."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *_MODULES])
        self._number = 0
        self._started = False

    def start(self, command: Command, output: Path) -> Client:
        """Start one; what it prints goes into files in ``output``."""
        output.mkdir(parents=True, exist_ok=True)
        process = self._context.Process(target=_main, args=(command, str(output)), daemon=False)
        with self._surroundings():
            process.start()
        client = Client(process, output)
        until(lambda: (output / "begun").exists() or not client.alive)
        return client

    @contextlib.contextmanager
    def _surroundings(self) -> Any:
        """The environment of the process from which they are forked, which is started with the first of them."""
        if self._started:
            yield
            return
        self._started = True
        here = Path(__file__).parent.parent
        paths = [str(here), str(here / "helpers"), *filter(None, [os.environ.get("PYTHONPATH")])]
        new = {"PYTHONPATH": os.pathsep.join(paths)}
        if preload.available():
            new["LD_PRELOAD"] = str(preload.library())
        before = {name: os.environ.get(name) for name in new}
        os.environ.update(new)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def _main(command: Command, output: str) -> None:
    """In the client's process."""
    os.setsid()
    preloaded = os.environ.get("LD_PRELOAD", "")
    os.environ.clear()
    os.environ.update(command.environment)
    if preloaded and command.control is not None:
        os.environ |= {"LD_PRELOAD": preloaded, preload.CONTROL: str(command.control)}
    tempfile.tempdir = None
    os.chdir(command.folder)
    sys.path[:0] = [path for path in (str(Path(__file__).parent.parent / "helpers"),) if path not in sys.path]
    for number, name in enumerate(("/dev/null", f"{output}/stdout", f"{output}/stderr")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    if command.connect is not None:
        module, name = command.connect[0].split(":")
        getattr(importlib.import_module(module), name)(**command.connect[1])
    if command.address_space:
        resource.setrlimit(resource.RLIMIT_AS, (command.address_space, command.address_space))
    from gridcwl.cli.entry import entry

    Path(output, "begun").touch()
    if preloaded and command.control is not None:
        preload.arm(command.control, command.crash_at, Path(output, "crashed"))
        atexit.register(lambda: Path(output, "counted").write_text(str(preload.counted())))
    sys.argv = ["gridcwl", *command.words]
    try:
        entry()
    except SystemExit as end:  # with threads that had to do something
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def until(condition: Any, patience_s: float = _PATIENCE_S) -> bool:
    """Wait until something is so; False if it never was."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
