"""``--detach``: a process in the background works on the run, and survives this terminal.

The process is a copy of this one, made before the document is read. It keeps the terminal until the run is prepared:
mistakes in the document and the inputs are shown at once. Then it leaves the terminal; what it prints goes to files in
the run's folder.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gridcwl.runs.record.folder import RunFolder

LOG = "driver.log"
OUTPUTS = "outputs.json"


class _Child:
    """The pipe by which the process in the background says that it has prepared the run; None in all others."""

    pipe: int | None = None
    is_here = False


def leave(*, quiet: bool = False) -> int | None:
    """Leave the run to a process in the background.

    Returns:
        None in the process in the background; in this one the exit code, when the run is prepared or has ended before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _Child.pipe, _Child.is_here = writer, True
        return None
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        run, _, folder = pipe.read().partition(" ")
    if not run:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(run, flush=True)
    if not quiet:
        print(f"gridcwl: The run {run} continues in the background. Its log is {folder}/{LOG}", file=sys.stderr)
        print(f"gridcwl attach {run} shows it; gridcwl cancel {run} stops it.", file=sys.stderr)
    return 0


def prepared(folder: RunFolder) -> None:
    """In the process in the background: the run is prepared. Leaves the terminal."""
    if _Child.pipe is None:
        return
    os.setsid()
    sys.stdout.flush()
    sys.stderr.flush()
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    files = (
        (0, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)),
        (1, os.open(folder.path / OUTPUTS, flags | os.O_TRUNC, 0o600)),
        (2, os.open(folder.path / LOG, flags | os.O_APPEND, 0o600)),
    )
    for stream, file in files:
        if file == stream:  # the stream was closed
            os.set_inheritable(stream, True)
        else:
            os.dup2(file, stream)
            os.close(file)
    os.write(_Child.pipe, f"{folder.run} {folder.path}".encode())
    os.close(_Child.pipe)
    _Child.pipe = None


def end(code: int) -> None:
    """End the process in the background; return in any other. Exit handlers of the first process are not run."""
    if _Child.is_here:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
