"""A job's container with a person in it: their command in place of the tool, with streams of a terminal or of pipes."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import signal
import subprocess
import termios
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.cli_vectors import command_environment, remove_vector, vector
from gridcwl.worker.engine import Call, Engine, EngineError, Exit

SHELL = ("sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -i || exec sh -i")


class InteractiveCommand:
    """The started command, as the worker waits for it."""

    def __init__(self, process: "subprocess.Popen[bytes]", own_group: bool, remove: Optional[List[str]] = None) -> None:
        self.process = process
        self._own_group, self._remove = own_group, remove

    def wait(self) -> Exit:
        """See ``Running.wait``."""
        return Exit(self.process.wait())

    def terminate(self) -> None:
        """See ``Running.terminate``."""
        self._signal(signal.SIGHUP if self._own_group else signal.SIGTERM)

    def kill(self) -> None:
        """See ``Running.kill``."""
        if self._remove is not None:  # the engine's command is not the container's parent
            subprocess.run(self._remove, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._own_group:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)


class InteractiveEngine:
    """Starts a person's command where a tool would have been started; everything else is the inner engine's."""

    def __init__(
        self,
        inner: Engine,
        command: Sequence[str],
        *,
        terminal: bool,
        term: str = "",
        streams: "Optional[Tuple[int, int, int]]" = None,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            inner: of the job.
            command: of the person.
            terminal: its streams are a terminal.
            term: the terminal's kind, as ``TERM`` has it.
            streams: descriptors of stdin, stdout and stderr; None is those of this process. A terminal among them
                becomes that of the command, which then gets its signals.
        """
        self.name = inner.name
        self.containers = inner.containers
        self._inner = inner
        self._command = tuple(command)
        self._terminal, self._term, self._streams = terminal, term, streams

    def prepare(self, image: Mapping[str, Any]) -> str:
        """See ``Engine.prepare``."""
        return self._inner.prepare(image)

    def digest(self, prepared: str) -> str:
        """See ``Engine.digest``."""
        return self._inner.digest(prepared)

    def start(self, call: Call) -> InteractiveCommand:
        """See ``Engine.start``. Signals of the terminal go to the command, which has it."""
        own = dict(call.environment)
        if self._terminal and self._term:
            own.setdefault("TERM", self._term)
        call = dataclasses.replace(call, argv=self._command, environment=own, stdin=None)
        inner: Any = getattr(self._inner, "chosen", self._inner)
        if isinstance(inner, BareEngine):
            return self._started(call.argv, own, call.workdir)
        cli = inner._cli()
        words = vector(cli, call)
        remove = None
        if cli.daemonlike:
            remove = remove_vector(cli, call.name)
            words = [word for word in words if not word.startswith("--log-driver=")]
            words[2:2] = ["--interactive", "--log-driver=none", *(["--tty"] if self._terminal else [])]
        return self._started(words, {**os.environ, **command_environment(cli, call)}, "/", remove)

    def _started(
        self, words: Sequence[str], own: Mapping[str, str], folder: str, remove: Optional[List[str]] = None
    ) -> InteractiveCommand:
        try:
            if self._streams is None:
                return InteractiveCommand(subprocess.Popen(words, env=own, cwd=folder), False, remove)
            stdin, stdout, stderr = self._streams
            process = subprocess.Popen(
                words, env=own, cwd=folder, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True,
                preexec_fn=_take_terminal if self._terminal else None,  # noqa: PLW1509  one system call, no lock
            )  # fmt: skip
        except OSError as error:
            raise EngineError(f"{words[0]} cannot be started: {error.strerror}.") from error
        return InteractiveCommand(process, True, remove)


def _take_terminal() -> None:
    """Make stdin the terminal of the session: Ctrl-C, and changes of its size, are the command's."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
