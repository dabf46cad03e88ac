"""The validator of paths, base names and locations that come from outside: a tool, a job's result, a server.

This is the only one. The worker uses it as it is; everything else uses ``gridcwl.model.paths``, which raises gridcwl's
own error. Pure functions, but for :func:`inside`, which looks for symbolic links.

Names are text as Python has it: bytes that are not UTF-8 are surrogate-escaped. An ordinary name costs one match of a
regular expression.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
from typing import AbstractSet, Optional, Sequence
from urllib.parse import quote, unquote, urlsplit

LONGEST_NAME = 255
"""Bytes of one part of a path (NAME_MAX)."""
LEADS_NOWHERE = frozenset((errno.ENOENT, errno.ELOOP, errno.ENOTDIR))
"""How the system says of a symbolic link that nothing is where it leads: no file, a circle, or a file for a folder."""
LONGEST_PATH = 4095
"""Bytes of a path (PATH_MAX, without the NUL)."""
LONGEST_LOCATION = 3 * LONGEST_PATH + 1024
"""Characters of a URL: each byte of a path may be percent-encoded."""

_NAME = re.compile(r"(?!\.{1,2}\Z)[ -.0-~]{1,255}\Z")
_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[ -.0-~]{1,255}(?:/(?!\Z)|\Z))+\Z")
_ABSOLUTE = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[ -.0-~]{1,255})+\Z")
_FILE_URL = re.compile(r"file://((?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]{1,255})+)/?\Z")
_PLAIN_URL = re.compile(
    r"([a-z][a-z0-9+.-]*)://[A-Za-z0-9.-]*(?::[0-9]+)?(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]{1,255})+\Z"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


class RefusedPath(ValueError):
    """A path, a base name or a location that is not accepted.

    Attributes:
        shown: the value for people, control characters escaped, cut if it is long.
        reason: what is wrong with it, with the value as the subject: ``contains "/"``.
    """

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"{quoted(value)} {reason}")
        self.shown = quoted(value)
        self.reason = reason


def quoted(value: object) -> str:
    """A hostile value for a sentence: in quotes, escaped, at most about 100 characters."""
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    return ascii(value if len(value) <= 100 else f"{value[:60]}...{value[-30:]}")


def basename(name: object) -> str:
    """The name itself, if a file can have it.

    Raises:
        RefusedPath: it is empty, ``.`` or ``..``, has a ``/`` or a NUL in it, or more than 255 bytes.
    """
    if isinstance(name, str) and _NAME.match(name):
        return name
    return _part(_text(name), name)


def relative(path: object) -> str:
    """The path itself, if it is relative, normalised, and stays below where it begins.

    Raises:
        RefusedPath: it is empty, absolute or too long, or one of its parts is not a base name.
    """
    if isinstance(path, str) and len(path) <= LONGEST_PATH and _PATH.match(path):
        return path
    text = _text(path)
    if text.startswith("/"):
        raise RefusedPath(path, "is an absolute path, where a relative one is expected")
    for part in text.split("/"):
        _part(part, path)
    return _bounded(text)


def absolute(path: object) -> str:
    """An absolute path, normalised; ``..`` is refused, not resolved.

    Raises:
        RefusedPath: it is not absolute, or one of its parts is not a base name.
    """
    if isinstance(path, str) and len(path) <= LONGEST_PATH and _ABSOLUTE.match(path):
        return path
    text = _text(path)
    if not text.startswith("/"):
        raise RefusedPath(path, "is not an absolute path")
    for part in text.split("/"):
        if part not in ("", "."):
            _part(part, path)
    return "/" + posixpath.normpath(_bounded(text)).lstrip("/")


def below(path: str, folder: str) -> bool:
    """Whether an absolute path is the folder or lies in it; both normalised, links are not followed."""
    whole = folder.rstrip("/")
    return path in (folder, whole) or path.startswith(whole + "/")


def join(folder: str, path: object) -> str:
    """The path below a folder, which is not looked at: for a folder that has no links, or not ours to look at.

    Raises:
        RefusedPath: see :func:`relative`.
    """
    return f"{folder.rstrip('/')}/{relative(path)}"


def inside(folder: str, path: object) -> str:
    """The path below a folder, for a file that is about to be made or read there.

    Raises:
        RefusedPath: see :func:`relative`; or a symbolic link on the way, or the file itself, leads out of the folder.
    """
    found = join(folder, path)
    if not below(os.path.realpath(found), os.path.realpath(folder)):
        raise RefusedPath(path, f"leads out of {folder} through a symbolic link")
    return found


def file_path(url: object) -> str:
    """The absolute path in a ``file://`` URL, percent-decoded.

    A ``?`` or ``#`` belongs to the name: files have no queries.

    Raises:
        RefusedPath: it is another URL or names another host, or a part is not a base name when it is decoded (``%00``,
            ``%2F``, ``%2e%2e``).
    """
    if isinstance(url, str) and len(url) <= LONGEST_PATH and (plain := _FILE_URL.match(url)):
        return plain.group(1)
    text = _located(url)
    if text[:7].lower() != "file://":
        raise RefusedPath(url, "is not a file:// URL")
    host, slash, rest = text[7:].partition("/")
    if host.partition(":")[0].lower() not in ("", "localhost"):
        raise RefusedPath(url, f"is a file of another host, {ascii(host)[1:-1]}")
    if not slash:
        raise RefusedPath(url, "has no absolute path")
    parts = [unquote(part, errors="surrogateescape") for part in rest.split("/") if part]
    for part in parts:
        _part(part, url)
    return _bounded("/" + "/".join(parts))


def location(url: object, schemes: Optional[AbstractSet[str]] = None) -> str:
    """The URL itself, if its scheme is one of these (None: any) and it has no ``..``, NUL or control character.

    A ``file`` URL passes :func:`file_path` as well. ``_:`` is the scheme of literals.

    Raises:
        RefusedPath: it is not acceptable.
    """
    accepted = schemes is None or "file" in schemes
    if accepted and isinstance(url, str) and len(url) <= LONGEST_PATH and _FILE_URL.match(url):
        return url
    if isinstance(url, str) and len(url) <= LONGEST_PATH and (plain := _PLAIN_URL.match(url)):
        found = plain.group(1)
        if found != "file" and (schemes is None or found in schemes):
            return url
    text = _located(url)
    scheme = "_" if text.startswith("_:") else _scheme(text)
    if not scheme:
        raise RefusedPath(url, "is not a URL")
    if schemes is not None and scheme not in schemes:
        raise RefusedPath(url, f"has the scheme {scheme}, where {' or '.join(sorted(schemes)) or 'none'} is accepted")
    if scheme == "file":
        file_path(url)
        return text
    try:
        path = urlsplit(text).path
    except ValueError:
        raise RefusedPath(url, "is not a URL") from None
    for part in path.split("/"):
        decoded = unquote(part, errors="surrogateescape")
        if decoded in (".", ".."):
            raise RefusedPath(url, f'contains the part "{decoded}"')
        if "\0" in decoded or "/" in decoded:
            raise RefusedPath(url, "contains a percent-encoded NUL or slash")
    return text


def name_in(url: str, otherwise: str) -> str:
    """A base name for what lies at a URL: its last part, decoded; the other name if that is none."""
    name = unquote(url.rstrip("/").rpartition("/")[2], errors="surrogateescape").replace("/", "_")
    try:
        return basename(name)
    except RefusedPath:
        return otherwise


def dotted(parts: Sequence[str]) -> bool:
    """Whether one of the parts of a path is ``.`` or ``..``."""
    return "." in parts or ".." in parts


def climbs(path: str) -> bool:
    """Whether a path that should be relative, or a pattern for one, may lead out of its folder."""
    return path.startswith("/") or ".." in path.split("/") or "\0" in path


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RefusedPath(value, "is not text")
    if not value:
        raise RefusedPath(value, "is empty")
    return value


def _located(url: object) -> str:
    text = _text(url)
    if len(text) > LONGEST_LOCATION:
        raise RefusedPath(url, f"is longer than {LONGEST_LOCATION} characters")
    if _CONTROL.search(text):
        raise RefusedPath(url, "contains a control character")
    return text


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    return found.group(1).lower() if found else ""


def file_url(path: str) -> str:
    """The URL of an absolute path, whatever bytes it has."""
    return "file://" + quote_path(path)


def quote_path(path: str) -> str:
    """A path as a part of a URL."""
    return quote(os.fsencode(path))


def _part(part: str, whole: object) -> str:
    if _NAME.match(part):
        return part
    if part in ("", "."):
        raise RefusedPath(whole, "is not a file name" if part == whole else "has an empty part")
    if part == "..":
        raise RefusedPath(whole, "is not a file name" if part == whole else 'leads out of its folder with ".."')
    if "/" in part:
        raise RefusedPath(whole, 'contains "/"' if part == whole else "contains a percent-encoded slash")
    if "\0" in part:
        raise RefusedPath(whole, "contains a NUL character")
    if _size(part, whole) > LONGEST_NAME:
        raise RefusedPath(whole, f"has a name longer than {LONGEST_NAME} bytes")
    return part


def _bounded(path: str) -> str:
    if _size(path, path) > LONGEST_PATH:
        raise RefusedPath(path, f"is longer than {LONGEST_PATH} bytes")
    return path


def _size(text: str, whole: object) -> int:
    try:
        return len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise RefusedPath(whole, "contains a character that no file name can have (a lone surrogate)") from None
