"""The result's JSON form, as gridcwl.model.JobResult describes it, and how exit codes become outcomes."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from typing import List, Optional, Tuple

from gridcwl.worker.engine import Exit, Plain
from gridcwl.worker.failure import OUT_OF_MEMORY, PERMANENT, SUCCESS, TEMPORARY
from gridcwl.worker.limits import RESULT_BYTES

FORMAT = "gridcwl-result/1"
TAIL_BYTES = 8192
TAIL_LINES = 20

_SHELL_CODES = {
    126: "a program may not be executed",
    127: "a program was not found",
}
"""What shells and container engines mean by them."""

_HOST = os.uname().nodename


class Clock:
    """When a job started and how long it took; the duration does not follow a clock that is set meanwhile."""

    def __init__(self) -> None:
        self._started = time.time()
        self._from = time.monotonic()

    def usage(
        self, ended: Optional[Exit], disk_bytes: Optional[int] = None, fetched_bytes: Optional[int] = None
    ) -> Plain:
        """The JSON form of ``gridcwl.model.Usage``."""
        return {
            "started": timestamp(self._started),
            "wall_s": round(time.monotonic() - self._from, 6),
            "cpu_s": None if ended is None else ended.cpu_s,
            "max_rss_mib": None if ended is None else ended.max_rss_mib,
            "read_bytes": None if ended is None else ended.read_bytes,
            "written_bytes": None if ended is None else ended.written_bytes,
            "disk_bytes": disk_bytes,
            "fetched_bytes": fetched_bytes,
            "host": _HOST,
        }


def timestamp(seconds: float) -> str:
    """UTC, ISO 8601, with milliseconds."""
    whole, rest = divmod(seconds, 1)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int(rest * 1000):03d}Z"


def new(job_id: str, usage: Plain) -> Plain:
    """A result to be filled in."""
    return {
        "id": job_id,
        "outcome": PERMANENT,
        "exit_code": None,
        "reason": "",
        "files": [],
        "escaped": [],
        "left": [],
        "outdir": "",
        "stdout_log": None,
        "stderr_log": None,
        "stderr_tail": "",
        "usage": usage,
        "element": "",
        "image": "",
        "fetched": [],
        "tool_outdirs": [],
        "processes": [],
        "format": FORMAT,
    }


def line_of(result: Plain) -> bytes:
    """The result as one line of JSON; where that would be too long, a failure that says so.

    Plain ASCII, for file names need not be UTF-8.
    """
    line = json.dumps(result, ensure_ascii=True).encode("ascii") + b"\n"
    if len(line) <= RESULT_BYTES:
        return line
    reason = f"The job's result, with {len(result['files'])} outputs, has more than {RESULT_BYTES >> 20} MiB."
    short = {**result, "outcome": PERMANENT, "reason": reason, "files": [], "escaped": [], "left": []}
    return json.dumps(short, ensure_ascii=True).encode("ascii") + b"\n"


def outcome_of(ended: Exit, codes: Plain) -> Tuple[str, str]:
    """Outcome and reason of a tool that ended by itself. What the tool's description says of its codes comes first.

    https://www.commonwl.org/v1.2/CommandLineTool.html#CommandLineTool (successCodes and the fields after it)
    """
    code = ended.code
    if code in codes["success"]:
        return SUCCESS, ""
    if ended.out_of_memory:
        return OUT_OF_MEMORY, "The tool was killed, as it used more memory than it was given."
    if code in codes["temporary_failure"]:
        return TEMPORARY, f"The tool ended with exit code {code}, one of its temporaryFailCodes."
    if code in codes["permanent_failure"]:
        return PERMANENT, f"The tool ended with exit code {code}, one of its permanentFailCodes."
    if code == 0:
        return SUCCESS, ""
    return PERMANENT, _how(code)


def _how(code: int) -> str:
    if code in _SHELL_CODES:
        return f"The tool ended with exit code {code}: {_SHELL_CODES[code]}."
    # A container's first process that dies by a signal is reported as 128 and the signal's number, as a shell does.
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"The tool ended with exit code {code}."
    if number == signal.SIGKILL:
        return "The tool was killed (SIGKILL); often that means that the machine ran out of memory."
    return f"The tool was ended by {name}." if code < 0 else f"The tool ended with exit code {code} ({name})."


def drop_replaced_logs(result: Plain) -> None:
    """Forget a log that is no longer a file: a tool may put a link, or a pipe that nobody fills, in its place.

    What the link leads to would be shown as the tool's words, and reading the pipe would never end.
    """
    for key in ("stdout_log", "stderr_log"):
        path = result[key]
        if path is not None:
            try:
                kept = stat.S_ISREG(os.lstat(path).st_mode)
            except OSError:
                kept = False
            if not kept:
                result[key] = None


def tail(path: str) -> str:
    """The last lines of a log, at most 20 and 8 KiB, read from the last one; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            data = file.read(TAIL_BYTES)
    except OSError:
        return ""
    lines: List[bytes] = data.splitlines(keepends=True)
    return b"".join(lines[-TAIL_LINES:]).decode("utf-8", "replace")
