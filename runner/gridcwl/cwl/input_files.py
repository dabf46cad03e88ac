"""Files and Directories of an input object: absolute locations, and errors with their lines for missing files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin

from cwltool.utils import path_to_loc
from schema_salad.ref_resolver import file_uri, uri_file_path
from schema_salad.sourceline import SourceLine

from gridcwl.cwl.access import as_it_stands
from gridcwl.cwl.messages import tidy
from gridcwl.errors import InputError, UnsafePath
from gridcwl.model import paths
from gridcwl.model.objects import entries
from gridcwl.plugins import store_of_location, store_of_name, stores
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from gridcwl.cwl.remote import Remote

_MOST_NAMES = 1000
"""In a folder of more files no near name is looked for."""


def find_files(values: Any, base: str) -> None:
    """Give every File and Directory an absolute location; one that is not there is an error with its line."""
    for entry in entries(values):
        _find_one(entry, base)


def _find_one(entry: Any, base: str) -> None:
    key = "location" if "location" in entry else "path"
    with _refused_at(entry, "basename"):
        if entry.get("basename") is not None:
            paths.basename(entry["basename"], f"The base name of a {entry['class']}")
    with _refused_at(entry, key):
        _find_place(entry, key, base)


@contextmanager
def _refused_at(entry: Any, key: str) -> Iterator[None]:
    """Say where in the input object a name or a location is that is refused."""
    try:
        yield
    except UnsafePath as error:
        raise InputError(tidy(SourceLine(entry, key, str).makeError(error.message))) from None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _find_place(entry: Any, key: str, base: str) -> None:
    written = entry.get(key)
    if written is None:
        _check_literal(entry)
        return
    path_to_loc(entry)
    location = str(entry["location"])
    if location.startswith("_:"):
        return
    if location[:5].lower() == "file:":
        _check_file(entry, key, location)
        paths.absolute(_without_dots(str(uri_file_path(location))), f"The location of a {entry['class']}")
        path = _meant(location, base, is_path=key == "path")
    elif "://" in location or store_of_location(location):
        paths.location(location, f"The location of a {entry['class']}")
        return
    else:
        path = str(Path(base, location))
    path = paths.absolute(_without_dots(path), f"The location of a {entry['class']}")
    if not _is_utf8(path):
        message = SourceLine(entry, key, str).makeError(f"The name {paths.quoted(path)} is not UTF-8")
        raise InputError(tidy(message), remedy="Rename it: the names of inputs travel in JSON documents.")
    entry["location"] = file_uri(path)
    wanted = entry["class"]
    there = Path(path).is_dir() if wanted == "Directory" else Path(path).is_file() or Path(path).is_fifo()
    if not there:
        short = location.removeprefix(file_uri(base) + "/")
        if not Path(path).exists() and (store := store_of_name(short)):
            entry["location"] = f"{store}:{short}"
            return
        what = "does not exist"
        if Path(path).exists():
            other = Path(path).is_dir() or Path(path).is_file()
            what = f"is a {'directory' if Path(path).is_dir() else 'file'}" if other else "is a device or socket"
            what = f"{what}, not a {wanted}"
        message = SourceLine(entry, key, str).makeError(f"The {wanted} {path} {what}")
        raise InputError(tidy(message), remedy=_remedy(path, base))


def _remedy(path: str, base: str) -> str:
    """What to do about a path that is not what was written: its class, or its name."""
    if Path(path).is_dir():
        return "Write 'class: Directory', or name a file in it."
    if Path(path).is_file():
        return "Write 'class: File', or name a directory."
    if Path(path).exists():
        return "Name a file; for an empty one write {class: File, basename: empty, contents: ''}."
    folder = Path(path).parent
    names = [entry.name for entry in islice(folder.iterdir(), _MOST_NAMES)] if os.access(folder, os.R_OK) else []
    close = did_you_mean(Path(path).name, names)
    return f"{close} Relative paths count from {base}.".lstrip()


def _check_file(entry: Any, key: str, location: str) -> None:
    """A file of another machine is not the one of that path here, and an encoded ``..`` is no name."""
    host, _, rest = location[len("file://") :].partition("/")
    why = ""
    if host.lower() not in ("", "localhost"):
        why = f"is a file of another machine, {host}"
    elif any("%" in part and paths.dotted([unquote(part)]) for part in rest.split("/")):
        why = "contains a percent-encoded '..' or '.'"
    if why:
        message = SourceLine(entry, key, str).makeError(f"The {entry['class']} {location} {why}")
        raise InputError(tidy(message), remedy="Write the path of a file on this machine.")


def refuse_dids(values: Any, remote: Remote | None) -> None:
    """Files that only a store knows are unavailable without it."""
    for entry in entries(values):
        location = str(entry.get("location", ""))
        if not location or (remote is not None and remote.files.understands(location)):
            continue
        if name := store_of_location(location):
            title = stores()[name].title or name
            message = SourceLine(entry, "location", str).makeError(
                f"The {entry['class']} {location} is not on this machine, but in {title}"
            )
            raise InputError(tidy(message), remedy=f"Give --store {name}; or is there a file of that name elsewhere?")


def _meant(location: str, base: str, *, is_path: bool) -> str:
    """The path of a file that salad has made a URL of, without quoting what it held.

    A ``path`` means its characters as they are, a ``location`` is a URL; the other reading counts if that is not there.
    """
    above = file_uri(base) + "/"
    plain_words = [location.removeprefix("file://"), as_it_stands(location)]
    if location.startswith(above):
        plain_words.append(str(Path(base, location.removeprefix(above))))
    literally = next((path for path in plain_words if path and _exists(path)), None)
    if literally is not None and is_path:
        return literally
    try:
        url = urljoin("file:///", location) if paths.dotted(location.split("/")) else location
        unquoted = paths.file_path(url, "The location of a file")
    except UnsafePath:
        if literally is None:
            raise
        return literally
    return unquoted if literally is None or _exists(unquoted) else literally


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # a name that is too long for any file
        return False


def _without_dots(path: str) -> str:
    """The path without ``..``, as the system follows it; it keeps its last name, also where that is a link."""
    if "\0" in path or not paths.dotted(path.split("/")):
        return path
    whole = Path(path)
    return str(whole.resolve() if paths.dotted([whole.name]) else whole.parent.resolve() / whole.name)


def _check_literal(entry: Any) -> None:
    """A File or Directory that is nowhere has to say what is in it."""
    wanted = entry["class"]
    needed = ("contents",) if wanted == "File" else ("listing",)
    lacking = [name for name in needed if name not in entry]
    if lacking:
        message = SourceLine(entry, "class", str).makeError(
            f"The {wanted} has neither a path nor a location, nor {' and '.join(lacking)}"
        )
        raise InputError(tidy(message), remedy=f"Write it as {{class: {wanted}, path: ...}}.")
