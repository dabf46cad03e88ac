"""Output objects, comparable: Files and Directories by what is in them, not by where they lie."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_UNNAMED = re.compile(r"\b[0-9a-f]{40}\b")
"""What cwltool calls the file for the standard output of a tool that gives it no name."""
_NUMBER = re.compile(r"(_\d+)+(?=[./]|$)")
"""What tells outputs of one name apart. cwltool puts literal directories of one name all into one place."""
_OUTDIR = re.compile(r"\boutdir-\w{8}\b")
"""What cwltool calls the output directory itself, where it is an output; gridcwl calls it ``out``."""


class Misdescribed(AssertionError):
    """An output object does not say what is on disk."""


def described(value: Any) -> None:
    """Every File and Directory is on disk what the output object says.

    Raises:
        Misdescribed: one is not.
    """
    if isinstance(value, list):
        for item in value:
            described(item)
    elif isinstance(value, dict):
        if value.get("class") == "File":
            _check_file(value)
        elif value.get("class") == "Directory":
            _check_directory(value)
        for item in value.values():
            described(item)


def _check_file(value: dict[str, Any]) -> None:
    data = _path(value).read_bytes()
    if (value["size"], value["checksum"]) != (len(data), f"sha1${hashlib.sha1(data).hexdigest()}"):
        raise Misdescribed(f"size or checksum are not those of the file: {value}")


def _check_directory(value: dict[str, Any]) -> None:
    path = _path(value)
    for entry in value["listing"]:
        if _path(entry).parent != path:
            raise Misdescribed(f"the listing of a Directory speaks of a file elsewhere: {value}")
    beside = [other for entry in value["listing"] for other in entry.get("secondaryFiles", ())]
    listed = sorted({_path(entry).name for entry in [*value["listing"], *beside]})
    there = sorted(entry.name for entry in path.iterdir())
    if listed != there:
        raise Misdescribed(f"the listing of a Directory is not what is there, {there}: {value}")


def comparable(value: Any, outdir: Path) -> Any:
    """The value with every File and Directory read from disk; the order of arrays stays, that of listings does not."""
    if isinstance(value, list):
        items = [comparable(item, outdir) for item in value]
        return sorted(items, key=_is_unnamed)  # a pattern finds a random name anywhere
    if isinstance(value, dict):
        if value.get("class") == "File":
            return _file(value, outdir)
        if value.get("class") == "Directory":
            return _directory(value, outdir)
        return {key: comparable(item, outdir) for key, item in value.items()}
    if isinstance(value, str):
        return _UNNAMED.sub("(unnamed)", value)
    return (type(value).__name__, value) if isinstance(value, int | float | bool) else value


def _is_unnamed(item: Any) -> bool:
    return isinstance(item, dict) and item.get("place") == "(unnamed)"


def _text(data: bytes) -> str:
    """All of a file, but for names that are random; where there are some, its lines in any order, as of a listing."""
    text = _OUTDIR.sub("out", _UNNAMED.sub("(unnamed)", data.decode("utf-8", "backslashreplace")))
    return "\n".join(sorted(text.split("\n"))) if "(unnamed)" in text else text


def _path(value: dict[str, Any]) -> Path:
    return Path(unquote(urlsplit(value["location"]).path))


def _place(path: Path, outdir: Path) -> str:
    if not path.is_relative_to(outdir):
        return f"OUTSIDE {path}"
    named = _OUTDIR.sub("out", str(path.relative_to(outdir)))  # first: a random name may end as a number does
    return _UNNAMED.sub("(unnamed)", _NUMBER.sub("", named))


def _file(value: dict[str, Any], outdir: Path) -> dict[str, Any]:
    path = _path(value)
    found: dict[str, Any] = {
        "class": "File",
        # cwltool may say of a file that it is where a link to it is
        "place": _place(path.resolve(), outdir.resolve()) if path.is_relative_to(outdir) else _place(path, outdir),
        "content": _text(path.read_bytes()),
    }
    if value.get("secondaryFiles"):
        found["secondaryFiles"] = [comparable(other, outdir) for other in value["secondaryFiles"]]
    if "format" in value:
        found["format"] = value["format"]
    return found


def _directory(value: dict[str, Any], outdir: Path) -> dict[str, Any]:
    path = _path(value)
    return {"class": "Directory", "place": _place(path, outdir), "tree": _tree(path)}


def _tree(path: Path) -> dict[str, Any]:
    return {
        entry.name: _tree(entry) if entry.is_dir() else _text(entry.read_bytes()) for entry in sorted(path.iterdir())
    }


def lost(value: Any) -> bool:
    """Whether the value speaks of a File that is not there, or that a Directory lists and has not."""
    if isinstance(value, list):
        return any(map(lost, value))
    if isinstance(value, dict):
        strayed = value.get("class") == "Directory" and any(
            _path(one).parent != _path(value) for one in value.get("listing", ()) if one["class"] == "File"
        )
        return strayed or (value.get("class") == "File" and not _path(value).exists()) or any(map(lost, value.values()))
    return False


def directories(value: Any) -> set[str]:
    """The locations of the outermost Directories."""
    if isinstance(value, list):
        return set().union(*map(directories, value))
    if isinstance(value, dict):
        if value.get("class") == "Directory":
            return {value["location"]}
        return set().union(*map(directories, value.values()))
    return set()


def apart(value: Any) -> bool:
    """Whether a File has a secondary file in another folder than its own."""
    if isinstance(value, list):
        return any(map(apart, value))
    if isinstance(value, dict):
        beside = value.get("secondaryFiles", ()) if value.get("class") == "File" else ()
        return any(_path(one).parent != _path(value).parent for one in beside) or any(map(apart, value.values()))
    return False


def shared(value: Any) -> bool:
    """Whether a File is an output of its own and a secondary file of another, in one place."""
    own: set[Path] = set()
    beside: set[Path] = set()

    def look(item: Any, found: set[Path]) -> None:
        if isinstance(item, list):
            for each in item:
                look(each, found)
        elif isinstance(item, dict) and item.get("class") == "File":
            found.add(_path(item))
            look(item.get("secondaryFiles", []), beside)
        elif isinstance(item, dict):
            look(list(item.values()), found)

    look(value, own)
    return not own.isdisjoint(beside)
