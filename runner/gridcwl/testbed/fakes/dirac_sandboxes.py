"""The fake DIRAC's sandboxes: archives in a folder, named by what is in them, and which jobs they belong to."""

from __future__ import annotations

import hashlib
import tarfile
import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

_STORAGE = "SB:ProductionSandboxSE|"


class SandboxStore:
    """Archives of one fake DIRAC."""

    def __init__(self, folder: Path, user: str, group: str) -> None:
        self._folder = folder
        self._owner = f"/SandBox/{user[0]}/{user}.{group}"
        self._lock = threading.Lock()
        self._assigned: dict[tuple[int, str], list[str]] = {}

    def put(self, files: Sequence[Path]) -> tuple[str, int]:
        """Keep files and folders, each by its last name; returns the archive's location, and its size in bytes."""
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
            for file in files:
                tar.add(file.resolve(), file.name)
        content = packed.getvalue()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        path = f"{self._owner}/{digest[:3]}/{digest[3:6]}/{digest}.tar.bz2"
        target = self._path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return _STORAGE + path, len(content)

    def archive(self, location: str) -> Path | None:
        """The archive of this location, if there is one."""
        path = self._path(location.removeprefix(_STORAGE))
        return path if location.startswith(_STORAGE) and path.is_file() else None

    @staticmethod
    def unpack(archive: Path, folder: Path) -> int:
        """Unpack an archive; returns how many bytes its files have."""
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
            return sum(member.size for member in tar.getmembers())

    def assign(self, job: int, kind: str, location: str) -> None:
        """From now on a job has this Input or Output."""
        with self._lock:
            self._assigned.setdefault((job, kind), []).append(location)

    def assigned(self, job: int, kind: str) -> list[str]:
        """A job's Input or Output."""
        with self._lock:
            return list(self._assigned.get((job, kind), ()))

    def _path(self, path: str) -> Path:
        return self._folder / path.removeprefix("/").replace("..", "_")
