"""Every error that gridcwl raises on purpose, in one tree.

    GridCWLError                    what happened, and what to do about it
    ├── DocumentError               the CWL document is wrong: syntax, schema, links, a cycle
    ├── UnsupportedError            the document is right but asks for what gridcwl does not do (exit code 33)
    ├── InputError                  the input object is wrong: missing, of the wrong type, a file that is not there
    ├── ExpressionError             an expression or parameter reference could not be evaluated
    ├── ConfigError                 an option, environment variable or configuration file is wrong
    │   └── UsageError              the command line is wrong (exit code 2)
    │       └── UnknownOption       there is no option of that name
    ├── BackendError                where jobs run: the place itself failed, not the tool
    │   └── ResourcesExceeded       a job asks for more than the place has
    ├── StoreError                  where bytes live: missing, damaged, no room
    │   └── OutputConflict          something is in the way where an output has to go
    ├── JobFailed                   a tool ran and failed
    ├── RunFailed                   a run ended, and some of its jobs have failed
    ├── UnsafePath                  a path, a base name or a location from outside is not acceptable
    ├── LimitExceeded               something from outside is larger than gridcwl reads
    ├── ResultError                 a job's result is damaged, or claims what is not the job's
    ├── OutputError                 a tool ended well but what it left is not what its document promises
    ├── RunCancelled                the user stopped the run
    └── RunDetached                 the user detached, and the jobs continue (exit code 0)

Errors carry fields (``job_id``, ``step`` ...) and derive the message from them. ``str(error)`` is for people: what
happened, to what, why if known. ``error.remedy`` says what to do.
"""

from __future__ import annotations

from typing import Any

EXIT_FAILURE = 1
EXIT_USAGE = 2  # argparse's, and so cwltool's
EXIT_UNSUPPORTED = 33  # cwltool's and cwltest's code for "the document needs what this runner does not support"


class GridCWLError(Exception):
    """An error with a message for the user.

    Attributes:
        message: one sentence: what happened, to what.
        remedy: one sentence: what to do about it, or an empty string.
    """

    exit_code = EXIT_FAILURE

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class DocumentError(GridCWLError):
    """The CWL document is wrong; the message names file and line."""


class UnsupportedError(GridCWLError):
    """The document is right, but asks for a feature that gridcwl does not have."""

    exit_code = EXIT_UNSUPPORTED


class InputError(GridCWLError):
    """The input object does not fit the document."""


class ExpressionError(GridCWLError):
    """An expression or a parameter reference could not be evaluated."""


class ConfigError(GridCWLError):
    """An option, an environment variable or a configuration file is wrong."""


class UsageError(ConfigError):
    """The command line is wrong: an unknown option, a value that is not one, an option where nothing reads it."""

    exit_code = EXIT_USAGE


class UnknownOption(UsageError):
    """There is no option of that name.

    Attributes:
        option: as typed, without its value.
    """

    def __init__(self, option: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.option = option


class BackendError(GridCWLError):
    """The place where jobs run failed, not the tool."""


class ResourcesExceeded(BackendError):
    """A job asks for more than the place has."""

    def __init__(self, job: str, asked: str, available: str, requirement: str = "ResourceRequirement") -> None:
        super().__init__(
            f"{job} asks for {asked}, but this machine has {available}",
            remedy=f"Lower the tool's {requirement}, give --cap-resources, or run it where there is more.",
        )
        self.job = job
        self.asked = asked
        self.available = available


class StoreError(GridCWLError):
    """Bytes are missing, damaged, or have no room."""


class OutputConflict(StoreError):
    """Something is in the way where an output has to go."""

    def __init__(
        self,
        path: str,
        detail: str,
        *,
        remedy: str = "Choose another --outdir, or move away what is there.",
        replaceable: bool = False,
        several: bool = False,
        writer: str = "",
    ) -> None:
        what = "outputs" if several else "output"
        super().__init__(f"The {what} {path} cannot be put in place: {detail}", remedy=remedy)
        self.path = path
        self.replaceable = replaceable
        """Whether ``--overwrite`` helps."""
        self.writer = writer
        """The active run that writes there."""


class JobFailed(GridCWLError):
    """A tool ran and failed.

    Attributes:
        step: the step's name with its scatter indices, as shown to the user.
        exit_code_of_tool: what the tool returned; None if it never ran or was killed.
        logs: the folder that holds the job's stdout and stderr.
    """

    def __init__(self, step: str, reason: str, *, exit_code: int | None, logs: str) -> None:
        super().__init__(f"{step} failed: {reason}", remedy=f"Its logs are in {logs}." if logs else "")
        self.step = step
        self.reason = reason
        self.exit_code_of_tool = exit_code
        self.logs = logs


class RunFailed(GridCWLError):
    """A run has ended, and not all of its outputs are there.

    Attributes:
        run: the run's id.
        failures: what failed, one sentence each; the first ones.
        outputs: the output object with what there is; null stands for what is missing.
    """

    def __init__(
        self, run: str, failures: tuple[str, ...], outputs: Any = None, *, exit_code: int = EXIT_FAILURE
    ) -> None:
        more = f", and {len(failures) - 1} more failed" if len(failures) > 1 else ""
        super().__init__(
            f"The run {run} failed: {failures[0] if failures else 'its outputs are not complete'}{more}",
            remedy=f"Fix the cause, then resume the run: gridcwl resume {run}",
        )
        self.run = run
        self.failures = failures
        self.outputs = outputs
        self.exit_code = exit_code


class UnsafePath(GridCWLError):
    """A path, a base name or a location from a tool, a job, a server or an input object is not acceptable.

    Attributes:
        what: the value's role: "The base name of an output of count[1]".
        shown: the value, escaped and cut.
        reason: what is wrong with it.
    """

    def __init__(self, what: str, shown: str, reason: str) -> None:
        super().__init__(f"{what} is refused: {shown} {reason}")
        self.what = what
        self.shown = shown
        self.reason = reason


class LimitExceeded(GridCWLError):
    """Something from outside is larger than gridcwl reads.

    Attributes:
        what: the thing: "The results archive of DIRAC job 17".
        limit: the most that is accepted.
        unit: of the limit.
    """

    def __init__(self, what: str, limit: int, unit: str = "bytes") -> None:
        super().__init__(f"{what} is refused: it has more than {limit:,} {unit}")
        self.what = what
        self.limit = limit
        self.unit = unit


class ResultError(GridCWLError):
    """A job's result is damaged, or claims what is not the job's."""


class OutputError(GridCWLError):
    """A tool ended well, but what it left is not what its document promises."""


class RunCancelled(GridCWLError):
    """The user stopped the run."""

    exit_code = 130


class RunDetached(GridCWLError):
    """The run was detached: its jobs keep running, and no client monitors them."""

    exit_code = 0

    def __init__(self, run: str, jobs: int) -> None:
        super().__init__(
            f"The run {run} is detached, with {jobs} job(s) submitted",
            remedy=f"To resume: gridcwl attach {run}. To stop it: gridcwl cancel {run}.",
        )
        self.run = run
