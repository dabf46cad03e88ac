"""What the exit code of a container engine's command means: the tool's, or the engine's own. Pure functions."""

from __future__ import annotations

import re
from typing import Collection, Optional, Tuple

_SIGNALLED = 128  # docker, podman and every shell report 128 + N for a process that signal N ended
_NUMBERS = {"KILL": 9, "TERM": 15}
KILLED = _SIGNALLED + _NUMBERS["KILL"]
_REFUSED = 125  # docker run's own failures; podman's too
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127

# What the engines print, as the first thing on stderr, when the tool was never started.
_ENGINE_SAYS = re.compile(rb"(docker: |Error: |FATAL: +|time=\S+ level=(error|fatal) )")
_INIT_SAYS = re.compile(rb"ERROR \(catatonit:\d+\): failed to exec pid1: (.*)")
_APPTAINER_NOT_FOUND = re.compile(rb'FATAL: +(exec |"[^"\n]*": executable file not found|stat .*: no such file)')


def signed(code: int, sent: Collection[str]) -> int:
    """Minus the signal's number for a signal that was sent by us; else the code as it is.

    A tool may well return 137 by itself, and CWL's successCodes are written for what docker reports.
    """
    for name in sent:
        if code == _SIGNALLED + _NUMBERS[name]:
            return -_NUMBERS[name]
    return code


def meaning(kind: str, code: int, stderr: bytes) -> Tuple[int, Optional[str]]:
    """The tool's exit code, and what the engine says if it did not come to start the tool.

    ``stderr`` is the beginning of the stream, which tool and engine share. A program that is not in the image is the
    tool's failure with code 127 (126 if it may not be executed), as with ``docker run``, whatever this engine returns.
    """
    if kind == "podman" and code == 1:
        message = _INIT_SAYS.match(stderr)
        if message is not None:
            return (_NOT_FOUND if b"No such file" in message.group(1) else _NOT_EXECUTABLE), None
    if kind in {"apptainer", "singularity"} and code == 255:
        if _APPTAINER_NOT_FOUND.match(stderr):
            return _NOT_FOUND, None
        if _ENGINE_SAYS.match(stderr):
            return code, _flat(stderr)
    if code == _REFUSED and kind in {"docker", "podman"} and _ENGINE_SAYS.match(stderr):
        return code, _flat(stderr)
    return code, None


def last_words(printed: bytes) -> str:
    """The one line that says why a command failed: the last of those that are not advice."""
    lines = [line.strip() for line in printed.decode("utf-8", "replace").splitlines()]
    kept = [line for line in lines if line and not line.startswith(("See '", "Run '"))]
    return kept[-1].rstrip(".") if kept else "it wrote nothing"


def _flat(stderr: bytes) -> str:
    first = stderr.decode("utf-8", "replace").strip().splitlines()[0]
    return first.rstrip(".")
