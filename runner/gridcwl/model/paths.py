"""The validator of paths, base names and locations that come from outside, with gridcwl's own error.

Every name that a tool, a worker node, a server, a cache or an input object chose passes through here when it is
decoded, and again where it becomes a file. The rules are in ``gridcwl.worker.paths``, which the worker shares.

Each function takes ``what``: the value's role, the beginning of the error's sentence, such as "The base name of an
output of count[1]".
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path

from gridcwl.errors import UnsafePath
from gridcwl.worker import paths as _rules
from gridcwl.worker.paths import (
    LONGEST_LOCATION,
    LONGEST_NAME,
    LONGEST_PATH,
    RefusedPath,
    below,
    climbs,
    dotted,
    name_in,
    quoted,
)

__all__ = [
    "LONGEST_LOCATION",
    "LONGEST_NAME",
    "LONGEST_PATH",
    "RefusedPath",
    "absolute",
    "basename",
    "below",
    "climbs",
    "dotted",
    "file_path",
    "inside",
    "join",
    "location",
    "name_in",
    "quoted",
    "relative",
]


def basename(name: object, what: str) -> str:
    """The name itself, if a file can have it: no ``/``, no NUL, not empty, ``.`` or ``..``, at most 255 bytes.

    Raises:
        UnsafePath: it is not a base name.
    """
    try:
        return _rules.basename(name)
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None


def relative(path: object, what: str) -> str:
    """The path itself, if it is relative, normalised, and stays below where it begins.

    Raises:
        UnsafePath: it is empty, absolute or too long, or one of its parts is not a base name.
    """
    try:
        return _rules.relative(path)
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None


def absolute(path: object, what: str) -> str:
    """An absolute path, normalised; ``..`` is refused, not resolved.

    Raises:
        UnsafePath: it is not absolute, or one of its parts is not a base name.
    """
    try:
        return _rules.absolute(path)
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None


def join(folder: Path | str, path: object, what: str) -> Path:
    """The path below a folder; symbolic links are not looked for.

    Raises:
        UnsafePath: see :func:`relative`.
    """
    return Path(folder) / relative(path, what)


def inside(folder: Path | str, path: object, what: str) -> Path:
    """The path below a folder, for a file that is about to be made or read there.

    Raises:
        UnsafePath: see :func:`relative`; or a symbolic link leads out of the folder.
    """
    try:
        return Path(_rules.inside(str(folder), path))
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None


def file_path(url: object, what: str) -> str:
    """The absolute path in a ``file://`` URL, percent-decoded.

    Raises:
        UnsafePath: it is another URL, names another host, or has a part that is not a base name when it is decoded.
    """
    try:
        return _rules.file_path(url)
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None


def location(url: object, what: str, schemes: AbstractSet[str] | None = None) -> str:
    """The URL itself, if its scheme is one of these (None: any) and it has no ``..``, NUL or control character.

    Raises:
        UnsafePath: it is not acceptable.
    """
    try:
        return _rules.location(url, schemes)
    except RefusedPath as refused:
        raise UnsafePath(what, refused.shown, refused.reason) from None
