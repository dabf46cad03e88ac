"""Comparison of the outputs of two runs: identical bytes, equal data, or different.

Of FITS and HDF5 the data are compared, without dates and ids of when and by whom a file was written, if astropy or
h5py is installed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from gridcwl.runs.reuse.checksums import local_path

State: TypeAlias = Literal["identical", "equal data", "different", "missing"]

_CHUNK = 1 << 20
_FITS, _HDF5 = b"SIMPLE  =", b"\x89HDF\r\n\x1a\n"
_KEYWORDS = ["DATE", "CREATED", "CHECKSUM", "DATASUM", "TSTAMP", "UUID", "FILENAME"]
"""Keywords of FITS that say when, and as what, a file was written."""
_WHEN = re.compile(r"(?i)\b(creation|created|modified|date|timestamp|uuid)\b")
"""Attributes of HDF5 that say when, and by which process, a file was written; those whose values say so count, too."""
_A_DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
_A_UUID = re.compile(r"(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one output, or one file of it, compares."""

    output: str
    """Its name, with the path of the file in it: ``irf``, ``plots[2]``, ``kept/a.txt``."""
    state: State
    detail: str = ""


def compared(before: Any, after: Any) -> Iterator[Comparison]:
    """Compare two output objects, output by output.

    Args:
        before: the first one; its files are on this machine, or have checksums at least.
        after: the other one; its files are on this machine.
    """
    first, second = before or {}, after or {}
    for name in dict.fromkeys([*first, *second]):
        yield from _value(name, first.get(name), second.get(name))


def _value(name: str, one: Any, other: Any) -> Iterator[Comparison]:
    if isinstance(one, list) and isinstance(other, list) and any(isinstance(item, dict) for item in (*one, *other)):
        for number in range(max(len(one), len(other))):
            pair = (items[number] if number < len(items) else None for items in (one, other))
            yield from _value(f"{name}[{number}]", *pair)
    elif _class(one) == _class(other) == "File":
        yield _file(name, one, other)
        yield from _entries(name, one.get("secondaryFiles"), other.get("secondaryFiles"))
    elif _class(one) == _class(other) == "Directory":
        yield from _entries(name, _listing(one), _listing(other))
    elif isinstance(one, dict) and isinstance(other, dict) and not _class(one) and not _class(other):
        for key in dict.fromkeys([*one, *other]):
            yield from _value(f"{name}.{key}", one.get(key), other.get(key))
    elif one is None or other is None:
        if one is None and other is None:
            yield Comparison(name, "identical", "null in both")
        else:
            yield Comparison(name, "missing", "only the first run has it" if other is None else "only this run has it")
    elif one == other:
        yield Comparison(name, "identical")
    else:
        yield Comparison(name, "different", f"{_shown(one)} and {_shown(other)}")


def _entries(name: str, first: Any, second: Any) -> Iterator[Comparison]:
    one, other = ({str(entry.get("basename")): entry for entry in entries or ()} for entries in (first, second))
    for key in sorted({*one, *other}):
        yield from _value(f"{name}/{key}", one.get(key), other.get(key))


def _class(value: Any) -> str:
    return str(value.get("class") or "") if isinstance(value, dict) else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _listing(value: Mapping[str, Any]) -> list[Any]:
    if value.get("listing"):
        return list(value["listing"])
    path = local_path(str(value.get("location", "")))
    if path is None or not os.path.isdir(path):  # noqa: PTH112
        return []
    return [
        {"class": "Directory" if one.is_dir() else "File", "basename": one.name, "location": one.as_uri()}
        for one in sorted(Path(path).iterdir())
    ]


# -- files -------------------------------------------------------------------------------------------------------------


def _file(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Comparison:
    paths = [_path(entry) for entry in (one, other)]
    digests = [_digest(entry, path) for entry, path in zip((one, other), paths, strict=True)]
    if None not in digests and digests[0] == digests[1]:
        return Comparison(name, "identical", str(one.get("basename") or ""))
    first, second = paths
    if second is None or first is None:
        which = "first run's" if first is None else "this run's"
        if None in digests:
            return Comparison(name, "missing", f"the {which} file is not on this machine, nor is its checksum known")
        return Comparison(name, "different", f"the {which} file is not on this machine: only checksums were compared")
    if digests[0] != _sha1(first):
        return Comparison(name, "different", "the first run's file has been changed since")
    return _by_content(name, first, second)


def _by_content(name: str, first: Path, second: Path) -> Comparison:
    heads = [_head(path) for path in (first, second)]
    for magic, compare in ((_FITS, fits_differences), (_HDF5, hdf5_differences)):
        if all(head.startswith(magic) for head in heads):
            differences = compare(first, second)
            if not differences:
                return Comparison(name, "equal data", "only dates, ids or layout differ")
            return Comparison(name, "different", differences[0])
    sizes = [path.stat().st_size for path in (first, second)]
    if sizes[0] != sizes[1]:
        return Comparison(name, "different", f"{sizes[0]} and {sizes[1]} bytes")
    return Comparison(name, "different", f"from byte {_first_difference(first, second)} on")


def _path(entry: Mapping[str, Any]) -> Path | None:
    for url in (str(entry.get("path") or ""), str(entry.get("location") or "")):
        path = url if url.startswith("/") else local_path(url) if url else None
        if path and os.path.isfile(path):  # noqa: PTH113
            return Path(path)
    return None


def _digest(entry: Mapping[str, Any], path: Path | None) -> str | None:
    known = str(entry.get("checksum") or "")
    if known.startswith("sha1$"):
        return known.removeprefix("sha1$")
    return _sha1(path) if path is not None else None


def _sha1(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(16)


def _first_difference(first: Path, second: Path) -> int:
    at = 0
    with first.open("rb") as one, second.open("rb") as other:
        while True:
            a, b = one.read(_CHUNK), other.read(_CHUNK)
            if a != b:
                return at + next((n for n, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), len(a))
            if not a:
                return at
            at += len(a)


def fits_differences(first: Path, second: Path) -> list[str]:
    """How the data of two FITS files differ, without dates; that astropy is not installed is a difference."""
    try:
        from astropy.io import fits  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return ["their bytes differ; install astropy to compare FITS by its data"]
    try:
        found = fits.FITSDiff(str(first), str(second), ignore_keywords=_KEYWORDS, ignore_comments=_KEYWORDS)
    except (OSError, ValueError, TypeError) as error:
        return [f"one of them is no FITS that can be read: {error}"]
    if found.identical:
        return []
    lines = (line.strip() for line in found.report().splitlines())
    told = [line for line in lines if line and not line.startswith(("fitsdiff:", "a:", "b:", "Keyword(s)", "Maximum",
                                                                    "Table column"))]  # fmt: skip
    return [" ".join(told[:4]) or "their data differ"]


def hdf5_differences(first: Path, second: Path) -> list[str]:
    """How two HDF5 files differ, without dates and ids; that h5py is not installed is a difference."""
    try:
        import h5py  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return ["their bytes differ; install h5py to compare HDF5 by its data"]
    try:
        with suppress(ImportError):
            import hdf5plugin  # type: ignore[import-not-found,unused-ignore]  # noqa: F401  Blosc, as ctapipe has it
        with h5py.File(first, "r") as one, h5py.File(second, "r") as other:
            return list(_groups("", one, other))[:10]
    except (OSError, ValueError, TypeError, KeyError) as error:
        return [f"one of them is no HDF5 that can be read: {error}"]


def _groups(name: str, one: Any, other: Any) -> Iterator[str]:
    yield from _attributes(name, one.attrs, other.attrs)
    for key in sorted({*one.keys(), *other.keys()}):
        at = f"{name}/{key}"
        if key not in one or key not in other:
            yield f"{at} is in one of them only"
            continue
        first, second = one[key], other[key]
        if hasattr(first, "keys") and hasattr(second, "keys"):
            yield from _groups(at, first, second)
        elif hasattr(first, "keys") or hasattr(second, "keys"):
            yield f"{at} is a group in one of them only"
        else:
            yield from _datasets(at, first, second)


def _datasets(name: str, one: Any, other: Any) -> Iterator[str]:
    yield from _attributes(name, one.attrs, other.attrs)
    if one.shape != other.shape or one.dtype != other.dtype:
        yield f"{name} is {one.shape} of {one.dtype}, and {other.shape} of {other.dtype}"
    elif not one.shape:
        if not _equal(one[()], other[()]):
            yield f"{name} differs"
    else:
        rows = max(1, (16 << 20) // max(1, one.dtype.itemsize * max(1, one.size // max(1, one.shape[0]))))
        for start in range(0, one.shape[0], rows):
            if not _equal(one[start : start + rows], other[start : start + rows]):
                yield f"{name} differs"
                return


def _attributes(name: str, one: Any, other: Any) -> Iterator[str]:
    for key in sorted({*one.keys(), *other.keys()}):
        if _WHEN.search(str(key).replace("_", " ")):
            continue
        if key not in one or key not in other:
            yield f"{name or '/'} has the attribute {key} in one of them only"
        elif not _equal(one[key], other[key]) and not _says_when(one[key], other[key]):
            yield f"{name or '/'}: the attribute {key} differs"


def _says_when(one: Any, other: Any) -> bool:
    """Whether both values are dates, or both ids."""
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in (one, other)]
    return any(all(kind.fullmatch(text.strip()) for text in texts) for kind in (_A_DATE, _A_UUID))


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same, bit by bit; not a number is itself."""
    import numpy as np

    first, second = np.asarray(one), np.asarray(other)
    if first.dtype.kind == "O" or second.dtype.kind == "O":
        return first.shape == second.shape and all(
            np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first.flat, second.flat, strict=True)
        )
    if first.shape != second.shape:
        return False
    if first.dtype.names:
        return all(_equal(first[field], second[field]) for field in first.dtype.names)
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind in "fc"))
