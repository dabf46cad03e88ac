"""Previews of outputs: which kind of file it is, and what is shown of it.

Outputs are made by tools, which are not trusted. Text and tables are read here, up to a limit. FITS and HDF5 need large
libraries: a process of its own reads them, with limits of time and memory, and as nobody if the service runs as root.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

_KINDS = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg"),
    "fits": (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"),
    "hdf5": (".h5", ".hdf5", ".hdf", ".he5", ".h5parm"),
    "csv": (".csv", ".tsv", ".ecsv"),
    "text": (".txt", ".log", ".json", ".yml", ".yaml", ".xml", ".cwl", ".md", ".py", ".sh", ".out", ".err", ".toml"),
}
_SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
_MOST_IMAGE = 32 << 20
_MOST_TEXT = 64 << 10
_MOST_TABLE = 256 << 10
_ROWS, _COLUMNS, _CELL = 100, 50, 200
_MOST_ANSWER = 16 << 20
_PATIENCE_S = 30
_KEPT = 500
"""Previews in the cache."""
_FORM = 1
"""Of what the cache holds."""
_at_a_time = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True)
class Preview:
    """What is shown of a file."""

    kind: str
    problem: str = ""
    """Why there is none."""
    text: str = ""
    cut: bool = False
    """There is more in the file."""
    rows: list[list[str]] = field(default_factory=list)
    """Of a table; the first one has the titles."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Of a FITS file: its HDUs; of an HDF5 file: its tree."""
    caption: str = ""
    image: bytes = b""
    """PNG, made from the data."""


def kind_of(name: str) -> str:
    """The kind of preview of a file, by its name; empty if there is none."""
    low = PurePath(name).name.lower()
    return next((kind for kind, ends in _KINDS.items() if low.endswith(ends) and low not in ends), "")


def is_image(path: Path, kind: str) -> bool:
    """Whether a file begins as such an image does, and is small enough to be shown."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(_SIGNATURES[kind]) and path.stat().st_size <= _MOST_IMAGE
    except OSError:
        return False


def preview(path: Path, cache: Path) -> Preview:
    """What is shown of a file. Blocks, for seconds if it is large.

    Args:
        path: of a file among the outputs.
        cache: a folder for what was made before.
    """
    kind = kind_of(path.name)
    if kind in _SIGNATURES:
        return Preview(kind, "" if is_image(path, kind) else f"It is not a {kind.upper()} image, or too large to show.")
    if kind in ("csv", "text"):
        with path.open("rb") as file:
            most = _MOST_TABLE if kind == "csv" else _MOST_TEXT
            data = file.read(most + 1)
        return _table(data, path.suffix.lower()) if kind == "csv" else _text(data)
    if kind in ("fits", "hdf5"):
        return _made(path, kind, cache)
    return Preview(kind)


def _text(data: bytes) -> Preview:
    return Preview("text", text=data[:_MOST_TEXT].decode("utf-8", "replace"), cut=len(data) > _MOST_TEXT)


def _table(data: bytes, ending: str) -> Preview:
    cut = len(data) > _MOST_TABLE
    lines = data[:_MOST_TABLE].decode("utf-8", "replace").replace("\0", "\ufffd").splitlines()
    lines = [line for line in (lines[:-1] if cut else lines) if not line.startswith("#")]
    delimiter = "\t" if ending == ".tsv" else " " if ending == ".ecsv" and "," not in "".join(lines[:1]) else ","
    if ending == ".csv" and lines and "," not in lines[0]:
        delimiter = next((sign for sign in ";\t" if sign in lines[0]), ",")
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        for row in csv.reader(lines, delimiter=delimiter):
            if len(rows) > _ROWS:
                cut = True
                break
            cut = cut or len(row) > _COLUMNS
            rows.append([cell[:_CELL] for cell in row[:_COLUMNS]])
    width = max(map(len, rows), default=0)
    return Preview("csv", cut=cut, rows=[row + [""] * (width - len(row)) for row in rows])


# -- files that a process of its own reads -----------------------------------------------------------------------------


def _made(path: Path, kind: str, cache: Path) -> Preview:
    about = path.stat()
    key = f"{_FORM}\0{path}\0{about.st_mtime_ns}\0{about.st_size}"
    known = cache / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError):
        return _read(kind, json.loads(known.read_bytes()))
    with _at_a_time:
        answer = _asked(path, kind)
    made = _read(kind, answer)
    if not made.problem:
        _keep(known, answer)
    return made


def _asked(path: Path, kind: str) -> dict[str, Any]:
    """The answer of a new process, which is given the open file and nothing else."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-m", "gridcwl.runs.previews.worker", kind]
    title = kind.upper()
    with path.open("rb") as file, tempfile.TemporaryFile() as answer:
        try:
            done = subprocess.run(
                command, stdin=file, stdout=answer, stderr=subprocess.DEVNULL, env=environment, cwd="/",
                timeout=_PATIENCE_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"problem": f"It is too large to show: reading it as {title} took more than {_PATIENCE_S} s."}
        answer.seek(0)
        data = answer.read(_MOST_ANSWER + 1)
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(data) if done.returncode == 0 and len(data) <= _MOST_ANSWER else None
        if isinstance(found, dict):
            return found
    return {"problem": f"It cannot be read as {title}, or is too large to show."}


def _read(kind: str, answer: dict[str, Any]) -> Preview:
    return Preview(
        kind,
        str(answer.get("problem", "")),
        parts=answer.get("parts", []),
        caption=str(answer.get("caption", "")),
        image=base64.b64decode(answer.get("image", "")),
    )


def _keep(place: Path, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = place.with_suffix(f".{threading.get_ident()}")
        unfinished.write_text(json.dumps(answer), "utf-8")
        unfinished.replace(place)
        old = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_KEPT]
        for path in old:
            os.unlink(path)  # noqa: PTH108
