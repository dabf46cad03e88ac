"""The worker as one file that any Python 3.9 or newer can run. Not a part of that file itself.

The modules are in it as they are, and compiled for the Python that makes the file: a node that has the same starts the
worker in half the time, and any other takes no notice.

Also loaded by the package's build, by its path: it imports nothing of gridcwl.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import marshal
import os
import tempfile
import threading
import zipfile
import zlib
from pathlib import Path
from typing import Dict

NAME = "gridcwl-worker.pyz"
_HERE = Path(__file__).resolve().parent
_MAIN = b"""import sys
from gridcwl.worker.command import main
from gridcwl.worker.orphans import ORPHANS
ORPHANS.own_process = True
sys.exit(main())
"""
_building = threading.Lock()
"""Runs of one process come here in several threads, and Python 3.11's parser does not stand that (bpo-106905)."""
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows


def worker_zipapp() -> Path:
    """The worker's zipapp: the one that came with the package, or from a source tree one that is built and cached.

    Raises:
        OSError: it has to be built, and neither the user's cache nor the temporary folder can be written.
    """
    shipped = _HERE / NAME
    if shipped.is_file():
        return shipped
    sources = _sources()
    # Named by what it is made of: another version's, or a half-edited one's, is never taken for it.
    made_of = hashlib.sha256(importlib.util.MAGIC_NUMBER + Path(__file__).read_bytes())
    for source_name, source in sorted(sources.items()):
        made_of.update(f"{source_name} {len(source)} ".encode() + source)
    name = f"worker-{made_of.hexdigest()[:16]}.pyz"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gridcwl"
    places = (cache / name, Path(tempfile.gettempdir()) / f"gridcwl-{os.getuid()}" / name)
    for path in places:
        if _holds(path, sources):
            return path
    with _building:
        data = _bytes()
    try:
        return _written(places[0], data)
    except OSError:
        return _written(places[1], data)


def _holds(path: Path, sources: Dict[str, bytes]) -> bool:
    """Whether the file is this user's and whole; to look is fifty times quicker than to build it."""
    try:
        if path.lstat().st_uid != os.getuid() or path.is_symlink():
            return False
        with zipfile.ZipFile(path) as archive:
            sums = {member.filename: member.CRC for member in archive.infolist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return all(sums.get(name) == zlib.crc32(source) for name, source in sources.items())


def build(target: Path) -> None:
    """Write the zipapp; the same sources give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_bytes())


def _bytes() -> bytes:
    buffer = io.BytesIO(b"")
    buffer.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in sorted(_members().items()):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            member.create_system = 3  # Unix, wherever it is built
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content, compresslevel=9)
    return buffer.getvalue()


def _members() -> Dict[str, bytes]:
    members = _sources()
    members |= {f"{name}c": _compiled(name, source) for name, source in members.items()}
    members["__main__.py"] = _MAIN
    return members


def _sources() -> Dict[str, bytes]:
    sources = {
        f"gridcwl/worker/{source.name}": source.read_bytes()
        for source in _HERE.glob("*.py")
        if source.name != Path(__file__).name
    }
    sources["gridcwl/__init__.py"] = (_HERE.parent / "__init__.py").read_bytes()
    return sources


def _compiled(name: str, source: bytes) -> bytes:
    """As importlib keeps it, "unchecked": the source beside it is known to be the same. Docstrings stay there."""
    unchecked = (1).to_bytes(4, "little")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
    code = compile(tree, name, "exec", dont_inherit=True, optimize=0)
    # In marshal's later versions the bytes depend on what else the process has loaded.
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + marshal.dumps(code, 2)


def _written(path: Path, data: bytes) -> Path:
    if path.is_file() and path.stat().st_uid == os.getuid() and path.read_bytes() == data:
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.chmod(temporary, 0o644)
    os.rename(temporary, path)
    return path
