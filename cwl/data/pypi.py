"""A published archive from PyPI, checked and unpacked into a cache; for the scripts next to this file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_dir


class FetchError(Exception):
    """The archive is unavailable, or has another checksum."""


@dataclass(frozen=True)
class Archive:
    """A source archive (.tar.gz) or a wheel of a package."""

    package: str
    version: str
    file: str
    sha256: str

    def unpacked(self, cache: Path | None = None) -> Path:
        """The folder of its files, fetched if missing.

        Raises:
            FetchError: it is unavailable, has another checksum, or is damaged.
            OSError: the cache cannot be written.
        """
        cache = Path(user_cache_dir("gridcwl")) if cache is None else cache
        kept = cache / f"{self.package}-{self.version}"
        if not kept.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as name:
                archive, folder = self._download(Path(name)), Path(name) / "unpacked"
                digest = hashlib.sha256(archive.read_bytes()).hexdigest()
                if digest != self.sha256:
                    raise FetchError(f"{self.file} has SHA-256 {digest} instead of {self.sha256}")
                _unpack(archive, folder)
                if not kept.is_dir():  # another process may have been first
                    folder.replace(kept)
        return kept

    def _download(self, folder: Path) -> Path:
        """Fetch it with pip, from pip's own index and with its certificates."""
        kind = "--only-binary" if self.file.endswith(".whl") else "--no-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # it may ask for a newer Python than gridcwl does: it is read here, not run
        command += [kind, ":all:", "--ignore-requires-python", "--dest", str(folder), f"{self.package}=={self.version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
            raise FetchError(lines[-1])
        return folder / self.file


def _unpack(archive: Path, folder: Path) -> None:
    """All files of an archive; those of a source archive without their top folder."""
    try:
        if archive.name.endswith(".whl"):
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)  # noqa: S202  its checksum is right
            return
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
        (top,) = folder.iterdir()
        inner = top.rename(folder.with_name("top"))
        folder.rmdir()
        inner.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise FetchError(f"{archive.name} is damaged: {error}") from error


def print_folder(archive: Archive, *below: str) -> int:
    """Print a folder of an archive; the exit code."""
    try:
        print(archive.unpacked().joinpath(*below))
    except (OSError, FetchError) as error:
        print(f"{archive.package}: {archive.file} could not be fetched: {error}", file=sys.stderr)
        return 1
    return 0
