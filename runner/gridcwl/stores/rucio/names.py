"""DIDs: how they are written, and how those of a run are called. Pure functions.

    <scope>:<run>.<step>.j<session>-<number>-<attempt>.<path>    a file that a job made
    <scope>:<run>.<step>.<output>                                the dataset of one output of a step
    <scope>:<run>                                                the container of a run
    <scope>:gridcwl.s<sha1>.<basename>                           an input that was uploaded

A template that begins with ``/`` makes names that are paths, as CTAO's policy wants them:
``/ctao.org/{scope}/{run}/{step}``. Then ``/`` stands for ``.`` between the parts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from gridcwl.errors import ConfigError, InputError
from gridcwl.model.job import session_and_number
from gridcwl.stores.rucio.settings import SCHEME, SHORT_NAME
from gridcwl.worker.naming import LONGEST, MARK, escaped, name_of, split_url, url_of

SCOPE = re.compile(r"[a-zA-Z_.0-9-]{1,25}")
_SHORT = re.compile(SHORT_NAME)
_FIELD = re.compile(r"\{(\w*)\}")
_OF_JOB = re.compile(r"[./]?j(\d+)-(\d+)-(\d+)[./]")
_FIELDS = ("run", "step", "document", "scope")
_ROOM = 110
"""Characters of a name that are left for the path that a tool gave to its file."""


class Did(NamedTuple):
    """The name of a file, a dataset or a container."""

    scope: str
    name: str

    @property
    def url(self) -> str:
        """``rucio://scope/name``."""
        return url_of(SCHEME, self.scope, self.name)

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


class Query(NamedTuple):
    """What an input's location asks for: one DID, or all that a pattern and filters find."""

    did: Did
    filters: tuple[tuple[str, str], ...] = ()
    kind: str = "file"

    @property
    def is_search(self) -> bool:
        """Whether it may stand for many DIDs."""
        return "*" in self.did.name or bool(self.filters)


def did_of(url: str) -> Did:
    """The DID in ``rucio://scope/name``.

    Raises:
        InputError: it is no such URL.
    """
    try:
        scope, name = split_url(url, SCHEME)
    except ValueError:
        raise InputError(f"{url} is no DID", remedy="Write rucio://SCOPE/NAME.") from None
    return Did(scope, unquote(name))


def chosen_dataset(text: str) -> Did:
    """The dataset that a user names.

    Raises:
        ConfigError: it is no DID.
    """
    query = read(text)
    if query is None or query.is_search:
        raise ConfigError(f"{text} is no name of a dataset", remedy="Write --output-dataset SCOPE:NAME.")
    return query.did


def read(location: str, scope: str = "") -> Query | None:
    """What a location in an input object asks for; None if it is nothing of Rucio's.

    Args:
        location: ``rucio://scope/name``, ``rucio:scope:name``, ``scope:name``, ``lfn:/name`` or ``lfn://name``.
        scope: of names that say none (``lfn:``).

    Raises:
        InputError: it is meant for Rucio, and is wrong.
    """
    if location.startswith("rucio://"):
        text, _, asked = location.partition("?")
        did = did_of(text)
        filters = parse_qsl(asked, keep_blank_values=True)
        kind = dict(filters).get("type", "file")
        if kind not in ("file", "dataset", "container", "collection", "all"):
            raise InputError(f"{location}: there is no type {kind}", remedy="Use file, dataset, container or all.")
        return Query(did, tuple((key, value) for key, value in filters if key != "type"), kind)
    head, _, rest = location.partition(":")
    if head.lower() == "lfn":
        name = "/" + rest.lstrip("/")
        if not scope:
            raise InputError(f"{location} has no scope", remedy="Give --rucio-scope, or write rucio://.")
        return Query(Did(scope, name))
    short = _SHORT.fullmatch(rest if head == "rucio" else location)
    if short is None:
        if head == "rucio":
            raise InputError(f"{location} is no DID", remedy="Write rucio://SCOPE/NAME.")
        return None
    return Query(Did(short["scope"], short["name"]))


@dataclass(frozen=True, slots=True)
class Naming:
    """How the DIDs of one run are called."""

    scope: str
    template: str
    """Words with ``{run}``, ``{step}``, ``{document}`` and ``{scope}``, separated by ``/``: ``{run}/{step}``."""
    run: str
    document: str = ""

    def __post_init__(self) -> None:
        check_template(self.template)

    @property
    def slashes(self) -> bool:
        """Names are paths and begin with ``/``."""
        return self.template.startswith("/")

    @property
    def container(self) -> Did:
        """Of the whole run."""
        return self._did(self._filled("run"))

    def dataset(self, step: str, output: str = "") -> Did:
        """Of one output of a step; of those of its files that no output names, if none is given."""
        return self._did(f"{self._filled(step)}/{output or 'files'}")

    def folder(self, path: str) -> Did:
        """The dataset of a folder of logical file names."""
        return self._did(path)

    def prefix(self, step: str, mark: str) -> str:
        """How the names of what one attempt of a job makes begin. ``mark`` is ``session-number-attempt``."""
        return self.prefix_of(self._filled(step), f"j{mark}")

    def prefix_of(self, path: str, mark: str) -> str:
        """How the names of what belongs to ``path`` begin; the mark says where the path of each file begins."""
        sign = "/" if self.slashes else "."
        begin = self._joined(path, LONGEST - _ROOM - len(mark) - 2)
        return f"{begin}{sign}{mark}{sign}" if mark else f"{begin}{sign}"

    def upload(self, sha1: str, basename: str) -> Did:
        """Of an input that is uploaded: the same for the same bytes, whatever the run."""
        root = self._joined(f"{self._root()}/gridcwl", 100)
        sign = "/" if self.slashes else "."
        prefix = f"{root}{sign}s{sha1}{sign}"
        return Did(self.scope, name_of(prefix, basename))

    def by_key(self, scope: str, key: str) -> Did:
        """Of the dataset that holds a result for other runs: the same in every run."""
        root = replace(self, scope=scope)._root()
        return Did(scope, self._joined(f"{root}/gridcwl/key/{key}", LONGEST))

    def _filled(self, step: str) -> str:
        words = {"run": self.run, "step": step, "document": self.document, "scope": _as_path(self.scope)}
        return _FIELD.sub(lambda found: "/".join(escaped(word) for word in words[found[1]].split("/")), self.template)

    def _root(self) -> str:
        """What a path begins with that is of no run: ``/ctao.org/user/a/alice``."""
        return self._filled("").partition(self.run)[0] if self.slashes else ""

    def _did(self, path: str) -> Did:
        return Did(self.scope, self._joined(path, LONGEST))

    def _joined(self, path: str, most: int) -> str:
        """The path as a valid name, cut where it is too long."""
        words = [word.strip(".-_") or "x" for word in path.split("/") if word]
        name = "/" + "/".join(words) if self.slashes else ".".join(words)
        if len(name) <= most:
            return name
        return f"{name[: most - 13].rstrip('/._-')}.{hashlib.sha1(name.encode()).hexdigest()[:12]}"


def _as_path(scope: str) -> str:
    """The scope as CTAO has it in paths: ``user/a/alice`` for ``user.alice``."""
    kind, _, name = scope.partition(".")
    return f"user/{name[0]}/{name}" if kind == "user" and name else scope


def check_template(template: str) -> None:
    """See that a template of names can be used.

    Raises:
        ConfigError: it cannot; saying why.
    """
    unknown = [name for name in _FIELD.findall(template) if name not in _FIELDS]
    rest = _FIELD.sub("", template)
    if unknown:
        raise ConfigError(
            f"The name template {template!r} has the unknown field {{{unknown[0]}}}",
            remedy=f"Known are {', '.join('{' + name + '}' for name in _FIELDS)}.",
        )
    if not {"{run}", "{step}"} <= set(re.findall(r"\{\w+\}", template)) or re.search(r"[^A-Za-z0-9._/-]", rest):
        raise ConfigError(
            f"The name template {template!r} cannot be used",
            remedy="It needs {run} and {step}, and else only letters, digits and . _ - /; for instance {run}/{step}.",
        )


class Maker(NamedTuple):
    """The job that has made a file, as the file's name says it."""

    session: int
    number: int


def maker_of(name: str) -> Maker | None:
    """The job that has made the file of this name; None if none of ours has."""
    mark = _mark_in(name)
    return Maker(int(mark[1]), int(mark[2])) if mark else None


def attempt_of(name: str) -> int:
    """The attempt of a job that has made the file of this name; 0 if none of ours has."""
    mark = _mark_in(name)
    return int(mark[3]) if mark else 0


def _mark_in(name: str) -> re.Match[str] | None:
    found = MARK.search(name)
    return _OF_JOB.match(name, found.start()) if found else None


def mark_of(job_id: str, attempt: int) -> str:
    """``session-number-attempt`` of a job."""
    session, number = session_and_number(job_id)
    return f"{session}-{number}-{attempt}"
