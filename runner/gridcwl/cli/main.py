"""``gridcwl DOCUMENT INPUTS``: read, check, run, print the output object.

stdout carries the output object (or what was asked for instead) and nothing else; everything else goes to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gridcwl.cli.display import LiveWatcher, PlainWatcher, StderrHandler
from gridcwl.cli.options import Options, parse
from gridcwl.errors import EXIT_FAILURE, GridCWLError

log = logging.getLogger("gridcwl")

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


def entry() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code, which is cwltool's: 0, 1, or 33 for what is not supported."""
    options = parse(arguments)
    _set_up_logging(options)
    try:
        return _show(options) if options.show else _run(options)
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
    except Exception as error:
        log.debug("raised here", exc_info=True)
        print(f"gridcwl: this is a mistake in gridcwl itself: {type(error).__name__}: {error}", file=sys.stderr)
        print("Run again with --debug and report what it prints.", file=sys.stderr)
        return EXIT_FAILURE


def _set_up_logging(options: Options) -> None:
    handler = StderrHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gridcwl").setLevel(_LEVELS[options.loudness])
    from gridcwl.cwl.problems import route_logging

    route_logging(handler, _LEVELS[options.loudness])


def _evaluation(options: Options) -> Any:
    from gridcwl.cwl.context import EvaluationOptions

    return EvaluationOptions(
        containers=options.containers,
        singularity=options.engine == "singularity",
        default_container=options.default_container,
        eval_timeout_s=options.eval_timeout_s,
        js_console=options.js_console,
        debug=options.loudness == 2,
        strict=options.strict,
        validate=options.validate,
        skip_schemas=options.skip_schemas,
        enable_dev=options.enable_dev,
        preserve_environment=options.preserve_environment,
        preserve_entire_environment=options.preserve_entire_environment,
    )


def _show(options: Options) -> int:
    """What was asked for instead of a run."""
    from gridcwl.cwl import inputs, load, show
    from gridcwl.cwl.session import open_document

    evaluation = _evaluation(options)
    if options.show == "pack":
        print(show.packed(load.load(load.locate(options.document)[0], evaluation, preprocess_only=True)))
        return 0
    if options.show == "validate":
        session = open_document(
            options.document, options.words, evaluation, basedir=options.basedir, overrides=options.overrides
        )
        if options.words:
            session.inputs()
        print(f"{options.document} is valid CWL.")
        return 0
    document = load.load(load.locate(options.document)[0], evaluation)
    print(show.drawn(document) if options.show == "dot" else inputs.template(document.process), end="")
    return 0


def _run(options: Options) -> int:
    from gridcwl.cwl.session import open_document
    from gridcwl.runs.session import RunOptions, run_locally

    session = open_document(
        options.document, options.words, _evaluation(options), basedir=options.basedir, overrides=options.overrides
    )
    inputs = session.inputs()
    how = RunOptions(
        outdir=options.outdir,
        tmpdir_prefix=options.tmpdir_prefix,
        engine=options.engine,
        max_jobs=options.max_jobs,
        on_error=options.on_error,
        limit_memory=options.strict_memory_limit,
        limit_cores=options.strict_cpu_limit,
        leave_tmpdir=options.leave_tmpdir,
    )
    with _watcher(options) as watcher:
        finished = run_locally(session, inputs, how, watcher)
    _print_outputs(finished.outputs, options.write_summary)
    if finished.exit_code:
        print("gridcwl: the run failed; what it has is in the output object", file=sys.stderr)
    return finished.exit_code


def _watcher(options: Options) -> PlainWatcher:
    if sys.stderr.isatty() and options.loudness in (0, 1) and os.environ.get("TERM") != "dumb":
        return LiveWatcher(verbose=options.loudness > 0)
    return PlainWatcher(quiet=options.loudness < 0, verbose=options.loudness > 0)


def _print_outputs(outputs: Any, file: str | None) -> None:
    text = json.dumps(outputs, indent=4, ensure_ascii=False, default=_number) + "\n"
    encoded = text.encode("utf-8", "surrogateescape")
    if file:
        Path(file).write_bytes(encoded)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(encoded)
        sys.stdout.flush()


def _number(value: Any) -> Any:
    """What json does not know: the numbers that ruamel keeps as they were written."""
    return float(value) if hasattr(value, "__float__") else str(value)
