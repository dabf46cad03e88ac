"""The commands for provenance: ``gridcwl export``, ``verify``, ``lineage`` and ``rerun``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridcwl import plugins
from gridcwl.cli.tables import show
from gridcwl.errors import EXIT_FAILURE, ConfigError

if TYPE_CHECKING:
    from gridcwl.runs.provenance.crate import Written
    from gridcwl.runs.provenance.rerunning import Rerun

_MIB = 1 << 20


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands to a parser, by the function that makes one of them."""
    from gridcwl.cli.options import add_engines, add_loudness
    from gridcwl.cli.parsing import positive

    export = command("export", _export, "write a run as a Provenance Run Crate, a kind of RO-Crate", json=False)
    export.add_argument("crate", metavar="CRATE", help="new folder, or a file that ends with .zip")
    export.add_argument("--license", metavar="URL", help="license of the crate")
    add_crate_options(export)
    verify = command("verify", _verify, "check every checksum in an RO-Crate, and every replica in stores", run=False)
    verify.add_argument("crate", metavar="CRATE", help="its folder, or a .zip of it")
    lineage = command("lineage", _lineage, "which runs, jobs and files a file came from, across users", run=False)
    lineage.add_argument("file", metavar="FILE|DID", help=", ".join(filter(None, ["a path", plugins.examples()])))
    forms = lineage.add_mutually_exclusive_group()
    forms.add_argument("--tree", dest="form", action="store_const", const="tree", help="print a tree (default)")
    forms.add_argument("--dot", dest="form", action="store_const", const="dot", help="print a graph for Graphviz")
    forms.add_argument(
        "--prov", dest="form", choices=("provn", "json", "xml", "ttl"), metavar="FORMAT",
        help="print W3C PROV as provn, json, xml or ttl, after the IVOA's provenance model",
    )  # fmt: skip
    lineage.add_argument("--depth", type=positive, metavar="N", help="go back over at most N jobs in a row")
    lineage.add_argument("--all", action="store_true", help="with --tree, show all inputs of each job, not only ten")
    lineage.set_defaults(form="tree")
    rerun = command("rerun", _rerun, "run a run or an RO-Crate again, without caches", run=False)
    rerun.add_argument("what", metavar="RUN|CRATE", help="a run's id or name, 'last', or an RO-Crate")
    rerun.add_argument("--check", action="store_true", help="compare the outputs with those of the first run")
    rerun.add_argument("--outdir", help="directory for its outputs (default: rerun-ID)")
    add_engines(rerun.add_mutually_exclusive_group())
    rerun.set_defaults(containers=None, engine=None)
    add_loudness(rerun)


def add_crate_options(parser: argparse._ActionsContainer) -> None:
    """The options that say how a crate is written."""
    parser.add_argument(
        "--data", choices=("embed", "reference"),
        help="copy all data, or refer to all (default: copy files of this machine, refer to those in stores)",
    )  # fmt: skip
    parser.add_argument(
        "--data-limit", type=_mebibytes, metavar="MIB", help="refer to files that are larger (default: 100 MiB)"
    )
    add_person(parser)


def add_person(parser: argparse._ActionsContainer) -> None:
    """The options that say who ran it, as cwltool has them."""
    parser.add_argument("--orcid", metavar="ORCID", help="ORCID of the person who is responsible for the run")
    parser.add_argument("--full-name", metavar="NAME", help="full name of that person")
    for name, what in (("user", "the user's account"), ("host", "the machines")):
        ways = parser.add_mutually_exclusive_group()
        ways.add_argument(
            f"--enable-{name}-provenance", dest=name, action="store_true", default=True, help=argparse.SUPPRESS
        )
        ways.add_argument(
            f"--disable-{name}-provenance", dest=name, action="store_false", help=f"do not name {what} in the crate"
        )


def _mebibytes(text: str) -> int:
    number = float(text)
    if number < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return int(number * _MIB)


def _export(given: argparse.Namespace) -> int:
    from gridcwl.cli.run_list import chosen
    from gridcwl.runs.provenance.crate import write_crate
    from gridcwl.runs.provenance.crate_options import CrateOptions

    folder = chosen(given.state_dir, given.run)
    limit = given.data_limit if given.data_limit is not None else CrateOptions().limit
    options = CrateOptions(
        given.data or "auto", limit, given.orcid or "", given.full_name or "",
        given.license or CrateOptions().license, given.user, given.host,
    )  # fmt: skip
    written = write_crate(folder, Path(given.crate).absolute(), options)
    print_written(written)
    return 0


def print_written(written: Written) -> None:
    """Say on stderr what a crate has."""
    parts = [f"{written.actions} actions", f"{written.embedded} files embedded"]
    if written.referenced:
        parts.append(f"{written.referenced} referenced")
    if written.missing:
        parts.append(f"{written.missing} known by checksum only")
    print(f"gridcwl: wrote {written.path}: {', '.join(parts)}", file=sys.stderr)


def _verify(given: argparse.Namespace) -> int:
    from gridcwl.plugins import configuration
    from gridcwl.runs.provenance.reading import open_crate
    from gridcwl.runs.provenance.verifying import verified

    crate = open_crate(Path(given.crate), configuration().caches())
    counts: Counter[str] = Counter()
    checks = []
    for check in verified(crate):
        counts[check.state] += 1
        checks.append(check)
        if not given.json and check.state != "ok":
            where = f" at {check.replica}" if check.replica else ""
            print(f"{check.state:<10} {check.id}{where}: {check.detail}")
    if given.json:
        listed = [{"id": one.id, "replica": one.replica, "state": one.state, "detail": one.detail} for one in checks]
        print(json.dumps({"counts": dict(counts), "files": listed}, indent=2))
    else:
        total = ", ".join(
            f"{counts[state]} {state}" for state in ("ok", "damaged", "missing", "unchecked") if counts[state]
        )
        print(total or "The crate has no files")
    return EXIT_FAILURE if counts["damaged"] or counts["missing"] else 0


def _rerun(given: argparse.Namespace) -> int:
    from gridcwl.cli.logs import set_up_logging
    from gridcwl.cli.running import executed, print_outputs
    from gridcwl.runs.provenance import rerunning
    from gridcwl.runs.session import started

    again = _rerun_of(given)
    set_up_logging(again.request.options.loudness)
    for note in again.notes:
        print(f"gridcwl: {note}", file=sys.stderr)
    with started(again.request) as prepared:
        finished = executed(prepared)
        folder = prepared.record.folder
    if finished.exit_code:
        print(f"gridcwl: Run failed. gridcwl status {folder.run} shows why.", file=sys.stderr)
        return finished.exit_code
    if not given.check:
        print_outputs(finished.outputs, None)
        return 0
    found = rerunning.comparisons(again, finished.outputs)
    differ = [one for one in found if one.state not in ("identical", "equal data")]
    unstable = list(rerunning.unstable_jobs(again.folder, folder)) if differ and again.folder is not None else []
    if given.json:
        listed = [{"output": one.output, "state": one.state, "detail": one.detail} for one in found]
        print(json.dumps({"run": folder.run, "outputs": listed, "unstable_jobs": unstable}, indent=2))
    else:
        show(("output", "state", ""), [(one.output, one.state, one.detail) for one in found])
        if unstable:
            print(f"With the same inputs these jobs made other files: {', '.join(unstable)}")
    return EXIT_FAILURE if differ else 0


def _rerun_of(given: argparse.Namespace) -> Rerun:
    from gridcwl.cli.options import parse
    from gridcwl.cli.run_list import chosen
    from gridcwl.runs.provenance import rerunning
    from gridcwl.runs.provenance.reading import is_crate

    path = Path(given.what)
    if is_crate(path):
        base = parse([str(path), *(["--state-dir", str(given.state_dir)])])
        outdir = Path(given.outdir or f"rerun-{path.stem}").absolute()
        again = rerunning.of_crate(path, base, outdir)
    else:
        folder = chosen(given.state_dir, given.what)
        outdir = Path(given.outdir or f"rerun-{folder.run}").absolute()
        again = rerunning.of_run(folder, outdir)
    if outdir.exists() and any(outdir.iterdir()):
        raise ConfigError(f"{outdir} is not empty", remedy="Choose another directory: --outdir DIR.")
    options = again.request.options
    if given.containers is not None or given.engine is not None:
        engine = given.engine or options.engine
        options = replace(options, containers=given.engine is not None, engine=engine)
    if given.loudness is not None:
        options = replace(options, loudness=given.loudness)
    return replace(again, request=replace(again.request, options=replace(options, state_dir=given.state_dir)))


def _lineage(given: argparse.Namespace) -> int:
    from gridcwl.runs.provenance.lineage import MOST_FILES, lineage_of
    from gridcwl.runs.provenance.lineage_text import dot, tree

    found = lineage_of(given.file, given.state_dir, given.depth)
    if given.json:
        print(json.dumps(found.plain(), indent=2))
    elif given.form in ("tree", "dot"):
        for line in tree(found, MOST_FILES if given.all else 10) if given.form == "tree" else dot(found):
            print(line)
    else:
        from gridcwl.runs.provenance.w3c import written

        print(written(found, given.form), end="")
    if not found.activities and given.depth != 0:
        print("gridcwl: No run is known to have made it.", file=sys.stderr)
    if not found.complete and given.depth is None:
        print(f"gridcwl: Only the first {MOST_FILES} files were followed; --depth limits the search", file=sys.stderr)
    return 0
