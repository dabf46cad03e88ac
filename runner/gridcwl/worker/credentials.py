"""Credentials: where the bearer token and the proxy are found, and to which URLs they may be sent.

They go to storage elements that Rucio, or the configuration, named for the job, and to nobody else. A URL is below one
of those only if scheme, host, port and path all say so; whatever could be read in two ways is not.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence
from urllib.parse import unquote, urlsplit

from gridcwl.worker.paths import dotted

_KINDS = {"davs": "web", "https": "web", "root": "root", "roots": "root", "xroot": "root", "xroots": "root"}
"""Schemes that mean the same server. Plain http is none of them: what it carries can be read on the way."""
_PORTS = {"web": 443, "root": 1094}
_SERVER = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
_MOST_ROUNDS = 4  # of unquoting: a name that is quoted more often than this hides something
_WITHOUT = ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "XDG_RUNTIME_DIR", "X509_USER_PROXY", "X509_USER_CERT", "KRB5CCNAME")


class Owner(NamedTuple):
    """Whose credentials a run uses, where one process works on the runs of many: those in a folder of this user's."""

    folder: str
    account: str = ""
    """At Rucio; empty for the default account of the credentials."""
    rucio: str = ""
    """How Rucio is authenticated to: ``token`` or ``proxy``; empty: as this process does it."""
    jobs: str = "proxy"
    """Whose jobs a batch system gets: by the owner's ``proxy``, or those of this process (``service``)."""

    @property
    def token_file(self) -> str:
        """Where the access token is, if there is one."""
        return os.path.join(self.folder, "token")

    @property
    def proxy_file(self) -> str:
        """Where the proxy certificate is, if there is one."""
        return os.path.join(self.folder, "proxy")

    def has_expired(self, kind: str) -> bool:
        """Whether the ``proxy`` or ``token`` is missing, or its time is over: a newer one is waited for."""
        try:
            return os.stat(os.path.join(self.folder, kind)).st_mtime <= time.time()
        except OSError:
            return True


_owner: ContextVar[Optional[Owner]] = ContextVar("owner", default=None)
_own_are_used = True


def act_for(owner: Optional[Owner]) -> None:
    """Use an owner's credentials from now on, in the current task or thread and those that it starts."""
    _owner.set(owner)


def acting_for() -> Optional[Owner]:
    """Whose credentials are used; None for those of this process's user."""
    return _owner.get()


@contextmanager
def only_for_owners() -> Iterator[None]:
    """Inside this block, this process's own credentials are used for nobody's data: only those of owners are."""
    global _own_are_used  # noqa: PLW0603  it holds for all threads
    before, _own_are_used = _own_are_used, False
    try:
        yield
    finally:
        _own_are_used = before


def own_are_used() -> bool:
    """Whether this process's own credentials may be used here: no owner's are, and it does not serve owners only."""
    return _own_are_used and _owner.get() is None


class _Place(NamedTuple):
    kind: str
    host: str
    port: int
    parts: Sequence[str]


class Trusted:
    """The URLs to which credentials may be sent: these, and what is below them."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """URLs that say nothing clear, or are of this machine, are left out."""
        self._urls = tuple(urls)
        self._places: Optional[List[_Place]] = None

    def covers(self, url: str) -> bool:
        """Whether credentials may be sent to this URL."""
        if not self._urls:
            return False
        if self._places is None:
            self._places = [place for place in map(_place, self._urls) if place is not None]
        there = _place(url)
        return there is not None and any(_is_below(there, place) for place in self._places)


NOBODY = Trusted()


def is_server(netloc: str) -> bool:
    """Whether this is a plain ``host`` or ``host:port``, as programs can be given it."""
    return _SERVER.fullmatch(netloc) is not None


def _place(url: str) -> Optional[_Place]:
    """The parts of a URL as they are compared; None for one that nobody should trust."""
    if _AMBIGUOUS.search(url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    kind = _KINDS.get(parts.scheme)
    server = _SERVER.fullmatch(parts.netloc)  # no user name, and nothing that could be one
    if kind is None or server is None:
        return None
    path = _unquoted(parts.path)
    if path is None:
        return None
    steps = [step for step in path.split("/") if step]
    if dotted(steps):
        return None
    return _Place(kind, server[1].lower(), int(server[2] or _PORTS[kind]), steps)


def _unquoted(path: str) -> Optional[str]:
    for _ in range(_MOST_ROUNDS):
        plain = unquote(path, errors="surrogateescape")
        if plain == path:
            return None if "\\" in path or "\0" in path else path
        path = plain
    return None


def _is_below(there: _Place, place: _Place) -> bool:
    return there[:3] == place[:3] and list(there.parts[: len(place.parts)]) == list(place.parts)


def bearer_token() -> str:
    """The token that WLCG's rules find; empty if there is none.

    https://doi.org/10.5281/zenodo.3937438 (WLCG Bearer Token Discovery)
    """
    if not own_are_used():
        return _owners_token()
    given = os.environ.get("BEARER_TOKEN", "").strip()
    if given:
        return given
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    uid = os.getuid()
    named = os.environ.get("BEARER_TOKEN_FILE")
    places = [named] if named else [f"{runtime}/bt_u{uid}"] if runtime else []
    for place in [*places, f"/tmp/bt_u{uid}"]:  # noqa: S108  where the rules say that it is
        try:
            with open(place, encoding="ascii") as file:
                status = os.fstat(file.fileno())
                if status.st_uid in (uid, 0) and stat.S_ISREG(status.st_mode):
                    return file.read(1 << 16).strip()
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _owners_token() -> str:
    owner = _owner.get()
    if owner is None:
        return ""
    try:
        with open(owner.token_file, encoding="ascii") as file:
            return file.read(1 << 16).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def proxy_file() -> str:
    """The proxy certificate: what ``X509_USER_PROXY`` names, or the file in ``/tmp`` if it is this user's own.

    Anybody can write to ``/tmp``: a proxy there counts only if it belongs to this user and nobody else can read or
    write it. Empty if there is none.
    """
    if not own_are_used():
        owner = _owner.get()
        return owner.proxy_file if owner is not None and os.path.isfile(owner.proxy_file) else ""
    named = os.environ.get("X509_USER_PROXY")
    if named:
        return named if os.path.isfile(named) else ""
    place = f"/tmp/x509up_u{os.getuid()}"  # noqa: S108  where it is by custom
    try:
        status = os.lstat(place)
    except OSError:
        return ""
    private = stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
    return place if private else ""


def transfer_environment(*, trusted: bool) -> Dict[str, str]:
    """The environment of a program that moves files; without credentials unless its URLs are ``trusted``."""
    variables = dict(os.environ)
    if not own_are_used():
        for name in _WITHOUT:
            variables.pop(name, None)
        owner = _owner.get()
        if trusted and owner is not None:
            token, proxy = owner.token_file, proxy_file() or os.devnull
            return {**variables, "BEARER_TOKEN_FILE": token, "X509_USER_PROXY": proxy}
    elif trusted:
        if not variables.get("X509_USER_PROXY") and not proxy_file():
            variables["X509_USER_PROXY"] = os.devnull  # or it would take one in /tmp, whoever made it
        return variables
    for name in _WITHOUT:
        variables.pop(name, None)
    # What is found without a variable: the files in /tmp, and Kerberos' and other protocols' own.
    return {**variables, "X509_USER_PROXY": os.devnull, "BEARER_TOKEN_FILE": os.devnull, "XrdSecPROTOCOL": "host,unix"}


__all__ = (
    "NOBODY",
    "Owner",
    "Trusted",
    "act_for",
    "acting_for",
    "bearer_token",
    "transfer_environment",
    "is_server",
    "only_for_owners",
    "own_are_used",
    "proxy_file",
)
