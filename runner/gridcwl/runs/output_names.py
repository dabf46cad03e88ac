"""Names of final outputs: a number where two files want one name, such that what belongs together still fits.

``out.log`` and its secondary file ``out.log.idx`` become ``out_2.log`` and ``out_2.log.idx``: the patterns of CWL's
``secondaryFiles`` lead from the one to the other as before. Pure functions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from gridcwl.model.paths import LONGEST_NAME

_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zst", ".Z", ".lz4", ".bgz", ".zip"})
_EXTENSION = re.compile(r"\.|\.[A-Za-z][A-Za-z0-9_-]*|\.7z")
"""What ends a name and says what the file is; ``.2`` of ``v1.2`` does not."""


def numbered(names: Sequence[str], number: int) -> list[str]:
    """The names of a file and of its secondary files, with a number: all at the same place if they begin alike.

    Args:
        names: of the file, then of its secondary files.
        number: what they get.
    """
    stem = next(
        (stem for stem in _stems(names[0]) if all(name.startswith(stem) for name in names[1:])),
        "",
    )
    if not stem:
        return [_inserted(name, next(_stems(name), name), number, 0) for name in names]
    cut = max(_too_long(name, number) for name in names)
    return [_inserted(name, stem, number, cut) for name in names]


def all_different(names: Sequence[str]) -> list[str]:
    """The names that files get which are published in this order: none twice. Those of directories end with ``/``."""
    taken: set[str] = set()
    copies: dict[str, int] = {}
    found = []
    for wanted in names:
        plain = name = wanted.rstrip("/")
        while name in taken:
            copies[plain] = number = copies.get(plain, 1) + 1
            (name,) = numbered([plain], number)
        taken.add(name)
        found.append(name + wanted[len(plain) :])
    return found


def _inserted(name: str, stem: str, number: int, cut: int) -> str:
    kept = os.fsencode(stem)
    cut = min(max(cut, _too_long(name, number)), len(kept) - 1)
    return f"{os.fsdecode(kept[: len(kept) - cut])}_{number}{name[len(stem) :]}"


def _too_long(name: str, number: int) -> int:
    """By how many bytes the name with its number is longer than a name may be."""
    return max(0, len(os.fsencode(f"{name}_{number}")) - LONGEST_NAME)


def _stems(name: str) -> Iterator[str]:
    """What the name is without its extension, then with less and less of it; never empty."""
    stem, extension = _split(name)
    if extension in _COMPRESSED:
        stem, _ = _split(stem)
    while True:
        if not stem.endswith(".") or not stem.strip("."):
            yield stem
        shorter = stem[: stem.rfind(".")] if "." in stem.lstrip(".") else ""
        if not shorter.strip("."):
            return
        stem = shorter


def _split(name: str) -> tuple[str, str]:
    """As CWL's nameroot and nameext, but only what is an extension, and never the whole of a hidden file's name."""
    at = name.rfind(".")
    if at <= 0 or not name[:at].strip(".") or not _EXTENSION.fullmatch(name[at:]):
        return name, ""
    return name[:at], name[at:]
