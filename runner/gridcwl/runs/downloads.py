"""Inputs that are named by http(s) URLs: fetched before anything runs, and kept in the user's cache by their content.

A URL is requested again in every run, with the ETag and date of the stored copy: it is sent again only if it changed.
What is kept has its content's digest in its path, so that a run under way never sees its inputs change.

No credentials are sent, whatever a ``.netrc`` says: only a name and password that the URL itself holds, and only to its
own server. Nothing that was named by https comes by http.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from gridcwl import imports
from gridcwl.errors import InputError, StoreError
from gridcwl.model import paths
from gridcwl.model.objects import entries

if TYPE_CHECKING:
    import requests

log = logging.getLogger("gridcwl.runs")

_CHUNK = 1 << 20
_PATIENCE_S = (15, 120)
"""To be connected, and between two pieces of the answer."""
_HOPS = 10
_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


def is_remote(location: Any) -> bool:
    """Whether this is a URL that is fetched here."""
    return isinstance(location, str) and location.lower().startswith(("http://", "https://"))


def with_downloads(inputs: Any, folder: Path, most: int) -> Any:
    """The input object with every http(s) File on this machine; itself if there is none.

    Args:
        inputs: plain dicts and lists; not changed.
        folder: where downloads are kept for this and other runs.
        most: bytes of one file.

    Raises:
        InputError: one cannot be fetched, or is a Directory, which the web does not have.
        StoreError: the folder cannot be written.
    """
    if not any(is_remote(entry.get("location")) for entry in entries(inputs)):
        return inputs
    try:
        return _replaced(inputs, Downloads(folder, most))
    except OSError as error:
        raise StoreError(
            f"Inputs cannot be downloaded to {folder}: {error.strerror or error}",
            remedy="Make room there, or choose another folder with XDG_CACHE_HOME.",
        ) from error


def _replaced(value: Any, downloads: Downloads) -> Any:
    if isinstance(value, list):
        return [_replaced(item, downloads) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _replaced(item, downloads) for key, item in value.items()}
    if value.get("class") in ("File", "Directory") and is_remote(value.get("location")):
        url = str(value["location"])
        if value["class"] == "Directory":
            raise InputError(
                f"{_shown(url)} is given as a Directory, and the web has no directories",
                remedy="Name its files, as a File[] or as the listing of a Directory without a location.",
            )
        kept = downloads.fetch(url)
        made |= {"location": kept.as_uri(), "size": kept.stat().st_size}
        made.setdefault("basename", _name(url))
    return made


@dataclass(slots=True)
class Downloads:
    """A folder of downloaded files. Several processes may use it at a time."""

    folder: Path
    most: int
    """Bytes of one file."""

    def fetch(self, url: str) -> Path:
        """The file of a URL, as it is now.

        Raises:
            InputError: the server does not give it.
            OSError: it cannot be kept.
        """
        imports.load("requests")
        import requests

        from gridcwl.cwl.anonymous import AnonymousSession

        session = AnonymousSession()
        note = self.folder / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()[:40]}.json"
        known = _read(note)
        headers = {_VALIDATORS[name]: value for name, value in known.get("validators", {}).items()}
        try:
            session.max_redirects = _HOPS
            with session.get(url.partition("#")[0], headers=headers, stream=True, timeout=_PATIENCE_S) as answer:
                if answer.status_code == requests.codes.not_modified:
                    return Path(known["path"])
                if not answer.ok:
                    raise _refused(url, f"the server answered {answer.status_code} {answer.reason}")
                return self._keep(url, answer, note)
        except (requests.ConnectionError, requests.Timeout) as error:
            if "path" not in known:
                raise _refused(url, _reason(error)) from error
            log.warning("%s is unavailable (%s); the earlier download is used", _shown(url), _reason(error))
            return Path(known["path"])
        except requests.RequestException as error:
            raise _refused(url, _reason(error)) from error

    def _keep(self, url: str, answer: requests.Response, note: Path) -> Path:
        note.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        announced = answer.headers.get("Content-Length", "")
        self._check_size(url, int(announced[:20]) if announced.isascii() and announced.isdigit() else 0)
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            partial = Path(file.name)
            try:
                for chunk in answer.iter_content(_CHUNK):
                    size += len(chunk)
                    self._check_size(url, size)
                    file.write(chunk)
                    digest.update(chunk)
                file.flush()
                target = self.folder / "files" / digest.hexdigest()[:40] / _name(url)
                target.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        validators = {name: answer.headers[name] for name in _VALIDATORS if name in answer.headers}
        _write(note, {"url": _shown(url), "path": str(target), "validators": validators})
        return target

    def _check_size(self, url: str, size: int) -> None:
        if size > self.most:
            raise InputError(
                f"The File {_shown(url)} is larger than {self.most // 1024**2} MiB, and is not downloaded",
                remedy="Set max_download_mib in the configuration to allow it.",
            )


def _read(note: Path) -> dict[str, Any]:
    """What is known of an earlier download; nothing if its file is gone."""
    try:
        known = json.loads(note.read_text("utf-8"))
        return known if isinstance(known, dict) and Path(known["path"]).is_file() else {}
    except (OSError, ValueError, KeyError):
        return {}


def _write(note: Path, known: dict[str, Any]) -> None:
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(known), "utf-8")
    partial.replace(note)


def origin_of(path: Path) -> str:
    """The URL that a downloaded file came from, without passwords and tokens; empty if it is none.

    Of several URLs with the same content it is the one that was downloaded last.
    """
    if path.parent.parent.name != "files":
        return ""
    notes = sorted((path.parents[2] / "urls").glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
    return next((str(known["url"]) for known in map(_read, notes) if known.get("path") == str(path)), "")


def _name(url: str) -> str:
    return paths.name_in(urlsplit(url).path, "download")


def _shown(url: str) -> str:
    """Without a password, and without what may be a token."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _reason(error: Exception) -> str:
    """The innermost sentence of what requests and urllib3 put around each other, without addresses of objects."""
    inner: BaseException = error
    while (next_ := inner.__cause__ or inner.__context__) is not None:
        inner = next_
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__


def _refused(url: str, why: str) -> InputError:
    return InputError(f"The File {_shown(url)} cannot be downloaded: {why}", remedy="Check its URL, and the network.")
