"""``gridcwl DOCUMENT INPUTS``: read, check, run, print the output object. And the commands for runs that are kept.

stdout carries the output object (or what was asked for instead) and nothing else; everything else goes to stderr.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from gridcwl.cli import background
from gridcwl.cli.not_served import refuse_server
from gridcwl.cli.options import options_of_run, parse
from gridcwl.cli.parsing import HELP
from gridcwl.cli.terminal import escaping
from gridcwl.errors import EXIT_FAILURE, GridCWLError, UnknownOption, UsageError
from gridcwl.runs.options import Options
from gridcwl.suggest import did_you_mean

log = logging.getLogger("gridcwl")

LOUDNESS = ("--quiet", "--verbose", "--debug")
COMMANDS = (
    *("runs", "status", "logs", "resume", "attach", "cancel", "explain", "rm", "sites", "data", "report", "usage"),
    *("doctor", "init", "lint", "completion", "man"),
    *("export", "verify", "lineage", "rerun"),
    *("credentials", "login", "logout", "whoami", "keys"),
)
TESTBED = "testbed"
SERVE = "serve"
PLAN = "plan"
EXEC = "exec"
PROGRAMS = {
    TESTBED: "gridcwl.cli.testbed",
    SERVE: "gridcwl.cli.serve",
    EXEC: "gridcwl.cli.exec_command",
    "basket": "gridcwl.cli.basket",
    "schedule": "gridcwl.cli.schedule",
    "production": "gridcwl.cli.production",
    "shell": "gridcwl.cli.shell",
    "pool": "gridcwl.cli.pool",
    "kernel": "gridcwl.jupyter.kernels.command",
}
"""Commands with a command line of their own, and the modules whose ``main`` takes it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code, which is cwltool's: 0, 1, or 33 for what is not supported."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings have tracebacks; what follows is reported
    with escaping(), _log_format(arguments):
        code = _main(arguments)
        background.end(code)
        return code


def _log_format(arguments: Sequence[str]) -> AbstractContextManager[None]:
    if not any(word.startswith("--log-format") for word in arguments):
        return nullcontext()
    from gridcwl.cli.json_log import json_lines

    return json_lines(arguments)


def _main(arguments: Sequence[str]) -> int:
    try:
        return _dispatch(arguments)
    except GridCWLError as error:
        log.debug("raised here", exc_info=True)
        if isinstance(error, UnknownOption):
            error.remedy = _suggesting(error)
        print(f"gridcwl: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("gridcwl: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our stdout has gone; leave nothing for the interpreter to flush there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except ModuleNotFoundError as error:
        log.debug("raised here", exc_info=True)
        return _not_installed(error)
    except Exception as error:
        log.debug("raised here", exc_info=True)
        return _out_of_memory(error) if _is_lack_of_memory(error) else _our_mistake(error)


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether the system gave no memory, also where that was the cause of another error."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_lack_of_memory, error.exceptions))
    if error is None or isinstance(error, MemoryError):
        return error is not None
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    no_fork = isinstance(error, OSError) and error.errno in (errno.ENOMEM, errno.EAGAIN)
    return no_thread or no_fork or _is_lack_of_memory(error.__cause__ or error.__context__)


def _out_of_memory(error: Exception) -> int:
    print(f"gridcwl: The system gives this process no more memory or threads ({error})", file=sys.stderr)
    print(
        "Raise the limit (ulimit -v, ulimit -u) or free some memory. A run resumes with: gridcwl resume last",
        file=sys.stderr,
    )
    return EXIT_FAILURE


def _not_installed(error: ModuleNotFoundError) -> int:
    """A package of an extra is missing: say which; any other missing module is our mistake."""
    from gridcwl import imports

    package = (error.name or "").partition(".")[0]
    if not imports.extra_of(package) or imports.installed(package):
        return _our_mistake(error)
    missing = imports.missing(package)
    print(f"gridcwl: {missing}", file=sys.stderr)
    return missing.exit_code


def _our_mistake(error: Exception) -> int:
    print(f"gridcwl: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    print("Run again with --debug and report the output.", file=sys.stderr)
    return EXIT_FAILURE


def _suggesting(error: UnknownOption) -> str:
    """The remedy with one of gridcwl's own options, if that may be meant behind a document."""
    if error.remedy.startswith("Did you mean"):
        return error.remedy
    return f"{did_you_mean(error.option, options_of_run())} {error.remedy}".strip()


def _dispatch(arguments: Sequence[str]) -> int:
    arguments = _asked_for_help(arguments)
    words = _command(arguments)
    if words:
        refuse_server(words[0], words[1:])
        from gridcwl.cli.commands import main as command

        return command(words)
    if arguments and arguments[0] in PROGRAMS and not os.path.isfile(arguments[0]):  # noqa: PTH113
        refuse_server(arguments[0], arguments[1:])
        program = importlib.import_module(PROGRAMS[arguments[0]])
        return int(program.main(arguments[1:]))
    _refuse_near_commands(arguments)
    planning = bool(arguments) and arguments[0] == PLAN and not os.path.isfile(PLAN)  # noqa: PTH113
    if planning:
        refuse_server(PLAN, arguments[1:])
    return act(parse(arguments[1:] if planning else arguments), planning=planning)


def act(options: Options, *, planning: bool = False) -> int:
    """Run the document, or print what was asked for instead; returns the exit code."""
    from gridcwl.cli.logs import set_up_logging

    set_up_logging(options.loudness, timestamps=options.timestamps)
    if planning or options.show == "plan":
        from gridcwl.cli.planning import print_plan

        return print_plan(options)
    if options.show:
        from gridcwl.cli.instead import show

        return show(options)
    from gridcwl.cli.running import run

    return run(options)


def _asked_for_help(arguments: Sequence[str]) -> Sequence[str]:
    """``gridcwl --help COMMAND`` and ``gridcwl help COMMAND`` as ``gridcwl COMMAND --help``."""
    if not arguments or arguments[0] not in (*HELP, "help") or os.path.isfile(arguments[0]):  # noqa: PTH113
        return arguments
    others = [word for word in arguments[1:] if word in (*COMMANDS, *PROGRAMS, PLAN)]
    if others:
        return [others[0], "--help"]
    return ["--help", *arguments[1:]] if arguments[0] == "help" else arguments


def _refuse_near_commands(arguments: Sequence[str]) -> None:
    """A first word that is no file, but like a command, is not taken for a document.

    Raises:
        UsageError: it is not.
    """
    word = arguments[0] if arguments else ""
    if not word.isalpha() or word == PLAN or os.path.isfile(word):  # noqa: PTH113
        return
    close = did_you_mean(word, (*COMMANDS, *PROGRAMS, PLAN))
    if close:
        raise UsageError(
            f"There is no command {word}, and no document of that name",
            remedy=f"{close} gridcwl --help lists the commands.",
        )


def _command(arguments: Sequence[str]) -> list[str]:
    """The words of a command, itself first, whatever options that hold for all stood before it; else none."""
    before: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in COMMANDS and not os.path.isfile(word):  # noqa: PTH113  a document may be called like a command
            # only these run anything that can be logged
            kept = [name for name in before if name not in LOUDNESS or word in ("resume", "attach")]
            return [word, *kept, *words]
        if word not in LOUDNESS and word.partition("=")[0] != "--state-dir":
            return []
        before.append(word)
        if word == "--state-dir":
            before.append(next(words, ""))
    return []
