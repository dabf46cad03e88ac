"""Files in folders of this machine: the store of a run that leaves nothing anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

from gridcwl.errors import OutputConflict, StoreError, UnsafePath
from gridcwl.model import paths
from gridcwl.model.files import HERE, FileInfo, FileRef, NewFile, Site, StagePlan
from gridcwl.stores import transaction
from gridcwl.stores.base import RunStore, Store, StoreContext
from gridcwl.worker.paths import file_url

_CHUNK = 1 << 20


class Sums(NamedTuple):
    """What one pass over the bytes gives."""

    size: int
    sha1: str
    adler32: str


class LocalStore:
    """Implements ``gridcwl.stores.base.Store``; a dataset is a folder below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def describe(self, refs: Sequence[FileRef]) -> Sequence[FileInfo]:
        """See ``Store.describe``. Reads the files, for nothing here remembers their checksums."""
        return await asyncio.to_thread(lambda: [_described(ref) for ref in refs])

    async def fetch(self, refs: Sequence[FileRef], into: Path) -> Sequence[Path]:
        """See ``Store.fetch``: a second name where the file system allows it, else a copy."""
        return await asyncio.to_thread(self._fetch, refs, into)

    async def publish(self, files: Sequence[NewFile], dataset: str) -> Sequence[FileRef]:
        """See ``Store.publish``."""
        return await asyncio.to_thread(self._publish, files, dataset)

    def access(self, refs: Sequence[FileRef], at: Site = HERE) -> StagePlan:
        """See ``Store.access``.

        Raises:
            StoreError: the worker is elsewhere, where it cannot see these files.
        """
        if at != HERE:
            raise StoreError(
                f"Files of this machine are not available at {at}", remedy="Use a store that both can reach (--store)."
            )
        return StagePlan(tuple((ref.url,) for ref in refs))

    def _fetch(self, refs: Sequence[FileRef], into: Path) -> list[Path]:
        names: set[Path] = set()
        with explained(into), AtomicPublication(into) as placement:
            found = []
            for ref in refs:
                source = path_of(ref.url)
                name = _unused(Path(source.name), names)
                if not placement.link(source, name):
                    placement.copy(source, name)
                found.append(into / name)
            placement.commit()
        return found

    def _publish(self, files: Sequence[NewFile], dataset: str) -> list[FileRef]:
        folder = paths.join(self._root, dataset, "The name of a dataset")
        with explained(folder), AtomicPublication(folder) as placement:
            for file in files:
                source, name = Path(file.source), Path(file.name)
                final = folder / name
                if final.is_file():
                    if sums_of(final).sha1 == (file.sha1 or sums_of(source).sha1):
                        continue
                    raise OutputConflict(str(final), "other bytes have that name")
                placement.copy(source, name)
            placement.commit()
        return [FileRef(uri(folder / file.name)) for file in files]


@dataclass(slots=True)
class AtomicPublication:
    """Files put together in a hidden folder, and moved to where they belong by renaming: all of them or none.

    Used as a context manager; what was not committed is gone afterwards, and so is a target folder that was made for
    nothing.
    """

    target: Path
    tag: str = ""
    """For the hidden folder's name. What an earlier, killed placement of the same tag left there goes."""
    check: Callable[[], None] | None = None
    """Called before each file, and while large ones are copied: raises if nothing is to be placed any more."""
    _work: Path = field(init=False)
    _hidden: Path = field(init=False)
    _made: list[Path] = field(init=False, default_factory=list)

    def __enter__(self) -> Self:
        self._work = self.target / f"{transaction.HIDDEN}{self.tag or secrets.token_hex(6)}"
        self._hidden = self._work / "new"
        self._made = [folder for folder in (self.target, *self.target.parents) if not folder.exists()]
        if self._work.is_symlink():
            self._work.unlink()  # somebody else's: gridcwl makes folders
        if self._work.exists():
            transaction.roll_back(self._work, self.target)
            shutil.rmtree(self._work)
        self._hidden.mkdir(parents=True)
        return self

    def __exit__(self, *_error: object) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        with contextlib.suppress(OSError):
            for folder in self._made:
                folder.rmdir()  # goes only if it is empty: then nothing was put there

    def link(self, source: Path, name: Path) -> bool:
        """Give a file a second name; False where the file system does not allow it."""
        try:
            os.link(source, self._prepared(name), follow_symlinks=True)
        except FileNotFoundError:
            raise
        except OSError:
            return False
        return True

    def copy(self, source: Path, name: Path) -> Sums:
        """Copy a file and take its checksums in the same pass."""
        with source.open("rb") as reader, self._prepared(name).open("xb") as writer:

            def write(chunk: bytes) -> None:
                if self.check is not None:
                    self.check()
                writer.write(chunk)

            sums = _read(reader.read, write)
        shutil.copystat(source, self._hidden / name)
        return sums

    def write(self, text: bytes, name: Path) -> Sums:
        """Write a small file."""
        with self._prepared(name).open("xb") as writer:
            writer.write(text)
        return Sums(len(text), hashlib.sha1(text).hexdigest(), f"{zlib.adler32(text):08x}")

    def scratch(self) -> Path:
        """A folder on the target's file system, for what is not to be placed; whoever asks for it removes it."""
        return Path(tempfile.mkdtemp(prefix=".gridcwl-scratch-", dir=self.target))

    def folder(self, name: Path) -> None:
        """Make a folder.

        Raises:
            UnsafePath: it would not be below the target.
        """
        if name.parts:
            self._inside(name).mkdir(parents=True, exist_ok=True)

    def leave_out(self, name: str) -> None:
        """Do not place a file after all."""
        (self._hidden / name).unlink()

    def commit(
        self,
        removing: Sequence[str] = (),
        *,
        durable: bool = True,
        record: Callable[[list[transaction.Moved]], None] = lambda _files: None,
    ) -> list[transaction.Moved]:
        """Move everything into place, and write it to disk; files that are there are replaced.

        Args:
            removing: names of files in the target that go at the same time.
            durable: wait until it is on disk.
            record: called with what was moved, while that can still be taken back.

        Raises:
            OutputConflict: a file is where a folder has to go, or the other way round; nothing was moved then.
            OSError: something could not be moved; all that was moved is back where it was then.
        """
        if self.check is not None:
            self.check()
        return transaction.move(self._work, self.target, removing, durable=durable, record=record)

    def _prepared(self, name: Path) -> Path:
        if self.check is not None:
            self.check()
        hidden = self._inside(name)
        if name.parent.parts:
            hidden.parent.mkdir(parents=True, exist_ok=True)
        return hidden

    def _inside(self, name: Path) -> Path:
        what = "The path of an output"
        hidden = paths.join(self._hidden, str(name), what)
        if f"/{transaction.HIDDEN}" in f"/{name}":  # a later run would take it for what a killed one has left
            reason = f"has a name that begins with {transaction.HIDDEN}, which is reserved for unfinished publications"
            raise UnsafePath(what, paths.quoted(str(name)), reason)
        return hidden


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turn what the operating system says into a sentence.

    Raises:
        StoreError: for every OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message, remedy = f"No space is left in {place}", "Free some space, or choose another --outdir."
        elif error.errno in (errno.EACCES, errno.EROFS):
            message, remedy = f"{place} cannot be written to: {error.strerror}", "Choose another --outdir."
        else:
            message = f"Cannot put files into {place}: {error.strerror} ({error.filename or place})"
            remedy = "Choose another --outdir."
        raise StoreError(message, remedy=remedy) from error


def sums_of(path: Path) -> Sums:
    """Size and checksums of a file."""
    with path.open("rb") as reader:
        return _read(reader.read, None)


def _read(read: Callable[[int], bytes], write: Callable[[bytes], None] | None) -> Sums:
    sha1, adler32, size = hashlib.sha1(), zlib.adler32(b""), 0
    while chunk := read(_CHUNK):
        sha1.update(chunk)
        adler32 = zlib.adler32(chunk, adler32)
        size += len(chunk)
        if write is not None:
            write(chunk)
    return Sums(size, sha1.hexdigest(), f"{adler32:08x}")


def _described(ref: FileRef) -> FileInfo:
    try:
        sums = sums_of(path_of(ref.url))
    except OSError as error:
        raise StoreError(f"{ref.url} cannot be read: {error.strerror}") from error
    return FileInfo(ref, sums.size, sums.sha1, sums.adler32, (ref.url,))


def _unused(name: Path, taken: set[Path]) -> Path:
    free, number = name, 1
    while free in taken:
        number += 1
        free = name.with_name(f"{name.name}_{number}")
    taken.add(free)
    return free


def path_of(url: str) -> Path:
    """The path in a ``file://`` URL.

    Raises:
        StoreError: it is a URL of another kind.
        UnsafePath: it is a file of another host, or its path is not acceptable.
    """
    if not url.startswith("file://"):
        raise StoreError(f"{paths.quoted(url)} is not a file of this machine")
    return Path(paths.file_path(url, "The location of a file of this machine"))


def uri(path: Path) -> str:
    """The ``file://`` URL of an absolute path."""
    return file_url(str(path))


@asynccontextmanager
async def open_store(_settings: object, context: StoreContext) -> AsyncIterator[Store]:
    """The local store of a run, in the context's folder."""
    yield LocalStore(context.folder)


def open_run_store(_settings: object, _known: object = None) -> RunStore:
    """Files of this machine for a run."""
    from gridcwl.stores.local_runs import LocalRunStore

    return LocalRunStore()
