"""``--log-format json``: every line on stderr is a JSON object, for programs that collect logs.

Each has ``time``, ``level``, ``logger`` and ``message``; what belongs to a run or a job has ``run``, ``job`` and
``event`` in addition. What is printed by commands that know nothing of this becomes an object, too.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gridcwl.cli.display import PlainWatcher, last_words, shown_command
from gridcwl.cli.terminal import raw
from gridcwl.engine.progress import StepProgress
from gridcwl.model import Job, JobResult, RunId
from gridcwl.runs.events import JobFailure
from gridcwl.runs.record.failures import alike, alike_words, last_line
from gridcwl.worker.failure import crossed_out

_OPTION = "--log-format"


def is_wanted(arguments: Sequence[str]) -> bool:
    """Whether the command line asks for it; looked at before anything is printed."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    return any(word == f"{_OPTION}=json" or (word == _OPTION and value == "json") for word, value in pairs)


class JsonLines:
    """A text stream that writes what is printed as objects, one in a line."""

    def __init__(self, stream: Any) -> None:
        self.raw_stream = stream
        self.run = ""
        self._text = ""

    def write(self, text: str) -> int:
        """A part of a message; a line feed at its end ends the message."""
        self._text += text
        if self._text.endswith("\n"):
            message, self._text = self._text.strip("\n"), ""
            if message:
                self.record("ERROR" if sys.exc_info()[0] is not None else "INFO", "gridcwl", message)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Several parts."""
        for line in lines:
            self.write(line)

    def record(self, level: str, logger: str, message: str, **fields: Any) -> None:
        """Write one object."""
        known = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": level,
            "logger": logger,
            **({"run": self.run} if self.run else {}),
            **{name: value for name, value in fields.items() if value not in (None, "")},
            "message": crossed_out(message.removeprefix("gridcwl: ")),
        }
        self.raw_stream.write(json.dumps(known) + "\n")
        self.raw_stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw_stream, name)


@contextmanager
def json_lines(arguments: Sequence[str]) -> Iterator[None]:
    """Within this, stderr has objects, if the command line asks for them."""
    if not is_wanted(arguments):
        yield
        return
    before = sys.stderr
    sys.stderr = JsonLines(raw(before))
    try:
        yield
    finally:
        sys.stderr = before


def stream() -> JsonLines | None:
    """The stream of objects; None if stderr has text."""
    return sys.stderr if isinstance(sys.stderr, JsonLines) else None


class JsonHandler(logging.Handler):
    """Log records as objects."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        lines = stream()
        if lines is None:
            return
        try:
            error = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
            lines.record(record.levelname, record.name, record.getMessage(), exception=error)
        except Exception:  # noqa: BLE001  as logging.Handler says: never raise from here
            self.handleError(record)


class JsonWatcher(PlainWatcher):
    """The same as plain lines have, as events; with ``--verbose`` each job's start and end."""

    def __init__(self, lines: JsonLines, *, quiet: bool = False, verbose: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._lines = lines
        self._each = verbose

    def started(self, run: RunId, progress: Callable[[], Sequence[StepProgress]]) -> None:
        """See ``Watcher``."""
        super().started(run, progress)
        self._lines.run = run
        self._event("INFO", "run_started", f"run {run}")

    def job_started(self, job: Job) -> None:
        """See ``Watcher``."""
        super().job_started(job)
        if self._each:
            self._event("INFO", "job_started", self.hide(shown_command(job)), job=job.id, name=job.name)

    def job_ended(self, job: Job, result: JobResult) -> None:
        """See ``Watcher``."""
        super().job_ended(job, result)
        if self._each:
            usage = result.usage
            self._event(
                "INFO", "job_ended", f"{job.name}: {result.outcome}", job=job.id, name=job.name, attempt=job.attempt,
                outcome=str(result.outcome), exit_code=result.exit_code,
                wall_s=usage.wall_s if usage else None, cpu_s=usage.cpu_s if usage else None,
                max_rss_mib=usage.max_rss_mib if usage else None, site=usage.site if usage else None,
            )  # fmt: skip

    def job_failed(self, failure: JobFailure) -> None:
        """See ``Watcher``. Of failures that are alike, the first one."""
        job, result = failure.job, failure.result
        _, words = last_words(result)
        kind = (job.name.partition("[")[0], alike(failure.error.message, job), result.exit_code)
        if self._alike.is_first((*kind, alike_words(last_line(words))), job.name, failure.error.message):
            self._event(
                "ERROR", "job_failed", self.hide(failure.error.message), job=job.id, name=job.name,
                exit_code=result.exit_code, outcome=str(result.outcome), output=self.hide(words),
                log=result.stderr_log or result.stdout_log, image=job.image.id if job.image else None,
            )  # fmt: skip

    def failed(self, where: str, error: Exception) -> None:
        """See ``Watcher``."""
        message = str(getattr(error, "message", error))
        if self._alike.is_first((where.partition("[")[0], alike(message), None, ""), where, message):
            self._event("ERROR", "failed", self.hide(message), name=where, remedy=getattr(error, "remedy", ""))

    def _say(self, text: str) -> None:
        own = [step for step in self._progress() if not step.is_workflow]
        counts = {
            "total": sum(step.total or 0 for step in own),
            "done": sum(step.done for step in own),
            "failed": sum(step.failed for step in own),
            "skipped": sum(step.skipped for step in own),
            "running": len(self._running),
        }
        if not self._quiet:
            self._event("INFO", "progress", text, jobs=counts)

    def _event(self, level: str, event: str, message: str, **fields: Any) -> None:
        if level == "ERROR" or not self._quiet:
            self._lines.record(level, "gridcwl.runs", message, event=event, **fields)
