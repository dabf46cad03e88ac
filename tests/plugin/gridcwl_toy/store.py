"""The toy store: ``toy:///DATASET/NAME`` is a file in a folder of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from gridcwl.errors import StoreError
from gridcwl.model.files import HERE, FileInfo, FileRef, NewFile, Site, StagePlan
from gridcwl.stores.base import StoreContext
from gridcwl.stores.local import LocalStore
from gridcwl_toy.plugin import ToyStoreSettings

SCHEME = "toy://"


@asynccontextmanager
async def open_store(settings: ToyStoreSettings, context: StoreContext) -> AsyncIterator[ToyStore]:
    """The store for one run."""
    yield ToyStore(context.folder / settings.folder)


class ToyStore:
    """Implements ``gridcwl.stores.base.Store``."""

    def __init__(self, folder: Path) -> None:
        self._base = folder.absolute().as_uri()
        self._files = LocalStore(folder)

    async def describe(self, refs: Sequence[FileRef]) -> Sequence[FileInfo]:
        """Sizes and checksums."""
        return [
            replace(info, ref=ref)
            for info, ref in zip(await self._files.describe(self._known(refs)), refs, strict=True)
        ]

    async def fetch(self, refs: Sequence[FileRef], into: Path) -> Sequence[Path]:
        """Copies, or other names, of the files."""
        return await self._files.fetch(self._known(refs), into)

    async def publish(self, files: Sequence[NewFile], dataset: str) -> Sequence[FileRef]:
        """All files or none."""
        made = await self._files.publish(files, dataset)
        return [FileRef(SCHEME + ref.url.removeprefix(self._base)) for ref in made]

    def access(self, refs: Sequence[FileRef], at: Site = HERE) -> StagePlan:
        """The files themselves, for workers of this machine."""
        return self._files.access(self._known(refs), at)

    def _known(self, refs: Sequence[FileRef]) -> list[FileRef]:
        for ref in refs:
            if not ref.url.startswith(SCHEME):
                raise StoreError(f"{ref.url} is not a file of the toy store")
        return [FileRef(self._base + ref.url.removeprefix(SCHEME)) for ref in refs]
