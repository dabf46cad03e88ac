"""The commands for runs that are kept: ``gridcwl runs``, ``status``, ``logs``, ``resume``, ``cancel`` and so on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from gridcwl import plugins
from gridcwl.cli import accounts, output_options
from gridcwl.cli.options import add_engines, add_log_format, add_loudness, add_retries, add_state_dir
from gridcwl.cli.parsing import Parser, positive
from gridcwl.plugins import configuration
from gridcwl.runs.options import Options

Command: TypeAlias = Callable[..., argparse.ArgumentParser]
"""Adds a command: its name, what it does, its help, and whether it takes ``RUN`` and ``--json``."""

SERVED = (
    *("runs", "status", "logs", "report", "cancel", "resume", "attach", "rm", "explain", "export"),
    *("usage", "data", "sites"),
)
"""Commands that take ``--server``."""
_RUN = "its id or name, the beginning of it, or 'last'"


def main(arguments: Sequence[str]) -> int:
    """Do what the first word says; returns the exit code.

    Raises:
        GridCWLError: there is no such run, or the command cannot be done.
        SystemExit: ``--help``, or a mistake that argparse has reported.
    """
    given = _parser().parse_args(arguments)
    if given.command in accounts.COMMANDS:
        done: int = given.act(given)
        return done
    if getattr(given, "server", None):
        from gridcwl.cli.server_runs import command

        return command(given)
    given.state_dir = (Path(given.state_dir) if given.state_dir else configuration().state()).absolute()
    return _done(given)


def _done(given: argparse.Namespace) -> int:
    """Do it; an error whose cause is a damaged journal names the journal."""
    with ExitStack() as stack:
        if "run" in given:
            from gridcwl.runs.record.folder import find
            from gridcwl.runs.record.journal_check import explained_damage

            stack.enter_context(explained_damage(find(given.state_dir, given.run).folder))
        result: int = given.act(given)
        return result


def _parser() -> argparse.ArgumentParser:
    from gridcwl.cli import document_commands, grid_commands, provenance_commands, reporting, usage

    parser = Parser(prog="gridcwl")
    actions = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, act: Any, text: str, *, run: bool = True, json: bool = True) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
        if run:
            made.add_argument("run", metavar="RUN", help=_RUN)
        if json:
            made.add_argument("--json", action="store_true", help="print JSON")
        add_state_dir(made)
        if name in SERVED:
            help_ = "sites of this gridcwl serve" if name == "sites" else "runs at this gridcwl serve"
            made.add_argument("--server", metavar="URL", help=help_)
        made.set_defaults(act=act, command=name)
        return made

    _add_views(command)
    _add_resuming(command)
    command("cancel", _cancel, "stop a run that is active in another terminal or detached", json=False)
    sites = command("sites", grid_commands.sites, "list DIRAC's sites and their resources", run=False)
    sites.add_argument(
        "--backend", choices=plugins.backends_with("sites"), help="service to query (default: the configured one)"
    )
    command("doctor", _doctor, "check what gridcwl needs: programs, engines, servers, credentials, disks", run=False)
    document_commands.add(command)
    report = command(
        "report", reporting.report, "what a run did, requested and used: a page, a table or JSON", json=False
    )
    reporting.add_report(report)
    provenance_commands.add(command)
    usage_ = command("usage", usage.usage, "what runs cost: CPU time, core hours, memory and bytes", run=False)
    usage.add_usage(usage_)
    _add_files(command)
    accounts.register(actions)
    return parser


def _add_views(command: Command) -> None:
    from gridcwl.cli import run_list, run_logs, showing

    runs = command("runs", run_list.runs, "list the recorded runs, latest first", run=False)
    run_list.add_filters(runs)
    runs.add_argument("--since", metavar="WHEN", help="only runs started since then: 2d, 12h, 2026-11-23")
    runs.add_argument("--limit", type=int, metavar="N", help="at most N runs; 0 for all (default: 20 on a terminal)")
    command("status", showing.status, "status of a run: its steps, attempts and failures")
    logs = command("logs", run_logs.logs, "stdout and stderr of a run's tools, failed ones first", json=False)
    logs.add_argument("step", nargs="?", metavar="STEP", help="a step, or one shard of it: align/sort[3]")
    logs.add_argument("--follow", "-f", action="store_true", help="print the output of running jobs until the run ends")
    explain = command("explain", showing.explain, "why a step's jobs ran again, or where their results came from")
    explain.add_argument("step", metavar="STEP", help="a step, or one shard of it: align/sort[3]")
    explain.add_argument("--all", action="store_true", help="every shard, not only the first ones")


def _add_resuming(command: Command) -> None:
    for name, text in (
        ("resume", "resume a run that was stopped or killed, or that failed"),
        ("attach", "show an active run until it ends (Ctrl-C detaches), or resume a run that no process works on"),
    ):
        resume = command(name, _resume if name == "resume" else _attach, text, json=False)
        resume.add_argument("--outdir", help="another directory for final outputs")
        output_options.add_outputs(resume)
        resume.add_argument("--max-jobs", type=positive, metavar="N", help="at most N jobs at a time")
        resume.add_argument("--on-error", choices=("stop", "continue"), help="what to do after a job failed")
        add_retries(resume)
        output_options.add_resources(resume)
        add_engines(resume.add_mutually_exclusive_group())
        resume.set_defaults(containers=None, background=False)
        if name == "resume":
            resume.add_argument("--detach", dest="background", action="store_true", help="run in the background")
        add_loudness(resume)
        if name == "resume":
            add_log_format(resume)


def _add_files(command: Command) -> None:
    from gridcwl.cli import run_list

    data = command(
        "data", _data, "the files of a run: published, kept, and in stores with datasets, sizes, replicas, rules"
    )
    data.add_argument("--files", action="store_true", help="list each file")
    remove = command(
        "rm",
        run_list.remove,
        "remove runs: journals, logs and working folders; never their outputs, and never active runs",
        run=False,
        json=False,
    )
    remove.add_argument("runs", nargs="*", metavar="RUN", help=_RUN)
    run_list.add_removal(remove)


def _doctor(given: argparse.Namespace) -> int:
    from gridcwl.cli.doctor import doctor

    return doctor(given)


def _data(given: argparse.Namespace) -> int:
    from gridcwl.cli.data import data

    return data(given)


def _resume(given: argparse.Namespace) -> int:
    from gridcwl.cli.run_list import chosen

    folder = chosen(given.state_dir, given.run)
    from gridcwl.cli.logs import set_up_logging
    from gridcwl.cli.running import resume
    from gridcwl.runs.session import saved_request

    request = saved_request(folder)
    options = _changed(request.options, given)
    set_up_logging(options.loudness)
    return resume(folder, replace(request, options=options, handles_signals=True))


def _attach(given: argparse.Namespace) -> int:
    from gridcwl.cli.run_list import chosen

    folder = chosen(given.state_dir, given.run)
    if not folder.alive:
        return _resume(given)
    from gridcwl.cli.attaching import attach

    return attach(folder, given)


def _changed(options: Options, given: argparse.Namespace) -> Options:
    names = ("max_jobs", "on_error", "retries", "retry_memory", "loudness", "containers", "engine")
    changes: dict[str, Any] = {name: value for name in names if (value := getattr(given, name)) is not None}
    if given.engine is not None:
        changes["containers"] = True
    if given.outdir is not None:
        changes["outdir"] = Path(given.outdir).absolute()
    return replace(
        options,
        state_dir=given.state_dir,
        background=given.background,
        retry_all=options.retry_all or given.retry_all,
        settings=(*options.settings, *(given.settings or ())),
        cap_resources=options.cap_resources or given.cap_resources,
        overwrite=options.overwrite or given.overwrite,
        publish_partial=options.publish_partial or given.publish_partial,
        grid=replace(options.grid, detach=False),
        **changes,
    )


def _cancel(given: argparse.Namespace) -> int:
    from gridcwl.cli.run_list import chosen
    from gridcwl.runs.observer import stop

    print(stop(chosen(given.state_dir, given.run)), file=sys.stderr)
    return 0
