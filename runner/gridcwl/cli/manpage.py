"""The manual page, in roff, made of the parsers: ``gridcwl man | man -l -``."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from gridcwl import __version__

_WIDTH = 78
_EXIT = (
    ("0", "the run or the command succeeded"),
    ("1", "a job failed, or an error was reported on stderr"),
    ("2", "invalid option or argument"),
    ("33", "the document requires a feature that gridcwl does not support"),
    ("130, 143", "stopped by Ctrl-C, or by SIGTERM; gridcwl resume continues"),
)
_FILES = (
    ("~/.config/gridcwl/config.toml", "settings; GRIDCWL_CONFIG names another file"),
    ("~/.local/state/gridcwl", "runs with their journals and logs"),
    ("~/.cache/gridcwl", "results for other runs, checksums, parsed documents"),
)
_ENVIRONMENT = (
    ("GRIDCWL_STATE_DIR, GRIDCWL_CACHE_DIR", "other folders for runs and for caches"),
    ("GRIDCWL_ENGINE, GRIDCWL_MAX_JOBS ...", "each setting of the configuration file, in capitals"),
    ("TMPDIR", "directory for working folders"),
    ("DOCKER_HOST", "the Docker engine to use"),
    ("DIRACSYSCONFIG, DIRACX_URL, RUCIO_CONFIG, X509_USER_PROXY", "as DIRAC's and Rucio's own clients read them"),
)


def man(_given: argparse.Namespace) -> int:
    """Print the page."""
    print(page(), end="")
    return 0


def page() -> str:
    """The whole page."""
    return "".join(f"{part}\n" for line in _lines() for part in _wrapped(line))


def _wrapped(line: str) -> list[str]:
    """A line of text in several, none of which begins like a request."""
    if len(line) <= _WIDTH or line.startswith("."):
        return [line]
    parts = textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return [parts[0], *(rf"\&{part}" if part.startswith((".", "'")) else part for part in parts[1:])]


def _lines() -> Iterator[str]:
    from gridcwl.cli import commands, main, options
    from gridcwl.cli.completing import subparsers
    from gridcwl.cli.serve import _parser as serve
    from gridcwl.cli.testbed import _parser as testbed

    parser = options._parser()
    yield from _head(Path(commands.__file__))
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.option_strings and _is_shown(action)]
        if actions:
            yield f".SH {_text((group.title or 'options').upper())}"
            yield from _options(actions)
    yield ".SH COMMANDS"
    yield ".TP"
    yield rf"\fB{main.PLAN}\fR \fIDOCUMENT\fR [\fIINPUTS\fR]"
    yield "print what a run would do: its jobs, images, inputs and outputs, and what would be reused"
    yield from _commands(subparsers(commands._parser()), "")
    yield from _commands({main.SERVE: serve()}, "")
    yield ".SH TESTBED"
    yield "A real DIRAC and a real Rucio on this machine."
    yield from _commands(subparsers(testbed()), f"{main.TESTBED} ")
    for title, entries in (("EXIT STATUS", _EXIT), ("FILES", _FILES), ("ENVIRONMENT", _ENVIRONMENT)):
        yield f".SH {title}"
        for name, text in entries:
            yield from (".TP", rf"\fB{_text(name)}\fR", _text(text))
    yield from _examples()
    yield ".SH SEE ALSO"
    yield "https://gridcwl.readthedocs.io, https://www.commonwl.org/v1.2/"


def _head(source: Path) -> Iterator[str]:
    made = date.fromtimestamp(source.stat().st_mtime)
    yield f'.TH GRIDCWL 1 "{made}" "gridcwl {_text(__version__)}" "User Commands"'
    yield ".SH NAME"
    yield r"gridcwl \- run CWL workflows, every step a job: in local containers or on the DIRAC grid"
    yield ".SH SYNOPSIS"
    yield r".B gridcwl"
    yield r"[\fIOPTIONS\fR] \fIDOCUMENT\fR [\fIINPUTS\fR]"
    yield ".br"
    yield r".B gridcwl"
    yield r"\fICOMMAND\fR [\fIOPTIONS\fR] ..."
    yield ".SH DESCRIPTION"
    yield r"\fIDOCUMENT\fR is a CWL file, or FILE#process. \fIINPUTS\fR is a YAML or JSON file, or options made"
    yield r"from the document\(aqs own inputs: \fBgridcwl\fR \fIDOCUMENT\fR \fB\-\-help\fR lists them."
    yield ".PP"
    yield "The output object goes to stdout, and everything else to stderr. Every run is recorded, and can be resumed."


def _examples() -> Iterator[str]:
    yield ".SH EXAMPLES"
    yield "The usual ones:"
    for text, command in (
        ("Run a workflow in containers on this machine:", "gridcwl workflow.cwl inputs.yml"),
        ("See what it would do:", "gridcwl plan workflow.cwl inputs.yml"),
        (
            "Run it on the grid, with its files in Rucio:",
            "gridcwl --backend dirac --store rucio workflow.cwl inputs.yml",
        ),
        ("Continue the last run after a failure:", "gridcwl resume last"),
        ("Make a document from a command:", "gridcwl init -- python3 histo.py --bins 10 events.txt"),
    ):
        yield from (".PP", _text(text), ".PP", ".in +4n", ".nf", _text(command), ".fi", ".in")


def _commands(known: dict[str, argparse.ArgumentParser], before: str) -> Iterator[str]:
    for name, parser in known.items():
        words = " ".join(_word(action) for action in parser._actions if not action.option_strings)
        yield ".TP"
        yield rf"\fB{before}{_text(name)}\fR {words}".rstrip()
        yield _text(parser.description or "")
        actions = [a for a in parser._actions if a.option_strings and _is_shown(a) and "--help" not in a.option_strings]
        if actions:
            yield ".RS"
            yield from _options(actions)
            yield ".RE"


def _options(actions: list[argparse.Action]) -> Iterator[str]:
    for action in actions:
        names = ", ".join(rf"\fB{_text(name)}\fR" for name in action.option_strings)
        yield ".TP"
        yield names if action.nargs == 0 else f"{names} {_value(action)}"
        yield _text(_help(action))


def _value(action: argparse.Action) -> str:
    if action.choices:
        return "|".join(rf"\fB{_text(str(choice))}\fR" for choice in action.choices)
    return rf"\fI{_text(str(action.metavar or action.dest.upper()))}\fR"


def _word(action: argparse.Action) -> str:
    name = _value(action)
    if action.nargs in ("?", "*", argparse.REMAINDER):
        name = f"[{name}]"
    return f"{name} ..." if action.nargs in ("*", "+", argparse.REMAINDER) else name


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    return re.sub(r"%\((\w+)\)\w", lambda match: str(getattr(action, match[1], "")), text).replace("%%", "%")


def _is_shown(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS


def _text(text: str) -> str:
    """Text without what roff would take for its own."""
    text = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("~", r"\(ti")
    text = text.replace("^", r"\(ha").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith((".", r"\(aq")) else text
