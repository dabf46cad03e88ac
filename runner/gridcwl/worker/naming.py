"""How files in Rucio are called, and where a name's bytes lie below a storage element's prefix. Pure functions.

Every policy of Rucio allows ``A-Z a-z 0-9 . _ -`` in names and refuses blanks, ``+``, ``#``, non-ASCII and more. So
what a tool calls its file is written with an escape, ``-_`` and two hexadecimal digits, for each byte that has to be
replaced; that can be read back, and two files never get one name.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import Tuple

LONGEST = 250
"""Characters of a DID's name (Rucio's schemas, NAME_LENGTH)."""

_OTHER = re.compile(rb"[^A-Za-z0-9._-]|-(?=_)")
_ESCAPED = re.compile(rb"-_([0-9a-f]{2})")
MARK = re.compile(r"(?:^|[./])(?:j\d+-\d+-\d+|s[0-9a-f]{40}|d0)[./](?P<path>.+)", re.DOTALL)


def escaped(path: str) -> str:
    """A relative path as a part of a DID's name."""
    return _OTHER.sub(lambda found: b"-_%02x" % found.group()[0], os.fsencode(path)).decode("ascii")


def unescaped(text: str) -> str:
    """The relative path of which :func:`escaped` made this."""
    plain = _ESCAPED.sub(lambda found: bytes([int(found.group(1), 16)]), text.encode("ascii", "replace"))
    return os.fsdecode(plain)


def name_of(prefix: str, path: str) -> str:
    """The DID name of a file that a job left at ``path``. One that would be too long ends with a digest instead."""
    text = escaped(path)
    if len(prefix) + len(text) <= LONGEST:
        return prefix + text
    digest = hashlib.sha1(os.fsencode(path)).hexdigest()[:16]
    return f"{prefix}{text[: LONGEST - len(prefix) - 18].rstrip('-_')}..{digest}"


def path_in(name: str) -> str:
    """The path that a tool gave to the file of this name; of one that gridcwl did not name, the name's last part."""
    found = MARK.search(name)
    return unescaped(found.group("path")) if found else name.rstrip("/").rpartition("/")[2]


def place_of(scope: str, name: str, naming: str) -> str:
    """The path below an element's prefix, as Rucio computes it (``rucio/rse/translation.py``).

    Raises:
        ValueError: no such naming is known here.
    """
    if naming == "name":  # CTAO's, where names are paths
        return name.lstrip("/")
    folder = scope.replace(".", "/") if scope.startswith(("user", "group")) else scope
    if naming == "identity":
        return f"{folder}/{name}"
    if naming == "hash":
        digest = hashlib.md5(f"{scope}:{name}".encode(), usedforsecurity=False).hexdigest()
        return f"{folder}/{digest[0:2]}/{digest[2:4]}/{name}"
    raise ValueError(naming)


def split_url(url: str, scheme: str) -> Tuple[str, str]:
    """Scope and name in ``scheme://scope/name``; a name may begin with ``/``.

    Raises:
        ValueError: it is no such URL.
    """
    root = scheme + "://"
    scope, separator, name = url[len(root) :].partition("/")
    if not url.startswith(root) or not scope or not separator or not name:
        raise ValueError(url)
    return scope, name


def url_of(scheme: str, scope: str, name: str) -> str:
    """``scheme://scope/name``: the URL by which a store knows a file."""
    return f"{scheme}://{scope}/{name}"
