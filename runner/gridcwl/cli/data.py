"""``gridcwl data RUN``: the files of a run, on this machine and in Rucio."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gridcwl.cli.run_list import chosen
from gridcwl.cli.tables import show
from gridcwl.runs.record.history import History

if TYPE_CHECKING:
    from gridcwl.runs.record.data import LocalFile
    from gridcwl.stores.reports import RunReport


def data(given: argparse.Namespace) -> int:
    """Show it."""
    from gridcwl.runs.record.data import local_files, stored_data

    folder = chosen(given.state_dir, given.run)
    with closing(History(folder.journal)) as history:
        files, about = local_files(history), asyncio.run(stored_data(history))
    print_data(files, about, given)
    return 0


def print_data(
    files: Sequence[LocalFile], about: RunReport | None, given: argparse.Namespace, place: str = "on this machine"
) -> None:
    """Print the files of a run: those at ``place``, and those in a store."""
    if given.json:
        plain = about.plain() if about is not None else {}
        print(json.dumps(plain | {"files": [file._asdict() for file in files]}, indent=2))
        return
    if about is not None:
        _show(about, files=given.files)
    if files or about is None:
        _show_local(files, place)


def _show_local(files: Sequence[LocalFile], place: str) -> None:
    print(f"{len(files)} file(s) {place}")
    if files:
        rows = [(file.output, file.state, amount(file.size), file.path) for file in files]
        show(("output", "state", "size", "path"), rows, right=("size",))


def let_go(folder: Any) -> None:
    """Let the store delete the intermediate files of a run, and report how many datasets these are."""
    import sys

    from gridcwl.runs.record.data import release

    with closing(History(folder.journal)) as history:
        store, count = asyncio.run(release(history, folder.run))
    print(f"{folder.run}: {count} intermediate dataset(s) may be deleted by {store}; outputs are kept", file=sys.stderr)


def _show(about: RunReport, *, files: bool) -> None:
    print(f"container  {about.container}")
    for rule in about.rules:
        print(f"rule       {_rule(rule)}")
    show(
        ("dataset", "kind", "files", "size", "replicas", "rules"),
        [
            (
                one.name,
                "output" if one.output else "between",
                str(len(one.files)),
                amount(one.size),
                ", ".join(f"{name} {count}" for name, count in sorted(one.replicas.items())),
                "; ".join(_rule(rule) for rule in one.rules),
            )
            for one in about.datasets
        ],
        right=("files", "size"),
    )
    for one in about.datasets if files else ():
        print(f"\n{one.name}")
        for file in one.files:
            print(f"  {file['scope']}:{file['name']}  {file['bytes']}  {file['adler32']}")


def _rule(rule: Any) -> str:
    until = f"until {str(rule['expires_at'])[:16]}" if rule.get("expires_at") else "forever"
    return f"{rule['copies']} on {rule['rse_expression']}, {until} ({rule['state']})"


def amount(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
