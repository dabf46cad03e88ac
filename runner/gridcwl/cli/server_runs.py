"""``--server URL``: runs at a service, and the commands for them, shown as runs of this machine are."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from gridcwl.cli.attaching import RecordReplay
from gridcwl.cli.display import LiveWatcher, PlainWatcher
from gridcwl.cli.run_list import agreed_to_remove, check_removal, show_runs, shown_runs, wanted_runs
from gridcwl.cli.running import print_outputs
from gridcwl.cli.showing import print_about, print_answers
from gridcwl.cli.terminal import escaped
from gridcwl.errors import ConfigError, RunCancelled, RunFailed, UsageError
from gridcwl.model import RunId
from gridcwl.remote import following
from gridcwl.remote.connection import NATIVE, WES, Connection
from gridcwl.runs.events import Failure
from gridcwl.runs.options import Options
from gridcwl.runs.record.explain import Answer
from gridcwl.runs.record.listing import Filter

_LOOK_EVERY_S = 1.0
_FAILURES_IN_FULL = 3
_PAGE = 200
_ACTIVE = ("queued", "initializing", "running", "paused", "cancelling")
_ALLOWED = frozenset(
    {
        *("server", "outdir", "basedir", "write_summary", "run_name", "loudness", "timestamps", "color", "no_warnings"),
        *("max_jobs", "on_error", "retries", "cap_resources", "cache", "enable_dev", "skip_schemas", "strict"),
        *("eval_timeout", "strict_memory_limit", "strict_cpu_limit", "target", "targets", "single_step"),
        *(
            "group",
            "chunks",
            "balance",
            "single_process",
            "overwrite",
            "checksums",
            "compute_checksum",
            "do_validate",
            "parallel",
            "javascript",
        ),
    }
)
"""Options that have an effect on a run at a service, by the names of their fields."""


def check_options(actions: list[argparse.Action], typed: list[str]) -> None:
    """Refuse options that the service decides.

    Raises:
        UsageError: naming the first one.
    """
    by_name = {name: action for action in actions for name in action.option_strings}
    for word in typed:
        action = by_name.get(word.partition("=")[0])
        if action is not None and action.dest not in _ALLOWED and not action.dest.startswith("single"):
            raise UsageError(
                f"{word.partition('=')[0]} has no effect with --server: the service decides it", remedy="Leave it out."
            )


def run(options: Options) -> int:
    """Run a document at a service, show it, and bring its outputs here; returns the exit code."""
    from gridcwl.remote.submission import prepared, submit

    connection = Connection(options.server)
    text = sys.stdin.read() if options.words == ("-",) else None
    fields, uploads = prepared(options, Path.cwd(), text)
    run_id = submit(connection, fields, uploads)
    watcher = _watcher(options.loudness, color=options.color)
    return _follow(
        connection, run_id, watcher, options.outdir, options.write_summary, checksums=options.cwltool.checksums
    )


def command(given: argparse.Namespace) -> int:
    """A command for runs, at the service that ``--server`` names; returns the exit code."""
    from gridcwl.cli import server_records

    connection = Connection(given.server)
    if given.command in server_records.COMMANDS:
        return server_records.COMMANDS[given.command](connection, given)
    return _COMMANDS[given.command](connection, given)


def _follow(
    connection: Connection,
    run_id: str,
    watcher: PlainWatcher,
    outdir: Path,
    summary: str | None = None,
    *,
    checksums: bool = True,
) -> int:
    """Show a run until it has ended; its outputs go to a folder, and the output object to stdout."""
    try:
        log = asyncio.run(_shown(connection, run_id, watcher))
    except KeyboardInterrupt:
        print(
            f"gridcwl: The run {run_id} continues at the service. "
            f"To show it: gridcwl attach --server {connection.url} {run_id}",
            file=sys.stderr,
        )
        return RunCancelled.exit_code
    with connection.reading():
        outputs = following.fetched(connection, log.get("outputs") or {}, outdir)
    try:
        with connection.reading():
            following.raise_end(connection, run_id, log, outputs)
    except RunFailed as error:
        print_outputs(outputs, summary, checksums=checksums)
        print(f"gridcwl: Run failed. {escaped(error.message)}", file=sys.stderr)
        print(error.remedy, file=sys.stderr)
        return error.exit_code
    return 0 if print_outputs(outputs, summary, checksums=checksums) else 1


def _with_last_words(connection: Connection, run_id: str, failure: Failure) -> Failure:
    """A failure with the end of what its job wrote, as it is shown of a run of this machine."""
    stream, words = following.last_words(connection, run_id, failure.name)
    if not words:
        return failure
    count = len(words.splitlines())
    last = "last line" if count == 1 else f"last {count} lines"
    text = f"---- {stream} of {failure.name} ({last})\n{words}\n----"
    return replace(failure, remedy=f"{failure.remedy}\n{text}".strip())


async def _shown(connection: Connection, run_id: str, watcher: PlainWatcher) -> dict[str, Any]:
    shown = RecordReplay(RunId(run_id), watcher)
    failures = 0
    with watcher:
        watcher.started(RunId(run_id), lambda: shown.steps)
        async for event in following.events(connection, run_id):
            if isinstance(event, Failure) and failures < _FAILURES_IN_FULL:
                failures += 1
                event = await asyncio.to_thread(_with_last_words, connection, run_id, event)  # noqa: PLW2901
            shown.take(event)
    return await following.ended(connection, run_id)


def _watcher(loudness: int, *, color: bool = True) -> PlainWatcher:
    if sys.stderr.isatty() and loudness in (0, 1) and os.environ.get("TERM") != "dumb":
        return LiveWatcher(verbose=loudness > 0, color=color)
    return PlainWatcher(quiet=loudness < 0, verbose=loudness > 0)


def chosen_run(connection: Connection, word: str) -> str:
    """The id of the run that a word means: an id or a name, the beginning of one, or ``last``.

    Raises:
        ConfigError: there is none, or more than one.
    """
    runs = connection.get(f"{NATIVE}/runs", limit=1000)["runs"]
    with connection.reading():
        fits = _fitting(runs, word)
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ConfigError(f"{word} can be any of {len(fits)} runs", remedy="Write more of the id.")
    if "-" in word:  # older than those that were listed
        return str(connection.get(f"{WES}/runs/{word}/status")["run_id"])
    raise ConfigError(f"There is no run {word} at {connection.url}", remedy="gridcwl runs --server lists them.")


def _fitting(runs: list[dict[str, Any]], word: str) -> list[str]:
    """The ids of the runs that a word means: more than one if it is too short."""
    for fits in (
        runs[:1] if word == "last" else [],
        [one for one in runs if one["run"] == word],
        [one for one in runs if one["name"] == word][:1],
        [one for one in runs if one["run"].startswith(word) or one["name"].startswith(word)],
    ):
        if fits:
            return [str(one["run"]) for one in fits]
    return []


def _listed(connection: Connection, wanted: Filter, page: int = _PAGE) -> Iterator[dict[str, Any]]:
    """The runs that are wanted, the latest first, one by one."""
    before = 0
    while True:
        found = connection.get(f"{NATIVE}/runs", limit=page, before=before)
        with connection.reading():
            kept = [one for one in found["runs"] if wanted.wants(one | {"ended": one["ended"] or math.inf})]
        yield from kept
        if not (before := found.get("next", 0)):
            return


def _runs(connection: Connection, given: argparse.Namespace) -> int:
    wanted = wanted_runs(given)
    limit = shown_runs(given)
    plain = wanted == Filter()
    found = _listed(connection, wanted, min(limit + 1, _PAGE) if limit and plain else _PAGE)
    about = list(islice(found, limit or None))
    if given.json:
        print(json.dumps(about, indent=2))
        return 0
    with connection.reading():
        show_runs(about)
    if limit and next(found, None) is not None:
        print("... and more: --limit 0 shows all")
    return 0


def _rm(connection: Connection, given: argparse.Namespace) -> int:
    if given.data:
        raise UsageError("--data has no effect with --server: the service decides it", remedy="Leave it out.")
    check_removal(given)
    named = [connection.get(f"{NATIVE}/runs/{chosen_run(connection, word)}") for word in dict.fromkeys(given.runs)]
    for one in named:
        if one["state"] in _ACTIVE:
            raise ConfigError(
                f"The run {one['run']} is still active",
                remedy=f"Wait for it, or stop it: gridcwl cancel --server {connection.url} {one['run']}.",
            )
    found = named or _removable(connection, wanted_runs(given))
    if not found:
        print("gridcwl: no run matches", file=sys.stderr)
        return 0
    with connection.reading():
        code = agreed_to_remove(found, given, asks=not named)
    if code is not None:
        return code
    for one in found:
        connection.delete(f"{NATIVE}/runs/{one['run']}")
        print(f"{one['run']} is removed", file=sys.stderr)
    return 0


def _removable(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """The caller's runs that are wanted and have ended: those of a group's other users stay."""
    own = connection.get(f"{NATIVE}/whoami")["user"]
    found = list(_listed(connection, wanted))
    with connection.reading():
        return [one for one in found if one["state"] not in _ACTIVE and one["owner"] == own]


def _explain(connection: Connection, given: argparse.Namespace) -> int:
    from msgspec import convert

    run_id = chosen_run(connection, given.run)
    found = connection.get(f"{NATIVE}/runs/{run_id}/explain", step=given.step)["answers"]
    with connection.reading():
        answers = convert(found, list[Answer])
    print_answers(answers, given)
    return 0


def _export(connection: Connection, given: argparse.Namespace) -> int:
    """Bring the crate that the service makes here."""
    for name in ("license", "data", "data_limit", "orcid", "full_name"):
        if getattr(given, name, None):
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect with --server: the service decides it",
                remedy="Leave it out.",
            )
    run_id = chosen_run(connection, given.run)
    target = Path(given.crate)
    if target.exists():
        raise ConfigError(f"{target} exists already", remedy="Name another file or folder.")
    url = f"{connection.url}{NATIVE}/runs/{run_id}/crate"
    if target.suffix == ".zip":
        connection.download(url, target)
    else:
        from gridcwl.runs.provenance.reading import unpack

        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".gridcwl-", dir=target.parent) as folder:
            connection.download(url, Path(folder, "crate.zip"))
            unpack(Path(folder, "crate.zip"), Path(folder, "crate"))
            Path(folder, "crate").rename(target)
    print(f"gridcwl: crate of {run_id} written to {target}", file=sys.stderr)
    return 0


def _status(connection: Connection, given: argparse.Namespace) -> int:
    about = connection.get(f"{NATIVE}/runs/{chosen_run(connection, given.run)}")
    if given.json:
        print(json.dumps(about, indent=2))
    else:
        with connection.reading():
            print_about(about, f"--server {connection.url} ")
    return 0


def _logs(connection: Connection, given: argparse.Namespace) -> int:
    run_id = chosen_run(connection, given.run)
    if given.follow:
        return _follow_logs(connection, run_id)
    found = connection.get(f"{NATIVE}/runs/{run_id}/logs", step=given.step)["logs"]
    with connection.reading():
        printed = _print_logs(connection, run_id, found)
    if not printed:
        print("gridcwl: No job has written anything to stdout or stderr", file=sys.stderr)
    return 0


def _print_logs(connection: Connection, run_id: str, found: list[dict[str, Any]]) -> int:
    """Print what jobs have written; returns how many of them."""
    printed = 0
    for log in found:
        streams = [name for name in ("stdout", "stderr") if log[name]]
        if not streams and log["outcome"] == "success":
            continue
        printed += 1
        code = f", exit code {log['exit_code']}" if log["exit_code"] is not None else ""
        print(f"==> {escaped(log['name'])}, attempt {log['attempt']}: {log['outcome'] or 'running'}{code}")
        if log["reason"]:
            print(escaped(log["reason"]))
        for name in streams:
            print(f"--- {name}", flush=True)
            query = {"name": log["name"], "attempt": log["attempt"], "stream": name}
            _print_text(connection.text(f"{NATIVE}/runs/{run_id}/log", **query))
        print(flush=True)
    return printed


def _follow_logs(connection: Connection, run_id: str) -> int:
    """Print what tasks write while they run, until the run has ended."""
    shown: dict[str, int] = {}
    while True:
        ended = connection.get(f"{WES}/runs/{run_id}/status")["state"] in following.ENDS
        token = ""
        while True:
            page = connection.get(f"{WES}/runs/{run_id}/tasks", page_size=1000, page_token=token)
            with connection.reading():
                for task in page["task_logs"]:
                    _print_more(connection, run_id, task, shown)
            token = page["next_page_token"]
            if not token:
                break
        if ended:
            return 0
        time.sleep(_LOOK_EVERY_S)


def _print_more(connection: Connection, run_id: str, task: dict[str, Any], shown: dict[str, int]) -> None:
    """Print what a task has written since; ``shown`` has how many bytes were printed of each of its logs."""
    for name in ("stdout", "stderr"):
        key = f"{task['id']}/{name}"
        if shown.get(key, 0) < 0:
            continue
        text = connection.text(f"{WES}/runs/{run_id}/tasks/{key}", begin=shown.get(key, 0))
        if text:
            print(f"==> {escaped(task['name'])} {name}")
            _print_text(text)
        shown[key] = -1 if "end_time" in task else shown.get(key, 0) + len(text)


def _print_text(data: bytes) -> None:
    text = data.decode("utf-8", "backslashreplace")
    print("\n".join(escaped(line) for line in text.removesuffix("\n").split("\n")), flush=True)


def _report(connection: Connection, given: argparse.Namespace) -> int:
    run_id = chosen_run(connection, given.run)
    ending = Path(given.output or "").suffix[1:]
    form = given.format or (ending if ending in ("html", "tsv", "json") else "html")
    output = given.output or (f"report-{run_id}.html" if form == "html" else "-")
    data = connection.text(f"{NATIVE}/runs/{run_id}/report", format=form)
    if output == "-":
        with connection.reading():
            text = data.decode()
        sys.stdout.write(text)
        sys.stdout.flush()
        return 0
    Path(output).write_bytes(data)
    print(f"gridcwl: report of {run_id} written to {output}", file=sys.stderr)
    return 0


def _cancel(connection: Connection, given: argparse.Namespace) -> int:
    run_id = chosen_run(connection, given.run)
    before = connection.get(f"{WES}/runs/{run_id}/status")["state"]
    if before in following.ENDS:
        print(f"{run_id} has already ended: {before}", file=sys.stderr)
        return 0
    connection.post(f"{WES}/runs/{run_id}/cancel")
    log = asyncio.run(following.ended(connection, run_id))
    state = log["state"]
    print(f"{run_id} was stopped" if state == "CANCELED" else f"{run_id} has ended: {state}", file=sys.stderr)
    return 0


def _resume(connection: Connection, given: argparse.Namespace) -> int:
    for name in ("retry_memory", "settings", "overwrite", "publish_partial", "engine", "retry_all", "background"):
        if getattr(given, name, None):
            raise UsageError(f"--{name.replace('_', '-')} has no effect with --server", remedy="Leave it out.")
    names = ("on_error", "retries", "max_jobs", "cap_resources")
    chosen = {
        f"--{name.replace('_', '-')}": value for name in names if (value := getattr(given, name)) not in (None, False)
    }
    run_id = connection.post(f"{NATIVE}/runs/{chosen_run(connection, given.run)}/resume", json=chosen)["run_id"]
    print(f"gridcwl: resumed as {run_id}", file=sys.stderr)
    return _follow(connection, run_id, _watcher(given.loudness or 0), Path(given.outdir or "."))


def _attach(connection: Connection, given: argparse.Namespace) -> int:
    run_id = chosen_run(connection, given.run)
    return _follow(connection, run_id, _watcher(given.loudness or 0), Path(given.outdir or "."))


_COMMANDS: dict[str, Callable[[Connection, argparse.Namespace], int]] = {
    "runs": _runs,
    "status": _status,
    "logs": _logs,
    "report": _report,
    "cancel": _cancel,
    "resume": _resume,
    "attach": _attach,
    "rm": _rm,
    "explain": _explain,
    "export": _export,
}
"""Commands that take ``--server``."""
