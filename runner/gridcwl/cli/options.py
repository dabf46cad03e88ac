"""The command line's options: cwltool's names and meanings wherever cwltool has them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from gridcwl import __version__
from gridcwl.cli import cwltool_options, grid_options, output_options, owners, store_options
from gridcwl.cli.parsing import OptionalWord, Parser, mentioned, positive, sort, split
from gridcwl.config import Config, capability
from gridcwl.errors import ConfigError, UsageError
from gridcwl.plugins import configuration, store, stores_reading
from gridcwl.runs.options import Engine, GridOptions, Options, configured

_EPILOG = """\
Inputs come from a YAML or JSON file, from options made from the document's own
inputs, or from both:
  gridcwl tool.cwl --help      lists them
  gridcwl tool.cwl --name value
The options above may stand before or after DOCUMENT. After it, an option with
the name of one of the document's inputs sets that input.

Runs are recorded and can be resumed. For details, gridcwl COMMAND --help:
  gridcwl runs | status RUN | logs RUN [STEP] | explain RUN STEP | data RUN
  gridcwl report RUN | resume RUN | attach RUN | cancel RUN | rm RUN
  gridcwl usage [RUN ...] | export RUN CRATE | verify CRATE
  gridcwl init -- COMMAND | exec -- COMMAND | basket ACTION
  gridcwl shell RUN STEP | rerun RUN | lineage FILE
  gridcwl schedule ACTION | production ACTION | pool ACTION | kernel ACTION
  gridcwl lint DOCUMENT | sites | doctor | serve | completion SHELL | man
  gridcwl login | logout | whoami | credentials ACTION | keys ACTION
To see what a run would do:
  gridcwl plan DOCUMENT INPUTS
"""


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line.

    Raises:
        SystemExit: ``--help``, ``--version``, or there is no document.
        UsageError: an option is unknown, lacks its value, or nothing reads it.
        ConfigError: in the configuration file or the environment.
        GridCWLError: options stand behind a document that cannot be read.
    """
    parser = _parser()
    words, document, behind = split(parser, arguments)
    if document is None and Path("CWLFile").is_file():  # as cwltool
        document = "CWLFile"
    if document is not None and "://" not in document:
        document, behind = _of_crate(document, behind)
    if document is not None and mentioned(parser, behind):
        is_input = _inputs_of(_options_for_loading(parser, words, behind, document))
        own, behind = sort(parser, behind, is_input)
        words += own
    options = _options(parser, words, document or "", tuple(behind))
    if document is None and options.show != "versions":
        parser.print_help(sys.stderr)
        raise SystemExit(1)
    return options


def _of_crate(document: str, behind: list[str]) -> tuple[str, list[str]]:
    """The document and the inputs of a crate, if that is what the word means; inputs behind it go before its own."""
    path = Path(document)
    if path.suffix != ".zip" and not path.is_dir():
        return document, behind
    from gridcwl.runs.provenance.reading import with_crate

    found, words = with_crate(document, tuple(behind), lambda: configuration().caches())
    return found, list(words)


def options_of_run() -> Collection[str]:
    """All options of ``gridcwl DOCUMENT`` as they are typed."""
    return _parser().flags


def _options_for_loading(parser: Parser, words: Sequence[str], behind: Sequence[str], document: str) -> Options:
    """The options that the document is loaded with; some may be inputs of it, with values that gridcwl cannot read."""
    own, _ = sort(parser, behind, lambda _word: False)
    own = [word for word in own if word.partition("=")[0] != "--version"]
    try:
        return _options(parser, [*words, *own], document, ())
    except ConfigError:
        return _options(parser, words, document, ())


def _inputs_of(options: Options) -> Callable[[str], bool]:
    """Whether a word is an option of the document's inputs; no word is, if the document has mistakes: they come later.

    Raises:
        GridCWLError: there is no such document.
    """
    from gridcwl.cwl.session import input_options
    from gridcwl.runs.from_options import evaluation

    found = input_options(options.document, evaluation(options))
    return lambda word: found is not None and found.match(word) is not None


def _options(parser: Parser, words: Sequence[str], document: str, behind: tuple[str, ...]) -> Options:
    """What gridcwl's own options mean, over the configuration."""
    given = parser.parse_args(words)
    config = configuration()
    grid, store = grid_options.read(given, config), store_options.read(given, config)
    backend = f"{grid.backend}-local" if grid.is_local_mode else grid.backend
    owners.check(parser, words, backend=backend, store=store.store)
    _check(parser, words, given, config, grid)
    options = configured(config, document, behind, Path(given.outdir), grid=grid, store=store)
    if given.reuse_containers and _engine(given, options) != "docker":
        parser.error(f"--reuse-containers works with docker only, not with {_engine(given, options)}")
    for part in (_places, _display, _loading, _jobs, _outputs):
        options = part(given, options)
    return replace(options, server=given.server or "", cwltool=cwltool_options.read(given))


def _places(given: argparse.Namespace, base: Options) -> Options:
    """Directories, and how the run is recorded."""
    return replace(
        base,
        basedir=str(Path(given.basedir).absolute()) if given.basedir else None,
        tmpdir_prefix=given.tmpdir_prefix or given.tmp_outdir_prefix or base.tmpdir_prefix,
        leave_tmpdir=given.leave_tmpdir,
        state_dir=Path(given.state_dir).absolute() if given.state_dir else base.state_dir,
        cache_dir=Path(given.cachedir).absolute() if given.cachedir else base.cache_dir,
        cache=bool(given.cache or given.cachedir or (base.cache and given.cache is None)),
        background=given.background,
        run_name=_run_name(given.run_name),
    )


def _display(given: argparse.Namespace, base: Options) -> Options:
    return replace(
        base,
        loudness=-1 if given.no_warnings else given.loudness or 0,
        timestamps=given.timestamps,
        color=given.color,
        show=given.show,
        js_console=given.js_console,
    )


def _loading(given: argparse.Namespace, base: Options) -> Options:
    """How the document is read and evaluated."""
    return replace(
        base,
        strict=given.strict,
        validate=given.do_validate,
        skip_schemas=given.skip_schemas,
        enable_dev=given.enable_dev,
        eval_timeout_s=given.eval_timeout,
        javascript=given.javascript and base.javascript,
        overrides=given.overrides,
        settings=tuple(given.settings or ()),
        grouping=output_options.grouping_of(given),
    )


def _jobs(given: argparse.Namespace, base: Options) -> Options:
    """How jobs run, and what becomes of those that fail."""
    return replace(
        base,
        containers=_containers(given, base),
        engine=_engine(given, base),
        max_jobs=given.max_jobs or base.max_jobs,
        on_error=given.on_error or base.on_error,
        default_container=given.default_container,
        capabilities=tuple(given.cap_add or base.capabilities),
        processes=given.pids_limit if given.pids_limit is not None else base.processes,
        preserve_environment=tuple(given.preserve_environment or ()),
        preserve_entire_environment=given.preserve_entire_environment,
        mpi_config_file=str(Path(given.mpi_config_file).absolute()) if given.mpi_config_file else None,
        retries=base.retries if given.retries is None else given.retries,
        retry_all=given.retry_all,
        retry_memory=given.retry_memory,
        cap_resources=given.cap_resources,
    )


def _outputs(given: argparse.Namespace, base: Options) -> Options:
    return replace(
        base,
        write_summary=given.write_summary,
        overwrite=given.overwrite,
        publish_partial=given.publish_partial,
        outputs=given.outputs or "move",
    )


def _check(parser: Parser, words: Sequence[str], given: argparse.Namespace, config: Config, grid: GridOptions) -> None:
    """See that the options go together.

    Raises:
        UsageError: they do not.
    """
    if given.retry_all and not (given.retries or config.retries or grid.is_elsewhere):
        raise UsageError("--retry-all has no effect without --retries", remedy="Give --retries 2.")
    if given.server:
        from gridcwl.cli.server_runs import check_options

        check_options(parser._actions, list(words))
    if given.background and grid.detach:
        raise UsageError(
            "--detach and --submit-only exclude each other",
            remedy="--detach runs in the background to the end; --submit-only leaves the jobs alone.",
        )


def _run_name(name: str | None) -> str:
    from gridcwl.runs.record.folder import checked_run_name

    return "" if name is None else checked_run_name(name)


def _containers(given: argparse.Namespace, base: Options) -> bool:
    if not given.containers:
        return False
    return given.engine is not None or given.user_space_docker_cmd is not None or base.containers


def _engine(given: argparse.Namespace, base: Options) -> Engine:
    if given.engine is None and given.user_space_docker_cmd is not None:
        return "udocker" if given.user_space_docker_cmd else "docker"
    engine: Engine = given.engine or base.engine
    return engine


def _parser() -> Parser:
    parser = Parser(
        prog="gridcwl",
        usage="gridcwl [OPTIONS] DOCUMENT [INPUTS.yml] [--NAME VALUE ...]\n       gridcwl COMMAND ...",
        description="Run a CWL workflow; every step is a job.\nDOCUMENT is a CWL file, or FILE#process.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"gridcwl {__version__}")
    _add_places(parser.add_argument_group("directories"))
    _add_display(parser.add_argument_group("display"))
    _add_instead(parser.add_argument_group("instead of running the document"))
    cwltool_options.add_parts(parser.add_argument_group("running a part of a workflow"))
    _add_jobs(parser.add_argument_group("jobs"))
    cwltool_options.add_containers(parser.add_argument_group("containers"))
    backend = parser.add_argument_group("backend")
    backend.add_argument("--server", metavar="URL", help="run it at this gridcwl serve: what it needs is uploaded")
    grid_options.add_grid(backend)
    store_options.add_store(parser.add_argument_group("storage"))
    _add_document(parser.add_argument_group("loading the document"))
    cwltool_options.add_provenance(parser.add_argument_group("provenance"))
    cwltool_options.add_refused(parser)
    return parser


def _add_places(group: argparse._ArgumentGroup) -> None:
    sharing = stores_reading("cache_in_store")
    group.add_argument("--outdir", default=".", help="directory for final outputs (default: the current directory)")
    group.add_argument("--basedir", help="base directory of relative paths given as options")
    group.add_argument("--tmpdir-prefix", help="path prefix of the run's working folder (default: $TMPDIR/gridcwl-)")
    group.add_argument("--tmp-outdir-prefix", help=argparse.SUPPRESS)
    output_options.add_outputs(group)
    output_options.add_ways(group)
    add_state_dir(group)
    group.add_argument(
        "--detach", dest="background", action="store_true", help="run in the background; gridcwl attach shows the run"
    )
    group.add_argument(
        "--run-name", metavar="NAME", help="name of the run, for status, logs, resume and other commands"
    )
    group.add_argument(
        "--cache",
        action=OptionalWord,
        dest="cache_in_store",
        metavar="|".join(sharing) or "STORE",
        takes=lambda word: word in sharing,
        alone=("cache", True),
        help="reuse results of other runs, and save new ones"
        + "".join(f"; --cache {name}: shared through {store(name).title or name}" for name in sharing),
    )
    group.set_defaults(cache=None)
    group.add_argument("--no-cache", dest="cache", action="store_false", help="do not reuse results")
    group.add_argument("--cachedir", metavar="DIR", help="like --cache, with the results in DIR")
    group.add_argument("--leave-tmpdir", action="store_true", help="keep the working folder")
    group.add_argument("--rm-tmpdir", dest="leave_tmpdir", action="store_false", help=argparse.SUPPRESS)
    group.add_argument(
        "--write-summary", "-w", metavar="FILE", help="write the output object to this file, not to stdout"
    )


def _add_display(group: argparse._ArgumentGroup) -> None:
    add_loudness(group)
    group.add_argument("--js-console", action="store_true", help="show console.log of JavaScript expressions")
    group.add_argument("--no-warnings", action="store_true", help="as --quiet")
    add_log_format(group)
    group.add_argument("--timestamps", action="store_true", help="prefix each message with the time")
    group.add_argument("--disable-color", "--no-color", dest="color", action="store_false", help="no colors")
    group.add_argument("--enable-color", dest="color", action="store_true", default=True, help=argparse.SUPPRESS)


def _add_instead(group: argparse._ArgumentGroup) -> None:
    ways = group.add_mutually_exclusive_group()
    for option, value, text in (
        ("--validate", "validate", "check the document (and the inputs, if given) and stop"),
        ("--print-dot", "dot", "print the workflow as a Graphviz graph"),
        ("--dry-run", "plan", "print what a run would do, as gridcwl plan"),
        ("--make-template", "template", "print an input object to fill in"),
    ):
        ways.add_argument(option, dest="show", action="store_const", const=value, help=text)
    ways.add_argument(
        "--pack",
        action=OptionalWord,
        metavar="N",
        type=grid_options.pack,
        takes=grid_options.is_pack,
        alone=("show", "pack"),
        help="print the document and everything it refers to as one file; --pack N: see --pack-jobs",
    )
    cwltool_options.add_printed(ways)
    cwltool_options.add_how_printed(group)


def _add_jobs(group: argparse._ArgumentGroup) -> None:
    ways = group.add_mutually_exclusive_group()
    add_engines(ways)
    group.set_defaults(containers=True)
    group.add_argument("--default-container", metavar="IMAGE", help="image for tools that name none")
    group.add_argument("--parallel", action="store_true", help="accepted as in cwltool; jobs always run in parallel")
    group.add_argument("--max-jobs", type=positive, metavar="N", help="at most N jobs at a time")
    group.add_argument("--parallel-max", dest="max_jobs", type=_count, metavar="N", help="the same; 0 is no limit")
    group.add_argument("--on-error", choices=("stop", "continue"), help="what to do after a job failed (default: stop)")
    group.add_argument("--retries", type=_count, metavar="N", help="retry temporary failures up to N times (default 0)")
    group.add_argument("--retry-all", action="store_true", help="with --retries, retry every failure")
    output_options.add_resources(group)
    output_options.add_groups(group)
    group.add_argument(
        "--cap-add", action="append", type=_capability, metavar="NAME", help="let containers keep this Linux capability"
    )
    group.add_argument(
        "--pids-limit", type=_count, metavar="N", help="at most N processes in a container (default 4096; 0: no limit)"
    )
    group.add_argument(
        "--preserve-environment", action="append", metavar="NAME", help="pass this environment variable to jobs"
    )
    group.add_argument(
        "--preserve-entire-environment", action="store_true", help="pass all environment variables to jobs"
    )
    group.add_argument(
        "--mpi-config-file", metavar="FILE", help="YAML file that configures MPIRequirement (as cwltool)"
    )
    cwltool_options.add_results(group)


def _add_document(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--overrides", metavar="FILE", help="requirements that replace those of the document")
    group.add_argument("--non-strict", dest="strict", action="store_false", help="accept unknown fields")
    group.add_argument("--strict", dest="strict", action="store_true", default=True, help=argparse.SUPPRESS)
    group.add_argument("--skip-schemas", action="store_true", help="do not load $schemas")
    group.add_argument("--disable-validate", dest="do_validate", action="store_false", help="do not validate")
    group.add_argument("--relax-path-checks", action="store_true", help="accepted as in cwltool; any name is allowed")
    group.add_argument("--enable-dev", action="store_true", help="accept development versions of CWL")
    group.add_argument(
        "--enable-ext", action="store_true", help="accepted as in cwltool; extensions are always enabled"
    )
    group.add_argument(
        "--no-javascript", dest="javascript", action="store_false", help="refuse documents that need JavaScript"
    )
    group.add_argument(
        "--eval-timeout", type=float, default=60.0, metavar="S", help="seconds for one expression (default 60)"
    )
    cwltool_options.add_reading(group)


def add_engines(ways: argparse._ActionsContainer) -> None:
    """The options that choose what runs containers."""
    ways.add_argument("--no-container", dest="containers", action="store_false", help="run commands without containers")
    for engine in ("docker", "podman", "singularity", "udocker"):
        ways.add_argument(
            f"--{engine}", dest="engine", action="store_const", const=engine, help=f"run containers with {engine}"
        )


def add_state_dir(parser: argparse._ActionsContainer) -> None:
    """The option that says where runs are kept."""
    parser.add_argument(
        "--state-dir", metavar="DIR", help="directory of run records (default: the user's state folder)"
    )


def add_loudness(parser: argparse._ActionsContainer) -> None:
    """Options for the amount of messages."""
    parser.add_argument("--quiet", dest="loudness", action="store_const", const=-1, help="errors only")
    parser.add_argument("--verbose", dest="loudness", action="store_const", const=1, help="one line for each job")
    parser.add_argument("--debug", dest="loudness", action="store_const", const=2, help="everything, with tracebacks")


def add_log_format(parser: argparse._ActionsContainer) -> None:
    """The option that main() has read before anything was printed."""
    parser.add_argument(
        "--log-format", choices=("text", "json"), help="format of messages on stderr: json has one object in each line"
    )


def add_retries(parser: argparse._ActionsContainer) -> None:
    """The options that say which failed jobs are tried again."""
    parser.add_argument("--retries", type=_count, metavar="N", help="retry temporary failures up to N times")
    parser.add_argument("--retry-all", action="store_true", help="with --retries, retry every failure")


def _capability(text: str) -> str:
    try:
        return capability(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return number
