"""Which process works on a run: one at a time, by a lock of the database, with a fencing number for what it writes.

With PostgreSQL, a process holds an advisory lock for itself and one for each of its runs, in a session of its own: they
go when the process ends, however it ends. With SQLite these are locks of files in the service's folder. A process that
is alive but shows no sign of life, like one that is suspended, loses its locks to the others.

Who takes a run increases the run's fencing number. Whatever an owner writes names the number that it got, and is
refused if there is a higher one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import (
    Connection,
    Engine,
    Float,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from gridcwl.runs.record.journal_file import Fenced, JournalError
from gridcwl.runs.record.journal_log import Change, decoded, encoded
from gridcwl.service.schema import drivers, journal_changes, journals


class Locks(Protocol):
    """Locks that a process holds until it ends."""

    session: int
    """What others need to take them away."""

    def take(self, name: str) -> bool:
        """Take a lock that this process does not hold; False if another process holds it."""
        ...

    def release(self, name: str) -> None:
        """Let go of a lock."""
        ...

    def alive(self) -> bool:
        """Whether the locks are still there."""
        ...

    def break_(self, session: int, names: Sequence[str]) -> None:
        """Take these locks away from the process that holds them."""
        ...

    def close(self) -> None:
        """Let go of all."""
        ...


class AdvisoryLocks:
    """PostgreSQL's ``pg_advisory_lock``, in one session for the process."""

    def __init__(self, engine: Engine) -> None:
        self._lock = threading.Lock()
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._connection.detach()  # it is no connection of the pool any more
        self.session = int(self._scalar(text("SELECT pg_backend_pid()")))

    def take(self, name: str) -> bool:
        """See ``Locks``."""
        return bool(self._scalar(select(func.pg_try_advisory_lock(_key(name)))))

    def release(self, name: str) -> None:
        """See ``Locks``."""
        self._scalar(select(func.pg_advisory_unlock(_key(name))))

    def alive(self) -> bool:
        """See ``Locks``."""
        try:
            return self._scalar(text("SELECT pg_backend_pid()")) == self.session
        except SQLAlchemyError:
            return False

    def break_(self, session: int, names: Sequence[str]) -> None:  # noqa: ARG002
        """See ``Locks``: the session ends, and with it all its locks."""
        self._scalar(select(func.pg_terminate_backend(session)))

    def close(self) -> None:
        """See ``Locks``."""
        with contextlib.suppress(SQLAlchemyError):
            self._connection.close()

    def _scalar(self, query: Any) -> Any:
        with self._lock:
            return self._connection.execute(query).scalar_one()


class FileLocks:
    """Locks of files in a folder: for processes of one machine."""

    session = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        self._changing = threading.Lock()
        """While a lock is let go, nobody is to find it missing, or its file closed."""

    def take(self, name: str) -> bool:
        """See ``Locks``."""
        path = self._folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == path.stat().st_ino:  # else it was taken away, or its holder let go
                with self._changing:
                    self._held[name] = descriptor
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return False

    def release(self, name: str) -> None:
        """See ``Locks``."""
        with self._changing:
            descriptor = self._held.pop(name)
            if self._is_there(name, descriptor):
                (self._folder / name).unlink()
            os.close(descriptor)

    def alive(self) -> bool:
        """See ``Locks``."""
        with self._changing:
            return all(self._is_there(name, descriptor) for name, descriptor in self._held.items())

    def _is_there(self, name: str, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == (self._folder / name).stat().st_ino
        except FileNotFoundError:
            return False

    def break_(self, session: int, names: Sequence[str]) -> None:  # noqa: ARG002
        """See ``Locks``: other files take their places."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """See ``Locks``."""
        for name in list(self._held):
            self.release(name)


class Ownership:
    """Runs of this process, and of those that have ended."""

    def __init__(self, engine: Engine, folder: Path, patience_s: float = 15) -> None:
        """Prepare; nothing is written yet.

        Args:
            engine: of the database.
            folder: of the service.
            patience_s: a process that has shown no sign of life for so long loses its runs.
        """
        self._patience_s = patience_s
        self.beat_s = patience_s / 5
        """How often a process is to show that it is alive."""
        self._engine = engine
        self._folder = folder
        self._locks: Locks | None = None
        self._mine: dict[str, int] = {}
        self._beaten = time.monotonic()
        self.driver = ""
        """This process; empty if it works on no runs."""

    @property
    def is_shared(self) -> bool:
        """Whether other machines may work on runs."""
        return self._engine.dialect.name == "postgresql"

    def begin(self) -> None:
        """Show that this process works on runs.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        self._mine.clear()
        self.driver = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._locks = AdvisoryLocks(self._engine) if self.is_shared else FileLocks(self._folder / "locks")
        self._locks.take(self.driver)
        with self._engine.begin() as connection:
            values = {"id": self.driver, "host": socket.gethostname()[:255], "pid": os.getpid()}
            connection.execute(
                insert(drivers).values(**values, session=self._locks.session, seen=self._now(connection))
            )
        self._beaten = time.monotonic()

    def end(self) -> None:
        """This process works on no runs any more; others may take them at once."""
        if self._locks is None:
            return
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(delete(drivers).where(drivers.c.id == self.driver))
        self._locks.close()
        self._locks = None
        self._mine.clear()

    def beat(self) -> bool:
        """Show that this process is alive; False if it was taken for dead, and others own its runs.

        Raises:
            SQLAlchemyError: the database does not answer.
        """
        with self._engine.begin() as connection:
            query = update(drivers).where(drivers.c.id == self.driver).values(seen=self._now(connection))
            known = connection.execute(query).rowcount == 1
        if not known or self._locks is None or not self._locks.alive():
            return False
        self._beaten = time.monotonic()
        return True

    @property
    def is_late(self) -> bool:
        """Whether this process has not shown for long that it is alive: it may have been suspended."""
        return bool(self.driver) and time.monotonic() - self._beaten > self._patience_s - 2 * self.beat_s

    def bury(self) -> None:
        """Find processes that have ended or show no sign of life: they own nothing any more."""
        assert self._locks is not None
        with self._engine.connect() as connection:
            now = connection.execute(select(self._now(connection))).scalar_one()
            others = connection.execute(select(drivers).where(drivers.c.id != self.driver)).all()
        for other in others:
            dead = self._locks.take(other.id)
            if dead:
                self._locks.release(other.id)
            elif now - other.seen <= self._patience_s:
                continue
            with self._engine.begin() as connection:
                names = connection.execute(select(journals.c.engine).where(journals.c.driver == other.id)).scalars()
                self._locks.break_(other.session, [other.id, *names]) if not dead else None
                connection.execute(delete(drivers).where(drivers.c.id == other.id))

    def take(self, engine: str) -> int | None:
        """Own a run; its fencing number, or None if another process works on it."""
        assert self._locks is not None
        if engine in self._mine or not self._locks.take(engine):
            return None
        values = {"fence": journals.c.fence + 1, "driver": self.driver}
        with self._engine.begin() as connection:
            query = update(journals).where(journals.c.engine == engine).values(values).returning(journals.c.fence)
            fence = connection.execute(query).scalar()
            if fence is None:
                fence = 1
                connection.execute(insert(journals).values(engine=engine, fence=fence, driver=self.driver, number=0))
        self._mine[engine] = int(fence)
        return int(fence)

    def release(self, engine: str) -> None:
        """Let others work on a run."""
        fence = self._mine.pop(engine, None)
        if fence is None or self._locks is None:
            return
        with contextlib.suppress(SQLAlchemyError):
            with self._engine.begin() as connection:
                owned = (journals.c.engine == engine) & (journals.c.fence == fence)
                connection.execute(update(journals).where(owned).values(driver=""))
            self._locks.release(engine)

    def log(self, engine: str) -> DatabaseLog | None:
        """The log of a run's journal; None if it is in its file only. Writes only if this process owns the run."""
        if not self.is_shared:
            return None
        return DatabaseLog(self._engine, engine, self._mine.get(engine, 0), self._folder)

    def _now(self, connection: Connection) -> Any:
        if connection.dialect.name == "postgresql":
            return cast(func.extract("epoch", func.clock_timestamp()), Float)
        return literal(time.time(), Float)


class DatabaseLog:
    """Implements ``JournalLog`` with the tables of the service."""

    def __init__(self, engine: Engine, run: str, fence: int, home: Path) -> None:
        """Prepare.

        Args:
            engine: of the database.
            run: whose journal it is.
            fence: the fencing number of this process.
            home: the folder of the service on this machine.
        """
        self._engine = engine
        self._run = run
        self._fence = fence
        self._home = str(home)

    def append(self, changes: Sequence[Change]) -> int:
        """See ``JournalLog``."""
        data = encoded(changes) if changes else b""
        mine = (journals.c.engine == self._run) & (journals.c.fence == self._fence)
        with _explained(), self._engine.begin() as connection:
            query = update(journals).where(mine).values(number=journals.c.number + 1).returning(journals.c.number)
            number = connection.execute(query).scalar()
            if number is None:
                raise self._fenced()
            if not changes:
                connection.execute(delete(journal_changes).where(journal_changes.c.engine == self._run))
            row = {"engine": self._run, "number": number, "fence": self._fence, "home": self._home, "changes": data}
            connection.execute(insert(journal_changes).values(row))
        return int(number)

    def after(self, number: int) -> Iterator[tuple[int, Sequence[Change]]]:
        """See ``JournalLog``."""
        query = (
            select(journal_changes.c.number, journal_changes.c.home, journal_changes.c.changes)
            .where(journal_changes.c.engine == self._run, journal_changes.c.number > bindparam("last"))
            .order_by(journal_changes.c.number)
            .limit(_PAGE)
        )
        last = number
        while True:
            with _explained(), self._engine.connect() as connection:
                rows = connection.execute(query, {"last": last}).all()
            for last, home, data in rows:
                yield last, decoded(data, self._places(home)) if data else ()
            if len(rows) < _PAGE:
                return

    def confirm(self) -> None:
        """See ``JournalLog``."""
        query = select(journals.c.fence).where(journals.c.engine == self._run)
        with _explained(), self._engine.connect() as connection:
            if connection.execute(query).scalar() != self._fence:
                raise self._fenced()

    def _places(self, home: str) -> dict[str, str]:
        """Where folders are that another machine has."""
        if home == self._home or os.access(home, os.W_OK):  # another folder of this machine, or a shared one
            return {}
        return {f"{home}/": f"{self._home}/"}

    def _fenced(self) -> Fenced:
        return Fenced(f"The run {self._run} is worked on by another process now: its fence is above {self._fence}")


_PAGE = 100


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise JournalError(f"The journal in the service's database cannot be used: {reason}") from error


def _key(name: str) -> int:
    """A lock's number: any text has one."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


class WatchfulSelector(selectors.DefaultSelector):
    """What an event loop waits with; looks at the clock before anything is done after a wait."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See ``selectors.BaseSelector``."""
        ready = super().select(timeout)
        self._look()
        return ready
