"""Files by name: what a store says of them, and how a worker gets at their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

Site = NewType("Site", str)
"""A place where workers run; the empty name is this machine."""
HERE = Site("")


@dataclass(frozen=True, slots=True)
class FileRef:
    """The name by which a store knows a file: a URL such as ``file:///data/x.h5`` or ``rucio://scope/name``."""

    url: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a store knows of a file without moving it."""

    ref: FileRef
    size: int
    sha1: str | None = None
    """Hexadecimal, as CWL has it; None where the store keeps no such checksum."""
    adler32: str | None = None
    """Eight hexadecimal digits, as Rucio has it."""
    replicas: tuple[str, ...] = ()
    """URLs of the bytes."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file of this machine that is to be published."""

    source: str
    """Absolute path."""
    name: str
    """Relative to the dataset, ``/`` between its parts."""
    sha1: str | None = None
    """Hexadecimal, if it is known already: then the bytes need not be read again to take it."""


@dataclass(frozen=True, slots=True)
class StagePlan:
    """How a worker gets bytes: for each reference the URLs to try in turn, in the order of the references."""

    sources: tuple[tuple[str, ...], ...]
