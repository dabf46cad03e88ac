"""The command line in this process: its arguments and its result."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

from gridcwl.cli.main import main


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def outputs(self) -> Any:
        """The output object: all that stdout may hold."""
        return json.loads(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The lines on stderr but for those that count steps."""
        return [line for line in self.stderr.splitlines() if not line.startswith("[0:")]

    def assert_one_error(self, code: int, *words: str) -> None:
        """It failed with one error of these words, and with nothing of Python, libraries or URLs in it."""
        assert self.code == code, self.stderr
        assert self.stdout == ""
        assert self.stderr.count("gridcwl:") == 1
        assert [word for word in words if word not in self.stderr] == []
        for noise in ("Traceback", "ruamel", "Commented", "[Errno", "file://", "internal error"):
            assert noise not in self.stderr


def gridcwl(*arguments: str, stdin: str = "") -> CommandResult:
    """Run ``gridcwl`` with these arguments."""
    written, errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    before = sys.stdout, sys.stdin
    sys.stdout, sys.stdin = written, io.StringIO(stdin)
    try:
        with redirect_stderr(errors):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as end:  # argparse
                code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout, sys.stdin = before
    written.flush()
    return CommandResult(code, written.buffer.getvalue().decode("utf-8", "surrogateescape"), errors.getvalue())  # type: ignore[attr-defined]
