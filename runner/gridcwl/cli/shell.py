"""``gridcwl shell RUN STEP[SHARD] [-- CMD]``: the container of a job with its inputs, to find out why it failed.

``gridcwl shell --image IMAGE -i FILE|DID [-- CMD]``: a container with inputs of your choice.
"""

from __future__ import annotations

import argparse
import itertools
import posixpath
import shlex
import shutil
import sys
import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl import plugins
from gridcwl.cli import exec_document
from gridcwl.cli.options import add_engines, add_state_dir
from gridcwl.cli.parsing import Parser
from gridcwl.cli.terminal import escaped
from gridcwl.errors import UsageError
from gridcwl.model import Job, JobId, RunId, StagedFile
from gridcwl.model.job import Image, JobDirectories, OutputRules, Resources
from gridcwl.model.objects import base_name_of
from gridcwl.runs.options import saved_grid
from gridcwl.runs.provenance.stored import store_with
from gridcwl.runs.rebuilt_job import RebuiltJob, here, rebuilt
from gridcwl.runs.record.folder import find
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_check import explained_damage
from gridcwl.worker.removing import remove_tree

if TYPE_CHECKING:
    from gridcwl.cli.shell_at_site import SiteShell

_EPILOG = """\
The command, or a shell, is in the folder where the tool ran, with the tool's
environment; its exit code is that of gridcwl shell. What it changes is lost.

  gridcwl shell last 'align[3]'
  gridcwl shell last align -- ls -l
  gridcwl shell --image rootproject/root -i cta:run1 -- root -b run1.root
  gridcwl shell --image rootproject/root --site LCG.Lyon.fr -i cta:run1
"""


def main(arguments: Sequence[str]) -> int:
    """Open the container; returns the exit code of what runs in it.

    Raises:
        GridCWLError: there is no such job, or the container cannot be opened.
        SystemExit: ``--help``.
    """
    from gridcwl.cli.interactive import run_in
    from gridcwl.cli.shell_at_site import run_at_site

    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    command = words[at + 1 :]
    if at < len(words) and not command:
        raise UsageError("shell: there is no command behind --", remedy="Leave out -- for an interactive shell.")
    given = parser().parse_args(words[:at])
    engine = _engine(given)
    _check_site(given)
    fetched = Path(tempfile.mkdtemp(prefix="gridcwl-inputs-"))
    try:
        if given.image is not None:
            if given.run is not None:
                raise UsageError("shell: --image takes no run", remedy="gridcwl shell --image IMAGE -i FILE -- COMMAND")
            job, configured, backend = _chosen(given), "", ""
        else:
            if given.input:
                raise UsageError("shell: -i needs --image", remedy="A job of a run has its own inputs.")
            found, configured, backend = _recorded(given)
            job = found.job
            _explain(found)
        job = _changed(job, network=given.network)
        if given.site or given.backend:
            return run_at_site(job, _as_words(command), _where(given, engine, backend))
        return run_in(here(job, fetched), engine or configured or _default_engine(), _as_words(command))
    finally:
        remove_tree(str(fetched))


def parser() -> Parser:
    """The command's options."""
    made = Parser(
        prog="gridcwl shell",
        usage="gridcwl shell RUN STEP[SHARD] [OPTIONS] [-- COMMAND]\n"
        "       gridcwl shell --image IMAGE [-i FILE|DID ...] [OPTIONS] [-- COMMAND]",
        description="Open the container of a job with its inputs, on this machine or at a site: to find out why it "
        "failed. Or a container with inputs of your choice, to look at data.",
        epilog=_EPILOG,
    )
    made.add_argument("run", metavar="RUN", nargs="?", help="its id or name, the beginning of it, or 'last'")
    made.add_argument("step", metavar="STEP", nargs="?", help="a step, or one shard of it: align/sort[3]")
    made.add_argument("--image", metavar="IMAGE", help="container image, in place of a job's")
    made.add_argument(
        "-i", "--input", action="append", nargs="+", default=[], metavar="[NAME=]FILE",
        help="with --image: file, folder, pattern, URL or DID; may be repeated",
    )  # fmt: skip
    made.add_argument("--network", action="store_true", help="with the network, also where the job had none")
    made.add_argument("--site", metavar="SITE", default="", help="at this site, in place of this machine")
    made.add_argument(
        "--backend", metavar="NAME", default="", help="what starts it there (default: that of the run, or dirac)"
    )
    made.add_argument(
        "--host", metavar="HOST", default="", help="with --site: name or address by which the site reaches this machine"
    )
    add_engines(made.add_mutually_exclusive_group())
    add_state_dir(made)
    made.set_defaults(containers=None, engine=None)
    return made


def _check_site(given: argparse.Namespace) -> None:
    for option in ("host",):
        if getattr(given, option) and not (given.site or given.backend):
            raise UsageError(f"shell: --{option} needs --site", remedy="Without it, the container is on this machine.")
    if given.site and given.backend == "local":
        raise UsageError("shell: --backend local takes no --site", remedy="It is this machine.")


def _where(given: argparse.Namespace, engine: str, backend: str) -> SiteShell:
    """At which site, and by which backend: the one that is named, or else the run's, or else DIRAC."""
    from gridcwl.cli.shell_at_site import SiteShell, has_nodes

    chosen = given.backend or (backend if backend != "local" and has_nodes(backend) else "dirac")
    if engine and chosen != "local":
        raise UsageError(
            "shell: a container engine is that of this machine", remedy="[dirac] engines has those of sites."
        )
    return SiteShell(chosen, given.site, engine or (_default_engine() if chosen == "local" else ""), given.host)


def _engine(given: argparse.Namespace) -> str:
    return "none" if given.containers is False else given.engine or ""


def _default_engine() -> str:
    """The configured one, else docker, else the first that is installed."""
    return plugins.configuration().engine or ("docker" if shutil.which("docker") else "auto")


def _as_words(command: Sequence[str]) -> Sequence[str]:
    """A command of one word may use the shell, as that of ``gridcwl exec``."""
    return ("sh", "-c", *command) if len(command) == 1 and len(command[0].split()) > 1 else command


def _changed(job: Job, *, network: bool) -> Job:
    return replace(job, resources=replace(job.resources, network=True)) if network else job


# -- a job of a run ----------------------------------------------------------------------------------------------------


def _recorded(given: argparse.Namespace) -> tuple[RebuiltJob, str, str]:
    """The job; what ran containers in its run, if that was on this machine; and the run's backend."""
    if given.run is None or given.step is None:
        missing = "RUN and STEP" if given.run is None else "STEP"
        raise UsageError(
            f"shell: {missing} must be given, or --image",
            remedy="gridcwl status last lists the steps of the latest run.",
        )
    state = Path(given.state_dir).absolute() if given.state_dir else plugins.configuration().state().absolute()
    folder = find(state, given.run).folder
    with explained_damage(folder), closing(History(folder.journal)) as history:
        saved = history.meta("options") or {}
        grid, engine = saved_grid(saved), ""
        if not grid.is_elsewhere:
            engine = "none" if saved.get("containers") is False else str(saved.get("engine") or "")
        return rebuilt(history, given.step), engine, grid.backend


def _explain(found: RebuiltJob) -> None:
    """Say which job this is, how it ended, and what it ran."""
    job = found.job
    code = f", exit code {found.exit_code}" if found.exit_code is not None else ""
    ended = f"ended with {found.outcome}{code}" if found.outcome else "has not ended"
    place = f" at {found.place}" if found.place else ""
    lines = [f"gridcwl: {job.name}{place} {ended}", *([found.reason] if found.reason else [])]
    lines.append(f"command: {shlex.join(job.command)}")
    print(*map(escaped, lines), sep="\n", file=sys.stderr, flush=True)


# -- inputs of one's choice --------------------------------------------------------------------------------------------


def _chosen(given: argparse.Namespace) -> Job:
    directories = JobDirectories()
    staged: dict[str, StagedFile] = {}
    values = [value for one in exec_document.inputs_of(given.input) for value in _each(one.value)]
    for base, kind, location in _located(values):
        target = free_path(f"{directories.out}/{base}", staged)
        staged[target] = StagedFile(target, kind, (location,))  # type: ignore[arg-type]  # file or directory
    name = "shell"
    return Job(
        id=JobId(name), run=RunId(name), name=name, command=("sh",), image=Image(given.image, given.image),
        directories=directories, staged=tuple(staged.values()), outputs=OutputRules(globs=()),
        resources=Resources(network=given.network),
    )  # fmt: skip


def free_path(target: str, taken: Container[str]) -> str:
    """The path, or where another input has it, one with a number: ``made_2.txt``."""
    stem, ending = posixpath.splitext(target)
    return next(one for n in itertools.count(1) if (one := f"{stem}_{n}{ending}" if n > 1 else target) not in taken)


def _each(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else [value]


def _located(values: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Name, kind and URL of each file; of a dataset, of each file in it."""
    for value in values:
        location = str(value["location"])
        name = plugins.store_of_location(location) or ("" if "://" in location else plugins.store_of_name(location))
        if name:
            yield from _in_store(name, location)
        else:
            yield base_name_of(value), str(value["class"]).lower(), location


def _in_store(name: str, location: str) -> Iterator[tuple[str, str, str]]:
    plugin = plugins.store(name)
    if not plugin.between_jobs:
        raise UsageError(f"shell: {location} is of the store {name}, which gives no files here")
    if not any(location.lower().startswith((f"{scheme}:",)) for scheme in plugin.schemes):
        location = f"{name}:{location}"
    store = plugins.loaded(plugin).open_run_store(plugins.configured(plugin, plugins.configuration()), None)
    with closing(store):
        found = store.files.find([location])[location]
    for file in files_in(found):
        if store_with("copy_files", str(file["location"])) is None:
            raise UsageError(f"shell: {file['location']} cannot be copied here")
        yield str(file.get("path") or file["basename"]), "file", str(file["location"])


def files_in(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The files of what a store has found, with those of datasets and containers."""
    if found["class"] == "File":
        yield found
    for file in found.get("files") or ():
        yield from files_in(file)
    for collection in found.get("collections") or ():
        yield from files_in(collection)
