"""What goes wrong with a testbed, and the last lines of a log to show with it."""

from __future__ import annotations

from pathlib import Path

from gridcwl.errors import GridCWLError

_LINES = 15


class TestbedError(GridCWLError):
    """A server of the testbed could not be installed, started or reached."""

    __test__ = False  # pytest: this is not a test


def tail(log: Path, lines: int = _LINES) -> str:
    """The last lines of a log; a word about it if there are none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 65536))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return "(there is no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
