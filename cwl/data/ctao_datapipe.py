#!/usr/bin/env python3
"""CTAO's own CWL, as published: the source archive of ctao-datapipe from PyPI, checked and unpacked into a cache.

    cwl/data/ctao_datapipe.py      prints the folder that has workflow_dl0_to_dl2.cwl and the others

Licence: BSD 3-clause (CTAO). Nothing of it is in this repository, and nothing of it is changed.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from platformdirs import user_cache_dir

VERSION = "0.5.0"
ARCHIVE = f"ctao_datapipe-{VERSION}.tar.gz"
SHA256 = "75b0d44653a33e72bed20addd321b4a48a70ce16e2662a531100cb7bb9afeb9b"


class FetchError(Exception):
    """The archive is unavailable, or has another checksum."""


def download(folder: Path) -> Path:
    """Fetch the archive with pip, from pip's own index and with its certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # it asks for a newer Python than gridcwl does: it is read here, not run
    command += ["--no-binary", ":all:", "--ignore-requires-python", "--dest", str(folder), f"ctao-datapipe=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
        raise FetchError(lines[-1])
    return folder / ARCHIVE


def workflows(cache: Path) -> Path:
    """The folder of the workflows, fetched if it is not there."""
    kept = cache / f"ctao-datapipe-{VERSION}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as name:
            archive = download(Path(name))
            digest = hashlib.sha256(archive.read_bytes()).hexdigest()
            if digest != SHA256:
                raise FetchError(f"{ARCHIVE} has SHA-256 {digest} instead of {SHA256}")
            with tarfile.open(archive) as members:
                members.extractall(name, filter="data")
            # another process may have been first
            unpacked = Path(name) / ARCHIVE.removesuffix(".tar.gz")
            if not kept.is_dir():
                unpacked.replace(kept)
    return kept / "workflows"


def main() -> int:
    """Print the folder."""
    try:
        print(workflows(Path(user_cache_dir("gridcwl"))))
    except (OSError, FetchError, tarfile.TarError) as error:
        print(f"ctao_datapipe: {ARCHIVE} could not be fetched: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
