"""Files by name: what a store says of them, and how a worker gets at their bytes."""

from __future__ import annotations

from typing import NewType

import msgspec

Site = NewType("Site", str)
"""A place where workers run; the empty name is this machine."""
HERE = Site("")


class FileRef(msgspec.Struct, frozen=True):
    """The name by which a store knows a file: a URL such as ``file:///data/x.h5`` or ``rucio://scope/name``."""

    url: str


class FileInfo(msgspec.Struct, frozen=True):
    """What a store knows of a file without moving it."""

    ref: FileRef
    size: int
    sha1: str | None = None
    """Hexadecimal, as CWL has it; None where the store keeps no such checksum."""
    adler32: str | None = None
    """Eight hexadecimal digits, as Rucio has it."""
    replicas: tuple[str, ...] = ()
    """URLs of the bytes."""


class NewFile(msgspec.Struct, frozen=True):
    """A file of this machine that is to be published."""

    source: str
    """Absolute path."""
    name: str
    """Relative to the dataset, ``/`` between its parts."""
    sha1: str | None = None
    """Hexadecimal, if it is known already: then the bytes need not be read again to take it."""


class StagePlan(msgspec.Struct, frozen=True):
    """How a worker gets bytes: for each reference the URLs to try in turn, in the order of the references."""

    sources: tuple[tuple[str, ...], ...]
