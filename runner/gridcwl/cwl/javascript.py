"""JavaScript expressions: cwl_utils' engine on one node process that is kept, with errors that a person can read."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import subprocess
from typing import Any

from cwl_utils.sandboxjs import NodeJSEngine, code_fragment_to_js, default_timeout, set_js_engine

from gridcwl.errors import ExpressionError

log = logging.getLogger("gridcwl.cwl")

_CONSOLE = re.compile(r"^\[(?:log|err)\] (.*)\n?", re.M)
_THROWN = re.compile(r"^(?:Uncaught )?(\w*(?:Error|Exception)\b.*)$", re.M)
_AT = re.compile(r"^evalmachine\.<anonymous>:\d+\n(.*)$", re.M)
_LONGEST = 120


class NodeEngine(NodeJSEngine):  # type: ignore[misc]
    """Needs node only when there is something to evaluate, and never looks for it in a container image."""

    def eval(
        self, scan: str, jslib: str = "", timeout: float = default_timeout, js_console: bool = False, **_rest: Any
    ) -> Any:
        """The value of one expression.

        Raises:
            ExpressionError: it failed, took longer than ``timeout`` seconds, or node is not there.
        """
        code = code_fragment_to_js(scan, jslib)
        _, said, complained = self.exec_js_process(code, timeout, js_console=js_console)
        if js_console:
            complained = _without_console(complained)
        what = f"The JavaScript expression {_short(scan)}"
        if said.strip() == "undefined":
            raise ExpressionError(f"{what} gives undefined", remedy="Does it lack a 'return'?")
        with contextlib.suppress(ValueError):
            return json.loads(said)
        if complained.strip():
            reason = _reason(complained, many_lines="\n" in scan.strip())
            raise ExpressionError(f"{what} failed: {reason}")
        # It said nothing at all. The exit code does not tell: a process just killed may still seem to run.
        self.forget()
        raise ExpressionError(
            f"{what} was stopped after {timeout:g} s",
            remedy="Look for an endless loop, or give it longer with --eval-timeout.",
        )

    def forget(self) -> None:
        """End the process that is kept, so that the next expression is not given to one that is just going."""
        kept = getattr(self.localdata, "procs", {})
        for process in kept.values():
            process.kill()
            process.wait()
        kept.clear()

    def new_js_proc(self, js_text: str, **_rest: Any) -> subprocess.Popen[str]:
        """A node process that waits for expressions.

        cwl_utils' own asks node twice who it is before it starts it, and tries to pull an image where there is none.

        Raises:
            ExpressionError: there is no node.
        """
        program = node_program()
        if program is None:
            raise ExpressionError(
                "The document holds JavaScript expressions, and node, which evaluates them, is not in PATH",
                remedy="Install Node.js (Debian: apt install nodejs), or add the folder that holds node to PATH.",
            )
        pipe = subprocess.PIPE
        process = subprocess.Popen([program, "--eval", js_text], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.processes_to_kill.append(process)
        return process


def node_program() -> str | None:
    """The path of node; None if it is not installed."""
    return shutil.which("node") or shutil.which("nodejs")


def _without_console(complained: str) -> str:
    """Show what the expression wrote to its console; the rest is an error."""
    for line in _CONSOLE.findall(complained):
        log.warning("JavaScript console: %s", line)
    return _CONSOLE.sub("", complained)


def _short(scan: str) -> str:
    text = " ".join(scan.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _reason(complained: str, *, many_lines: bool) -> str:
    """Node's words without its own stack."""
    thrown, at = _THROWN.search(complained), _AT.search(complained)
    reason = thrown[1] if thrown else complained.strip().splitlines()[0]
    return f"{reason} (at: {_short(at[1])})" if at and many_lines else reason


def use_node() -> None:
    """Evaluate all of this process' JavaScript with :class:`NodeEngine`."""
    set_js_engine(NodeEngine())
