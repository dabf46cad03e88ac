"""Backups of the service: all of its database and its folder in one archive, and the way back.

The database is read in one transaction, before the files: a journal may be later than the database, as after a kill,
which resuming a run is made for. Tables are JSON lines, so a backup of SQLite can be restored into PostgreSQL.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO, Any

from sqlalchemy import Connection, LargeBinary, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from gridcwl import __version__
from gridcwl.errors import ConfigError, StoreError, UnsafePath
from gridcwl.model import paths
from gridcwl.runs.record.folder import JOURNAL
from gridcwl.service.db import Database
from gridcwl.service.db_opening import migrate, opened
from gridcwl.service.schema import metadata, runs
from gridcwl.service.settings import ServiceSettings

FORMAT = 1
_ABOUT = "gridcwl-backup.json"
_TABLES, _FOLDER = "tables", "folder"
_FOLDERS = ("runs", "state", "work")
_NOT_KEPT = frozenset({"drivers"})
"""Tables of processes that are running now."""
_WITH_PLACES = frozenset({"params.json", "home", "working.json", "origin.json"})
"""Files that name places below the service's folder."""
_ROWS = 500


def back_up(settings: ServiceSettings, target: Path) -> None:
    """Write a backup; the service may be running.

    Raises:
        ConfigError: the target is there already.
        StoreError: the database is unavailable, or the target cannot be written.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with (
            closing(Database(settings.database_url)) as db,
            _new(target, unfinished) as stream,
            tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive,
        ):
            with db.engine.connect() as connection:
                if db.is_shared:
                    connection.execution_options(isolation_level="REPEATABLE READ")
                revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
                about = {"format": FORMAT, "revision": revision, "folder": str(settings.folder)}
                about |= {"version": __version__, "made": time.time()}
                _add_bytes(archive, _ABOUT, json.dumps(about).encode())
                for table in metadata.sorted_tables:
                    if table.name not in _NOT_KEPT:
                        _add_table(archive, connection, table)
            for name in _FOLDERS:
                _add_folder(archive, settings.folder / name, f"{_FOLDER}/{name}")
        unfinished.rename(target)
    except OSError as error:
        raise StoreError(f"The backup {target} cannot be written: {error.strerror}") from None
    except SQLAlchemyError as error:
        raise StoreError(f"The database cannot be read: {getattr(error, 'orig', None) or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def restore(settings: ServiceSettings, source: Path) -> None:
    """Put a backup into an empty folder and an empty database.

    Raises:
        ConfigError: they are not empty, or this is no backup.
        StoreError: the database is unavailable, or the folder cannot be written.
    """
    folder = settings.folder
    if any((folder / name).is_dir() and any((folder / name).iterdir()) for name in ("runs", "state")):
        raise ConfigError(f"{folder} holds runs already", remedy="Restore into an empty folder: --dir DIR.")
    try:
        with tarfile.open(source, mode="r:gz") as archive:
            about = _about(archive, source)
            places = {f"{about['folder']}/": f"{folder}/"} if about["folder"] != str(folder) else {}
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            engine, shown = opened(settings.database_url)
            try:
                migrate(engine, shown, about["revision"])
                with engine.begin() as connection:
                    if connection.execute(select(func.count()).select_from(runs)).scalar_one():
                        raise ConfigError(f"The database {shown} holds runs already", remedy="Name an empty one: --db.")
                    tables = MetaData()
                    tables.reflect(connection)
                    folders: dict[Path, int] = {}
                    for member in archive:
                        _restore(member, archive, connection, tables, folder, places)
                        if member.isdir():
                            folders[folder / member.name.partition("/")[2]] = member.mode & 0o777
                    for path, mode in reversed(folders.items()):  # last: what may not be written to has its files then
                        path.chmod(mode)
                    _set_sequences(connection, tables)
                migrate(engine, shown)
            finally:
                engine.dispose()
    except (tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise ConfigError(f"{source} is no backup of gridcwl, or is damaged: {error}") from None
    except UnsafePath as error:
        raise ConfigError(f"{source} is no backup of gridcwl: {error.message}") from None
    except OSError as error:
        raise StoreError(f"{error.filename or source} cannot be used: {error.strerror}") from None
    except SQLAlchemyError as error:
        raise StoreError(f"The database cannot be written: {getattr(error, 'orig', None) or error}") from None


@contextlib.contextmanager
def _new(target: Path, unfinished: Path) -> Iterator[IO[bytes]]:
    if target.exists():
        raise ConfigError(f"{target} is there already", remedy="Name another file.")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123
        yield stream
        stream.flush()
        os.fsync(descriptor)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))


def _add_table(archive: tarfile.TarFile, connection: Connection, table: Table) -> None:
    """A table as lines; binary values as base64."""
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    rows = connection.execution_options(yield_per=_ROWS).execute(select(table))
    with tempfile.TemporaryFile() as lines:
        for row in rows.mappings():
            plain = {
                name: base64.b64encode(value).decode() if name in binary and value is not None else value
                for name, value in row.items()
            }
            lines.write(json.dumps(plain).encode() + b"\n")
        member = tarfile.TarInfo(f"{_TABLES}/{table.name}.jsonl")
        member.size, member.mode = lines.tell(), 0o600
        lines.seek(0)
        archive.addfile(member, lines)


def _add_folder(archive: tarfile.TarFile, folder: Path, name: str) -> None:
    """All of a folder; what disappears meanwhile is left out, and journals are whole."""
    for parent, folders, files in os.walk(folder):
        at = f"{name}/{PurePosixPath(parent).relative_to(folder)}".removesuffix("/.")
        for one in [*folders, *files]:
            path = Path(parent, one)
            with contextlib.suppress(FileNotFoundError):
                if one == JOURNAL and path.is_file():
                    _add_journal(archive, path, f"{at}/{one}")
                elif not one.startswith(f"{JOURNAL}-") and (path.is_symlink() or path.is_dir() or path.is_file()):
                    archive.add(path, f"{at}/{one}", recursive=False)


def _add_journal(archive: tarfile.TarFile, path: Path, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, JOURNAL)
        with closing(sqlite3.connect(path, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        archive.add(copy, name)


def _about(archive: tarfile.TarFile, source: Path) -> dict[str, Any]:
    first = archive.next()
    stream = archive.extractfile(first) if first is not None and first.name == _ABOUT else None
    if stream is None:
        raise ConfigError(f"{source} is no backup of gridcwl")
    about: dict[str, Any] = json.loads(stream.read(1 << 20))
    if about["format"] != FORMAT:
        raise ConfigError(f"The backup {source} is of format {about['format']}, and this version reads {FORMAT}")
    return about


def _restore(
    member: tarfile.TarInfo,
    archive: tarfile.TarFile,
    connection: Connection,
    tables: MetaData,
    folder: Path,
    places: dict[str, str],
) -> None:
    kind, _, name = member.name.partition("/")
    if kind == _TABLES and (stream := archive.extractfile(member)) is not None:
        _fill(connection, tables.tables[name.removesuffix(".jsonl")], stream, places)
    elif kind == _FOLDER:
        target = paths.inside(folder, name, "The name of a file")
        archive.extract(tarfile.TarInfo.replace(member, name=name), folder, filter="data")
        if places and member.isreg() and target.name == JOURNAL:
            _move_journal(target, places)
        elif places and member.isreg() and target.name in _WITH_PLACES:
            target.write_text(_here(target.read_text("utf-8"), places), "utf-8")


def _fill(connection: Connection, table: Table, lines: IO[bytes], places: dict[str, str]) -> None:
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    rows: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line if table.name == "journal_changes" else _here(line.decode(), places))
        rows.append(
            {name: base64.b64decode(value) if name in binary and value is not None else value
             for name, value in row.items()}
        )  # fmt: skip
        if len(rows) == _ROWS:
            connection.execute(insert(table), rows)
            rows.clear()
    if rows:
        connection.execute(insert(table), rows)


def _set_sequences(connection: Connection, tables: MetaData) -> None:
    """The next number of each table follows those that are there; SQLite sees to that itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables.tables.values():
        column = table.autoincrement_column
        if column is not None and column.server_default is not None:
            last = select(func.coalesce(func.max(column), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(func.pg_get_serial_sequence(table.name, column.name), last, False)))


def _here(value: str, places: dict[str, str]) -> str:
    for there, here in places.items():
        value = value.replace(there, here)
    return value


def _move_journal(path: Path, places: dict[str, str]) -> None:
    """Let a journal name the places where its files are now."""
    with closing(sqlite3.connect(path)) as db, db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            for _, column, kind, *_rest in db.execute(f"PRAGMA table_info({table})").fetchall():
                if kind not in ("TEXT", "BLOB"):
                    continue
                for there, here in places.items():
                    db.execute(  # names are those of the schema
                        f"UPDATE {table} SET {column} = CASE typeof({column}) "  # noqa: S608
                        f"WHEN 'blob' THEN CAST(replace(CAST({column} AS TEXT), ?1, ?2) AS BLOB) "
                        f"ELSE replace({column}, ?1, ?2) END WHERE instr(CAST({column} AS TEXT), ?1)",
                        (there, here),
                    )
