"""What a store is: it names bytes, moves them, and says how a worker gets at them. No CWL and no jobs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from gridcwl.model import RunId
from gridcwl.model.files import HERE, FileInfo, FileRef, NewFile, Site, StagePlan


class NoSettings(msgspec.Struct, frozen=True):
    """Settings of a plugin that has none."""


@dataclass(frozen=True, slots=True)
class StorePlugin:
    """A store, as an entry point of the group ``gridcwl.stores`` declares it."""

    name: str
    summary: str
    """For ``--help``: what follows "NAME: "."""
    module: str
    """Imported when the store is opened; its ``open_store(settings, context)`` returns an asynchronous context manager
    that gives a :class:`Store`."""
    settings: type = NoSettings
    """A frozen ``msgspec.Struct``; see ``gridcwl.settings``. Every field has a default."""
    table: str = ""
    """The table of the configuration file that holds the settings."""
    packages: tuple[str, ...] = ()
    """Packages that have to be installed, as they are imported."""
    install: str = ""
    """What to do if they are not; empty: gridcwl's extra that brings them."""
    reads: frozenset[str] = frozenset()
    """Which options of the command line, beside its settings, it reads."""
    hooks: frozenset[str] = frozenset()
    """Optional functions of the module."""
    between_jobs: bool = False
    """It carries files between the jobs of a run. Other stores cannot be chosen for runs yet."""


@dataclass(frozen=True, slots=True)
class StoreContext:
    """The run that a store is opened for."""

    run: RunId
    folder: Path
    """A folder of this machine, for a store that holds its files there."""


class Store(Protocol):
    """Where bytes live. Everything that may ask a server takes a batch; answers are in the order of the questions."""

    async def describe(self, refs: Sequence[FileRef]) -> Sequence[FileInfo]:
        """Size, checksums and replicas of files.

        Raises:
            StoreError: one of them is not there; naming it.
        """

    async def fetch(self, refs: Sequence[FileRef], into: Path) -> Sequence[Path]:
        """Bring the bytes to this machine, into a folder that is made if it is not there.

        The files keep their names; where two have the same, the later one gets a number. What is given is for reading:
        it may be the store's own bytes.

        Raises:
            StoreError: one is not there or there is no room; then nothing is left in the folder.
        """

    async def publish(self, files: Sequence[NewFile], dataset: str) -> Sequence[FileRef]:
        """Keep files below the name ``dataset``. A file appears under its name whole or not at all.

        To publish the same bytes under the same name again does nothing and gives the same reference.

        Raises:
            OutputConflict: other bytes, or a folder, have one of the names; then none of the files is published.
            StoreError: there is no room or no permission, or a source is not there; likewise.
        """

    def access(self, refs: Sequence[FileRef], at: Site = HERE) -> StagePlan:
        """How a worker at that place gets these bytes. Asks nobody, for it is called for every job."""
