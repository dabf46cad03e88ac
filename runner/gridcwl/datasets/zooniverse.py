"""Zooniverse's exports as files: classifications and subjects of a project or a workflow. By panoptes-client.

A File of an input object that has the field ``zooniverse`` stands for an export as it is when the run begins:

    {class: File, zooniverse: {catalog: workflow, workflow_id: 2, category: classifications, generate: true}}
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl import imports
from gridcwl.errors import ConfigError, GridCWLError, StoreError
from gridcwl.model.confinement import Confinement
from gridcwl.worker.paths import file_url

ENDPOINT = "https://www.zooniverse.org"
CATEGORIES = ("classifications", "subjects")
VARIABLES = ("PANOPTES_USERNAME", "PANOPTES_PASSWORD", "PANOPTES_CLIENT_ID", "PANOPTES_CLIENT_SECRET")
_READY = ("ready", "finished")
_CHUNK = 1 << 20
_PATIENCE_S = (15, 120)


class NotReadyError(StoreError):
    """Zooniverse is making the export; ask again."""


@dataclass(frozen=True, slots=True)
class ZooniverseAccount:
    """Who asks Zooniverse, and what is read.

    Attributes:
        user: a member of the project, with the password.
        client_id: of an application, with its secret, in place of a user.
        endpoint: of the API.
        media: what may be read of the URLs that Zooniverse gives; None for all by https.
        most_bytes: of one export, uncompressed.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    endpoint: str = ENDPOINT
    media: Confinement | None = None
    most_bytes: int = 20 << 30

    @property
    def is_known(self) -> bool:
        """Whether somebody asks; else it is anybody, who gets no export."""
        return bool((self.user and self.password) or (self.client_id and self.client_secret))


def account_of(values: Mapping[str, str], **more: Any) -> ZooniverseAccount:
    """The account that panoptes-client's own variables name.

    Args:
        values: of the environment, or of a file with such lines.
        more: fields of :class:`ZooniverseAccount`.
    """
    user, password, client_id, client_secret = (values.get(name, "") for name in VARIABLES)
    endpoint = values.get("PANOPTES_ENDPOINT") or ENDPOINT
    return ZooniverseAccount(user, password, client_id, client_secret, **{"endpoint": endpoint, **more})


def records_in(value: Any) -> Iterator[Mapping[str, Any]]:
    """The exports that an input object asks for."""
    if isinstance(value, Mapping):
        if isinstance(value.get("zooniverse"), Mapping) and value.get("class") == "File":
            yield value["zooniverse"]
        else:
            for item in value.values():
                yield from records_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from records_in(item)


def with_exports(value: Any, folder: Path, fetch: Callable[[Mapping[str, Any], Path], Path]) -> Any:
    """An input object with files in place of the Zooniverse items in it.

    Args:
        value: the input object, or a part of it.
        folder: where exports are written.
        fetch: writes one export, as :func:`export`.
    """
    return replaced(value, lambda record: file_url(str(fetch(record, folder))))


def replaced(value: Any, locate: Callable[[Mapping[str, Any]], str]) -> Any:
    """An input object with the locations of files in place of the Zooniverse items in it."""
    if isinstance(value, list):
        return [replaced(item, locate) for item in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("zooniverse"), Mapping) and value.get("class") == "File":
        rest = {key: item for key, item in value.items() if key != "zooniverse"}
        return {**rest, "location": locate(value["zooniverse"])}
    return {key: replaced(item, locate) for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An export, checked."""

    catalog: str
    number: int
    category: str
    generate: bool = False

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.catalog}-{self.number}-{self.category}.csv"

    def __str__(self) -> str:
        return f"{self.category} of {self.catalog} {self.number}"


def wanted(record: Mapping[str, Any]) -> Wanted:
    """The export that a record names: ``catalog``, ``project_id`` or ``workflow_id``, ``category``, ``generate``.

    Raises:
        ConfigError: it names none.
    """
    catalog, category = str(record.get("catalog", "project")), str(record.get("category", "classifications"))
    if catalog not in ("project", "workflow") or category not in CATEGORIES:
        raise ConfigError(
            f"Zooniverse has no {category[:40]} of a {catalog[:40]}",
            remedy="Use classifications or subjects, of a project or a workflow.",
        )
    number = str(record.get(f"{catalog}_id", ""))
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise ConfigError(
            f"The Zooniverse item names no {catalog}: {catalog}_id is {number[:40]!r}", remedy="It is a number."
        )
    generate = record.get("generate", False)
    if not isinstance(generate, bool):
        raise ConfigError(f"generate of a Zooniverse item is {str(generate)[:40]!r}", remedy="It is true or false.")
    return Wanted(catalog, int(number), category, generate)


def export(record: Mapping[str, Any], folder: Path, account: ZooniverseAccount | None = None) -> Path:
    """Write an export as Zooniverse has it; returns the file.

    With ``generate`` a new export is asked for first, once for each file: whoever asks again gets the new one.

    Args:
        record: as :func:`wanted` takes it.
        folder: for the file.
        account: who asks; None for that of the environment.

    Raises:
        NotReadyError: Zooniverse is making it.
        ConfigError: panoptes-client is not installed, or the record names nothing.
        StoreError: Zooniverse gives no export.
    """
    one = wanted(record)
    account = account or account_of(os.environ)
    asked = folder / f".{one.file}.asked"
    with _explained(one, account), _client(account) as found_in:
        found = found_in[one.catalog].find(one.number)
        if one.generate and not asked.exists():
            found.generate_export(one.category)
            folder.mkdir(parents=True, exist_ok=True)
            asked.touch()
        medium = found.describe_export(one.category)["media"][0]
        if (state := medium["metadata"].get("state", "ready")) not in _READY:
            raise NotReadyError(f"Zooniverse is making the {one} ({state})", remedy="Try again later.")
        path = _written(str(medium["src"]), folder / one.file, account)
        asked.unlink(missing_ok=True)
        return path


@contextmanager
def _explained(one: Wanted, account: ZooniverseAccount) -> Iterator[None]:
    try:
        yield
    except GridCWLError:
        raise
    except Exception as error:
        why = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        if isinstance(error, KeyError | TypeError | AttributeError):
            why = "it does not answer as Zooniverse does, or refuses the login"
        elif type(error).__module__.startswith("requests"):
            why = f"{urlsplit(account.endpoint).hostname} does not answer"
        raise StoreError(
            f"Zooniverse gives no {one}: {why or 'no reason is given'}",
            remedy="It has to be there, and is given to members of the project: "
            "set PANOPTES_USERNAME and PANOPTES_PASSWORD; generate: true asks for a new one."
            if not account.is_known
            else "Ask for one on the project's page, or write generate: true; the account has to be a member's.",
        ) from error


@contextmanager
def _client(account: ZooniverseAccount) -> Iterator[Mapping[str, Any]]:
    """The classes of panoptes-client, in whose calls this account asks; nothing of this machine's is used."""
    if not imports.installed("panoptes_client"):
        raise imports.missing("panoptes_client")
    with _quiet():
        imports.load("panoptes_client")
    import panoptes_client

    # with an empty name it does not look into the environment
    who = {"username": "", "password": "", "client_id": account.client_id or None}
    client = panoptes_client.Panoptes(endpoint=account.endpoint.rstrip("/"), **who)
    client.session = _session()
    client.username, client.password = account.user, account.password
    client.client_secret, client.redirect_url = account.client_secret or None, None
    with client:
        yield {"project": panoptes_client.Project, "workflow": panoptes_client.Workflow}


@contextmanager
def _quiet() -> Iterator[None]:
    """panoptes-client sets up this process's logging when it is imported: not if there is a handler."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _session() -> Any:
    """A session without credentials of this machine, that does not wait without end."""
    imports.load("requests")
    import requests

    class Session(requests.Session):
        def request(self, *given: Any, **options: Any) -> Any:
            return super().request(*given, **{"timeout": _PATIENCE_S, "allow_redirects": False, **options})

    made = Session()
    made.auth = lambda request: request  # no .netrc
    return made


def _written(url: str, path: Path, account: ZooniverseAccount) -> Path:
    scheme = urlsplit(url).scheme
    if account.media is None:
        allowed = scheme == "https" or scheme == urlsplit(account.endpoint).scheme == "http"
    else:
        allowed = account.media.allows_url(url)
    if not allowed:
        raise StoreError(
            f"Zooniverse's export is at {url.partition('?')[0][:200]}, which is not read here",
            remedy="The operator of a service allows such places by zooniverse.media.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    size = 0
    with _session().get(url, stream=True) as response, part.open("wb") as stream:
        if response.status_code != 200:
            raise StoreError(f"Zooniverse's store of files answers {response.status_code}", remedy="Try again later.")
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > account.most_bytes:
                part.unlink()
                raise StoreError(f"Zooniverse's export has more than {account.most_bytes >> 20} MiB")
            stream.write(chunk)
    part.replace(path)
    return path
