"""Runs with the credentials of their owners: what a run waits for, what is put in its reach, what is renewed. Blocking.

While a run is worked on, its owner's credentials are files that only this user can read, in memory where there is a
file system of that kind. Nothing else holds them unencrypted; what a killed service left is removed when it starts.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from gridcwl.errors import StoreError
from gridcwl.service.db import StoredRun, Viewer
from gridcwl.service.issuer import Issuer, IssuerProblem
from gridcwl.service.settings import ServiceSettings
from gridcwl.service.vault import Kind, Stored, Vault
from gridcwl.worker.credentials import Owner

log = logging.getLogger("gridcwl.service")

_IN_MEMORY = Path("/dev/shm")  # noqa: S108  below it, a folder of this user only
_MARGIN_S = 300.0
"""Tokens are renewed so long before they end, or when three quarters of their time are over."""
_LOCK = "lock"
_AGAIN_S = 30.0
"""After an issuer did not answer."""
_WHAT: dict[Kind, str] = {"proxy": "a proxy certificate", "token": "a token"}


class OfOwner(Protocol):
    """What is done in an owner's name: a run, or a search for data."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def owner(self) -> str: ...  # noqa: D102


class Owners:
    """The credentials of runs. For many threads."""

    def __init__(self, settings: ServiceSettings, vault: Vault, issuer: Issuer | None) -> None:
        assert settings.credentials is not None
        self._how = settings.credentials
        self._vault = vault
        self._issuer = issuer if self._how.exchange is not None else None
        self._place = _place(settings.folder)
        self._folder = self._place / secrets.token_hex(8)
        self._held = -1
        self._problems: dict[str, str] = {}
        self._later: dict[str, float] = {}
        self._written: dict[Path, float] = {}

    @property
    def needed(self) -> tuple[Kind, ...]:
        """The kinds of credentials that every run uses."""
        return self._how.kinds

    def begin(self) -> None:
        """Make a folder for this process; remove those of processes that were killed.

        Raises:
            StoreError: somebody else has the folder.
        """
        place = self._place
        try:
            with suppress(FileExistsError):
                place.mkdir(mode=0o700)
            about = place.lstat()
            if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
                raise PermissionError(1, "somebody else has made it")
            for other in place.iterdir():
                if _is_abandoned(other):
                    shutil.rmtree(other, ignore_errors=True)
            self._folder.mkdir(mode=0o700)
            self._held = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError(
                f"The folder {place} for credentials of active runs cannot be used: {error.strerror}",
                remedy="Remove it.",
            ) from None

    def end(self) -> None:
        """Remove all."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
        with suppress(OSError):  # other processes have theirs in it
            self._place.rmdir()

    def lacking(self, owner: str) -> str:
        """Why the runs of a user wait: what is missing and what to do; empty if nothing is."""
        for kind in self.needed:
            stored = self._current(owner, kind)
            if stored is None:
                why = self._problems.get(owner, "") if kind == "token" else ""
                return f"It waits for credentials: {_WHAT[kind]} of {owner} is missing{why}. {_REMEDY[kind]}"
            if stored.has_ended():
                at = f"{datetime.fromtimestamp(stored.ends, UTC):%Y-%m-%d %H:%M} UTC"
                why = self._problems.get(owner, "") if kind == "token" else ""
                return f"It waits for credentials: {_WHAT[kind]} of {owner} ended at {at}{why}. {_REMEDY[kind]}"
        return ""

    def open(self, run: OfOwner) -> Owner:
        """Put the credentials of a run's owner in its reach."""
        folder = self._folder / run.id
        folder.mkdir(mode=0o700, exist_ok=True)
        account = ""
        for kind in self.needed:
            if (stored := self._vault.get(run.owner, kind)) is not None:
                _write(folder / kind, stored)
                self._written[folder / kind] = stored.changed
                if kind == self._how.rucio:
                    account = stored.account
        return Owner(str(folder), account or self._how.account_of(run.owner), self._how.rucio, self._how.dirac)

    def refresh(self, run: StoredRun) -> str:
        """Give a run what was renewed meanwhile; why it waits, as :meth:`lacking`."""
        reason = self.lacking(run.owner)
        folder = self._folder / run.id
        for kind in self.needed:
            stored = self._vault.get(run.owner, kind)
            if stored is not None and folder.is_dir() and self._written.get(folder / kind) != stored.changed:
                _write(folder / kind, stored)
                self._written[folder / kind] = stored.changed
        return reason

    def text_of(self, owner: str, kind: Kind) -> str:
        """A credential that no job gets, as its owner has given it; empty if there is none."""
        stored = self._vault.get(owner, kind)
        return "" if stored is None else stored.text

    def close(self, run: str) -> None:
        """Take a run's credentials away: it has ended."""
        shutil.rmtree(self._folder / run, ignore_errors=True)
        for kind in self.needed:
            self._written.pop(self._folder / run / kind, None)

    def submitted(self, viewer: Viewer) -> None:
        """Exchange the token of a request for one that runs can use, if that is how their owner gets one.

        A problem is not the request's: its run waits, and shows it.
        """
        exchange = self._how.exchange
        if self._issuer is None or exchange is None or not viewer.token or "token" not in self.needed:
            return
        stored = self._vault.get(viewer.subject, "token")
        if stored is not None and stored.refresh and not stored.has_ended():
            return
        try:
            made = self._issuer.exchange(viewer.token, exchange.audience, exchange.scope)
        except IssuerProblem as error:
            self._problems[viewer.subject] = f" ({error.message})"
            log.warning("The token of %s was not exchanged: %s", viewer.subject, error.message)
            return
        self._problems.pop(viewer.subject, None)
        account = stored.account if stored is not None else ""
        about = f"exchanged at {self._issuer.url}"
        self._vault.put(viewer.subject, Stored("token", made.access, made.ends, about, account, made.refresh))

    def _current(self, owner: str, kind: Kind) -> Stored | None:
        """A credential, renewed if it is time."""
        stored = self._vault.get(owner, kind)
        if stored is None or not stored.refresh or self._issuer is None:
            return stored
        margin = min(_MARGIN_S, max(stored.ends - stored.changed, 0.0) / 4)
        if stored.ends - time.time() > margin or self._later.get(owner, 0.0) > time.monotonic():
            return stored
        if not self._vault.lease(owner, kind):
            return stored
        try:
            made = self._issuer.renew(stored.refresh)
        except IssuerProblem as error:
            self._problems[owner] = f" ({error.message})"
            self._later[owner] = time.monotonic() + _AGAIN_S
            log.warning("The token of %s was not renewed: %s", owner, error.message)
            refresh = "" if error.final else stored.refresh
            self._vault.put(owner, Stored(kind, stored.text, stored.ends, stored.about, stored.account, refresh))
        else:
            self._problems.pop(owner, None)
            self._vault.put(owner, Stored(kind, made.access, made.ends, stored.about, stored.account, made.refresh))
        return self._vault.get(owner, kind)


_REMEDY: dict[Kind, str] = {
    "proxy": "Add one: gridcwl credentials add --server URL --proxy FILE",
    "token": "Submit or resume with a token that the issuer exchanges, or add one: "
    "gridcwl credentials add --server URL --token FILE",
}


def _place(folder: Path) -> Path:
    """Where unencrypted credentials are: one place for each service folder."""
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    base = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    return base / f"gridcwl-{os.getuid()}-{digest}"


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made a folder has ended: it held a lock in it."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # it is being made, or removed
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _write(file: Path, stored: Stored) -> None:
    """Replace a file by a credential; its time of modification is when the credential ends."""
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(stored.text)
    os.utime(new, (time.time(), stored.ends))
    new.replace(file)
