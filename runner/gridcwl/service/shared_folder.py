"""The service's folder on a machine that shares the database with others, but no disk.

What a client has sent, the journals, and up to a limit the logs and outputs of ended runs are in the database; this
machine has copies of what it has needed. Large outputs belong into a store: the database is not one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Engine, delete, insert, select

from gridcwl.errors import GridCWLError
from gridcwl.model import paths
from gridcwl.model.objects import entries
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.journal_log import bring_up_to_date, copied
from gridcwl.service.folders import HOME, ServiceFolder, SubmittedFolder
from gridcwl.service.outputs import place_in_outputs
from gridcwl.service.ownership import DatabaseLog
from gridcwl.service.schema import journals, run_files

log = logging.getLogger("gridcwl.service")

_PART = 1 << 20
_LOGS = "logs"


@dataclass(frozen=True, slots=True)
class SharedFolder(ServiceFolder):
    """See the module."""

    engine: Engine
    most_bytes: int
    """Of the outputs and logs of a run that the database takes."""

    def run(self, run: str) -> SubmittedFolder:
        """See ``ServiceFolder``: with what other machines have, once it is looked for."""
        return SubmittedFolder(self.path / "runs" / run, partial(self.fetch, run))

    def record(self, engine: str) -> RunFolder:
        """See ``ServiceFolder``: with the journal as it is now."""
        folder = ServiceFolder.record(self, engine)
        try:
            bring_up_to_date(folder.journal, DatabaseLog(self.engine, engine, 0, self.path))
        except GridCWLError as error:
            log.warning("%s", error.message)
        return folder

    def records(self, engines: Iterable[str]) -> dict[str, RunFolder]:
        """See ``ServiceFolder``: one query tells which journals have to be brought up to date."""
        wanted = dict.fromkeys(engines)
        query = select(journals.c.engine, journals.c.number).where(journals.c.engine.in_(wanted))
        with self.engine.connect() as connection:
            numbers = {row.engine: row.number for row in connection.execute(query)}
        found = {engine: ServiceFolder.record(self, engine) for engine in wanted}
        return {
            engine: folder if copied(folder.journal) >= numbers.get(engine, 0) else self.record(engine)
            for engine, folder in found.items()
        }

    def restored(self, engine: str) -> SubmittedFolder:
        """See ``ServiceFolder``."""
        folder = self.run(engine)
        query = select(run_files.c.name).where(run_files.c.engine == engine, run_files.c.part == 0)
        with self.engine.connect() as connection:
            names = list(connection.execute(query).scalars())
        for name in names:
            if name.startswith("files/") or "/" not in name:
                self.fetch(engine, name)
        folder.files.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def submitted(self, engine: str) -> None:
        """See ``ServiceFolder``."""
        folder = self.run(engine)
        (folder.path / HOME).write_text(str(folder.path), "utf-8")
        for path in _files(folder.path):
            self._put(engine, str(path.relative_to(folder.path)), path)

    def added(self, engine: str, files: Iterable[Path]) -> None:
        """See ``ServiceFolder``."""
        folder = self.run(engine)
        for path in files:
            if path.is_file():
                self._put(engine, str(path.relative_to(folder.path)), path)

    def keep(self, engine: str, run: str, outputs: Any) -> None:
        """See ``ServiceFolder``."""
        folder, record = self.run(engine), ServiceFolder.record(self, engine)
        found = [(path.name, path) for path in (folder.messages(run),) if path.is_file()]
        found += [(f"{_LOGS}/{path.relative_to(record.logs)}", path) for path in _files(record.logs)]
        if root := _outputs_root(outputs, engine):
            found += [(f"outputs/{path.relative_to(root)}", path) for path in _files(root)]
        left = self.most_bytes
        for name, path in found:
            left -= path.stat().st_size
            if left < 0:
                log.warning(
                    "The run %s has more than %d MiB of logs and outputs: some are on this machine only",
                    run, self.most_bytes >> 20,
                )  # fmt: skip
                return
            self._put(engine, name, path)

    def fetch(self, engine: str, name: str) -> None:
        """See ``ServiceFolder``."""
        root = ServiceFolder.record(self, engine).path if name.startswith(f"{_LOGS}/") else self.run(engine).path
        target = paths.inside(root, name, "The name of a file")
        if target.exists():
            return
        query = (
            select(run_files.c.data)
            .where(run_files.c.engine == engine, run_files.c.name == name)
            .order_by(run_files.c.part)
        )
        with self.engine.connect() as connection:
            parts = iter(connection.execution_options(stream_results=True, max_row_buffer=4).execute(query).scalars())
            first = next(parts, None)
            if first is None:
                return
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
            with unfinished.open("wb") as stream:
                stream.write(first)
                stream.writelines(parts)
            unfinished.replace(target)

    def _put(self, engine: str, name: str, path: Path) -> None:
        with self.engine.begin() as connection, path.open("rb") as stream:
            connection.execute(delete(run_files).where(run_files.c.engine == engine, run_files.c.name == name))
            part = 0
            while (data := stream.read(_PART)) or not part:
                row = {"engine": engine, "name": name, "part": part, "data": data}
                connection.execute(insert(run_files).values(row))
                part += 1


def _outputs_root(outputs: Any, engine: str) -> Path | None:
    """The folder of this machine that the outputs are in; None if there are none in one."""
    for kind in ("File", "Directory"):
        for entry in entries(outputs, kind):
            location = str(entry.get("location") or entry.get("path") or "")
            if location.startswith(("file://", "/")) and (below := place_in_outputs(location, engine)):
                return Path(unquote(location.removeprefix("file://").removesuffix(f"/{below}")))
    return None


def _files(folder: Path) -> Iterator[Path]:
    """All regular files below; links lead nowhere."""
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path
