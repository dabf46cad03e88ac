"""``gridcwl DOCUMENT INPUTS``: read, check, run, print the output object. And the commands for runs that are kept.

stdout carries the output object (or what was asked for instead) and nothing else; everything else goes to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from gridcwl.cli.options import Options, parse
from gridcwl.cli.terminal import escaping
from gridcwl.errors import EXIT_FAILURE, GridCWLError

log = logging.getLogger("gridcwl")

LOUDNESS = ("--quiet", "--verbose", "--debug")
COMMANDS = ("runs", "status", "logs", "resume", "attach", "cancel", "explain", "rm", "sites", "data", "doctor")
TESTBED = "testbed"
PLAN = "plan"


def entry() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code, which is cwltool's: 0, 1, or 33 for what is not supported."""
    with escaping():
        return _main(arguments)


def _main(arguments: Sequence[str]) -> int:
    try:
        return _dispatch(arguments)
    except GridCWLError as error:
        log.debug("raised here", exc_info=True)
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
        return _our_mistake(error)


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
    print(f"gridcwl: this is a mistake in gridcwl itself: {type(error).__name__}: {error}", file=sys.stderr)
    print("Run again with --debug and report what it prints.", file=sys.stderr)
    return EXIT_FAILURE


def _dispatch(arguments: Sequence[str]) -> int:
    words = _command(arguments)
    if words:
        from gridcwl.cli.commands import main as command

        return command(words)
    if arguments and arguments[0] == TESTBED and not os.path.exists(TESTBED):  # noqa: PTH110
        from gridcwl.cli.testbed import main as testbed

        return testbed(arguments[1:])
    planning = bool(arguments) and arguments[0] == PLAN and not os.path.exists(PLAN)  # noqa: PTH110
    options = parse(arguments[1:] if planning else arguments)
    from gridcwl.cli.logs import set_up_logging

    set_up_logging(options.loudness)
    if planning or options.show == "plan":
        from gridcwl.cli.planning import plan

        return plan(options)
    if options.show:
        return _show(options)
    from gridcwl.cli.running import run

    return run(options)


def _command(arguments: Sequence[str]) -> list[str]:
    """The words of a command, itself first, whatever options that hold for all stood before it; else none."""
    before: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in COMMANDS and not os.path.exists(word):  # noqa: PTH110  a document may be called like a command
            # only these run anything that could be told more or less of
            kept = [name for name in before if name not in LOUDNESS or word in ("resume", "attach")]
            return [word, *kept, *words]
        if word not in LOUDNESS and word.partition("=")[0] != "--state-dir":
            return []
        before.append(word)
        if word == "--state-dir":
            before.append(next(words, ""))
    return []


def _show(options: Options) -> int:
    """What was asked for instead of a run."""
    from gridcwl.cli.running import evaluation
    from gridcwl.cwl import inputs, load, show
    from gridcwl.cwl.session import open_document

    how = replace(evaluation(options), only_check=options.show == "validate")
    if options.show == "pack":
        print(show.packed(load.read(load.locate(options.document)[0], how, preprocess_only=True)))
        return 0
    if options.show == "validate":
        session = open_document(
            options.document, options.words, how, basedir=options.basedir, overrides=options.overrides
        )
        if options.words:
            session.inputs()
        print(f"{options.document} is valid CWL.")
        return 0
    document = load.read(load.locate(options.document)[0], how)
    print(show.drawn(document) if options.show == "dot" else inputs.template(document.process), end="")
    return 0
