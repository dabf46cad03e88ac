"""Files and directories as values: for inputs, and in outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from gridcwl import foreign
from gridcwl.errors import InputError

Value: TypeAlias = "bool | int | float | str | File | Directory | list[Value] | dict[str, Value] | None"
"""What an output is, and what an input may be, apart from ``pathlib.Path``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    path: Path | None = None
    """Where it is on this machine; None if it is elsewhere, or nowhere yet."""
    location: str = ""
    """Its URL: ``file:///...``, ``rucio://scope/name``, ``https://...``; empty for a literal."""
    basename: str = ""
    """The name that tools see."""

    def __fspath__(self) -> str:
        """The path, so that ``open()`` takes the value.

        Raises:
            ValueError: it is not on this machine.
        """
        if self.path is None:
            raise ValueError(f"{self.basename or self.location or 'The literal'} is not a file of this machine")
        return str(self.path)

    def _repr_html_(self) -> str:
        """For notebooks: its name, size and place, and a preview."""
        from gridcwl.runs.previews.html import place_html, shown

        return shown([place_html(self)])


class Outputs(dict[str, Any]):
    """The outputs of a run by name, with ``File`` and ``Directory`` values. In a notebook they show themselves."""

    def _repr_html_(self) -> str:
        from gridcwl.runs.previews.html import outputs_html

        return outputs_html(self)


@dataclass(frozen=True, slots=True, init=False)
class File(_Place):
    """A file: an input by its path or URL, or an output.

    Two Files are equal if all their fields are.
    """

    size: int | None = None
    """Bytes; None if unknown."""
    checksum: str | None = None
    """``sha1$`` and the hexadecimal digest; None if unknown."""
    secondary_files: tuple[File | Directory, ...] = ()
    format: str | None = None
    """The URI of the file's format, as of EDAM."""
    contents: str | None = None
    """The text of a file that is nowhere yet, at most 64 KiB."""

    def __init__(
        self,
        place: str | Path | None = None,
        *,
        basename: str = "",
        size: int | None = None,
        checksum: str | None = None,
        secondary_files: tuple[File | Directory, ...] | list[File | Directory] = (),
        format: str | None = None,
        contents: str | None = None,
        path: Path | None = None,
    ) -> None:
        """Describe a file.

        Args:
            place: its path or its URL.
            basename: the name that tools see, if it is not that of the path.
            size: in bytes, if known.
            checksum: ``sha1$`` and the hexadecimal digest, if known.
            secondary_files: files that belong to it, such as an index.
            format: the URI of its format.
            contents: the text of a new file, in place of a path.
            path: where it is on this machine, if ``place`` is a URL of another kind.
        """
        _set_place(self, place, path, basename)
        for name, value in (
            ("size", size),
            ("checksum", checksum),
            ("secondary_files", tuple(secondary_files)),
            ("format", format),
            ("contents", contents),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True, init=False)
class Directory(_Place):
    """A directory: an input by its path or URL, or an output."""

    listing: tuple[File | Directory, ...] | None = None
    """What is in it; None if unknown."""

    def __init__(
        self,
        place: str | Path | None = None,
        *,
        basename: str = "",
        listing: tuple[File | Directory, ...] | list[File | Directory] | None = None,
        path: Path | None = None,
    ) -> None:
        """Describe a directory.

        Args:
            place: its path or its URL.
            basename: the name that tools see, if it is not that of the path.
            listing: what is in it; without a place, a new directory of these.
            path: where it is on this machine, if ``place`` is a URL of another kind.
        """
        _set_place(self, place, path, basename)
        object.__setattr__(self, "listing", None if listing is None else tuple(listing))


def _set_place(value: _Place, place: str | Path | None, path: Path | None, basename: str) -> None:
    location = ""
    if isinstance(place, str) and "://" in place:
        location = place
        parts = urlsplit(place)
        if path is None and parts.scheme == "file":
            path = Path(unquote(parts.path))
    elif place is not None:
        path = Path(place)
    if not location and path is not None and path.is_absolute():
        location = path.as_uri()
    object.__setattr__(value, "path", path)
    object.__setattr__(value, "location", location)
    object.__setattr__(value, "basename", basename or (path.name if path is not None else _name_in(location)))


def _name_in(location: str) -> str:
    return unquote(urlsplit(location).path.rstrip("/").rpartition("/")[2])


def to_json(inputs: Mapping[str, Any], base: Path) -> str:
    """An input object as JSON; as :func:`to_cwl`."""
    return json.dumps(to_cwl(inputs, base), indent=1)


def to_cwl(value: Any, base: Path, where: str = "inputs") -> Any:
    """A value as CWL has it, in plain dicts, lists and numbers.

    Args:
        value: plain values, File, Directory, ``pathlib.Path``, values of numpy, pandas and astropy, DIDs that are
            attached to a notebook, and lists and mappings of them.
        base: the folder that relative paths of File, Directory and Path count from.
        where: names the value in an error.

    Raises:
        InputError: it is of a kind that CWL does not have.
    """
    if foreign.is_attached(value):
        place = foreign.attached(value, where)
        value = place if isinstance(place, list) else File(place)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} is {value}, which is not a number that JSON can hold")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Path):
        value = Directory(value) if (base / value).is_dir() else File(value)
    if isinstance(value, File | Directory):
        return _entry(value, base, where)
    if isinstance(value, Mapping):
        return {_key(key, where): to_cwl(item, base, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_cwl(item, base, f"{where}[{number}]") for number, item in enumerate(value)]
    if (plain := foreign.converted(value, where)) is not value:
        return to_cwl(plain, base, where)
    raise InputError(
        f"{where} is {_shown(value)}, which CWL has no type for",
        remedy="Give numbers, texts, True or False, None, File, Directory, Path, and lists and dicts of them.",
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise InputError(f"A name in {where} is {_shown(key)}, which is not a text")
    return key


def _entry(value: File | Directory, base: Path, where: str) -> dict[str, Any]:
    made: dict[str, Any] = {"class": type(value).__name__}
    if value.location:
        made["location"] = value.location
    elif value.path is not None:
        made["location"] = (base / value.path).as_uri()
    if value.basename:
        made["basename"] = value.basename
    if isinstance(value, Directory):
        if value.listing is not None:
            made["listing"] = to_cwl(value.listing, base, f"{where}.listing")
        return made
    for name, item in (("size", value.size), ("checksum", value.checksum), ("format", value.format)):
        if item is not None:
            made[name] = item
    if value.contents is not None and not value.location:
        made["contents"] = value.contents
    if value.secondary_files:
        made["secondaryFiles"] = to_cwl(value.secondary_files, base, f"{where}.secondary_files")
    return made


def outputs_from(value: Any) -> Any:
    """An output object with its Files and Directories as values; None stays."""
    return Outputs(from_cwl(value)) if isinstance(value, dict) else value


def from_cwl(value: Any) -> Any:
    """A part of an output object with its Files and Directories as values."""
    if isinstance(value, list):
        return [from_cwl(item) for item in value]
    if not isinstance(value, dict):
        return float(value) if hasattr(value, "__float__") and not isinstance(value, bool | int) else value
    kind = value.get("class")
    if kind not in ("File", "Directory"):
        return {key: from_cwl(item) for key, item in value.items()}
    path = Path(value["path"]) if value.get("path") else None
    place, basename = str(value.get("location") or ""), str(value.get("basename") or "")
    if kind == "Directory":
        listing = value.get("listing")
        return Directory(
            place or None, basename=basename, listing=None if listing is None else from_cwl(listing), path=path
        )
    return File(
        place or None,
        basename=basename,
        size=value.get("size"),
        checksum=value.get("checksum"),
        secondary_files=from_cwl(value.get("secondaryFiles") or []),
        format=value.get("format"),
        contents=value.get("contents"),
        path=path,
    )
