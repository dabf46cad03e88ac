#!/usr/bin/env python3
"""rapthor's own CWL, as published: its wheel from PyPI, checked and unpacked into a cache.

    cwl/data/rapthor.py      prints the folder that has ddecal_solve.cwl and the other steps

Licence: GPL 3 (ASTRON). Nothing of it is in this repository, and nothing of it is changed.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from platformdirs import user_cache_dir

VERSION = "2.1.post1"
WHEEL = f"rapthor-{VERSION}-py3-none-any.whl"
SHA256 = "d6f9f37636632cc2a03cb5acacec69a731f090f731510e3e7dcd7767834aab69"


class FetchError(Exception):
    """The wheel is unavailable, or is another one."""


def download(folder: Path) -> Path:
    """Fetch the wheel with pip, from pip's own index and with its certificates."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--ignore-requires-python", "--dest", str(folder), f"rapthor=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
        raise FetchError(lines[-1])
    return folder / WHEEL


def steps(cache: Path) -> Path:
    """The folder of the steps, fetched if missing."""
    kept = cache / f"rapthor-{VERSION}"
    if not kept.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as name:
            wheel = download(Path(name))
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            if digest != SHA256:
                raise FetchError(f"{WHEEL} has SHA-256 {digest} instead of {SHA256}")
            unpacked = Path(name) / "unpacked"
            with zipfile.ZipFile(wheel) as members:
                members.extractall(unpacked)
            if not kept.is_dir():  # another process may have been first
                unpacked.replace(kept)
    return kept / "rapthor" / "pipeline" / "steps"


def main() -> int:
    """Print the folder."""
    try:
        print(steps(Path(user_cache_dir("gridcwl"))))
    except (OSError, FetchError, zipfile.BadZipFile) as error:
        print(f"rapthor: {WHEEL} could not be fetched: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
