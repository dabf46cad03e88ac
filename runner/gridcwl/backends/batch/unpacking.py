"""Archives that come back from worker nodes, read in bounded memory and time; nothing is unpacked by its own name.

A node is not trusted: an archive may be damaged, unpack to far more than it is, or hold links, devices and names that
lead elsewhere. What is large is decompressed to a temporary file, from which members are read one by one.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, cast

from gridcwl.errors import GridCWLError, LimitExceeded, ResultError
from gridcwl.model import limits, paths

_CHUNK = 1 << 20
_IN_MEMORY = 4 * limits.MIB
"""Bytes of an archive that are kept in memory; more are on disk."""


class MemberSums(NamedTuple):
    """Size and checksums of a member."""

    size: int
    sha1: str
    adler32: str


class _Place(NamedTuple):
    offset: int
    size: int


@dataclass(slots=True)
class Archive:
    """The members of an archive by their names; an empty one if there is none."""

    what: str = "The results archive"
    _file: IO[bytes] = field(default_factory=io.BytesIO)
    _files: dict[str, _Place] = field(default_factory=dict)
    _folders: set[str] = field(default_factory=set)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def has_folder(self, name: str) -> bool:
        """Whether a folder of this name is a member."""
        return name in self._folders

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names of files that begin so."""
        return (name for name in self._files if name.startswith(prefix))

    def size(self, name: str) -> int:
        """Bytes of a file; 0 if there is none of that name."""
        place = self._files.get(name)
        return place.size if place is not None else 0

    def read(self, name: str, most: int) -> bytes | None:
        """The whole of a file; None if there is none of that name.

        Raises:
            LimitExceeded: it has more bytes than this.
        """
        place = self._files.get(name)
        if place is None:
            return None
        limits.check(place.size, most, f"{self.what}: its member {paths.quoted(name)}")
        self._file.seek(place.offset)
        return self._file.read(place.size)

    def end(self, name: str, most: int) -> bytes:
        """The last bytes of a file that is for people; how many are left out stands before them."""
        place = self._files.get(name)
        if place is None:
            return b""
        left_out = max(0, place.size - most)
        self._file.seek(place.offset + left_out)
        tail = self._file.read(place.size - left_out)
        return b"... %d bytes left out ...\n%s" % (left_out, tail) if left_out else tail

    def copy(self, name: str, target: Path) -> MemberSums:
        """Write a file to this place, which is new; returns its sums.

        Raises:
            OSError: it cannot be written.
        """
        place = self._files[name]
        sha1, adler32, left = hashlib.sha1(), zlib.adler32(b""), place.size
        self._file.seek(place.offset)
        with target.open("xb") as writer:
            while left and (chunk := self._file.read(min(_CHUNK, left))):
                sha1.update(chunk)
                adler32 = zlib.adler32(chunk, adler32)
                left -= len(chunk)
                writer.write(chunk)
        return MemberSums(place.size - left, sha1.hexdigest(), f"{adler32:08x}")

    def inner(self, name: str, what: str, scratch: Path | None = None) -> Archive:
        """An archive that is a member of this one; empty if there is none of that name.

        Raises:
            LimitExceeded, ResultError: see :func:`read_archive`.
        """
        place = self._files.get(name)
        if place is None:
            return Archive(what)
        self._file.seek(place.offset)
        return read_archive(cast("IO[bytes]", _Slice(self._file, place.size)), what, limits.ARCHIVE_BYTES, scratch)


def read_archive(
    source: IO[bytes],
    what: str,
    most: int = limits.ARCHIVE_BYTES,
    scratch: Path | None = None,
    only: Collection[str] | None = None,
) -> Archive:
    """Read an archive, compressed or not.

    Args:
        source: its bytes.
        what: its role, the beginning of an error's sentence.
        most: bytes that it may unpack to.
        scratch: a folder for what is too large for memory; the system's if None.
        only: the names of the members that matter, where others are none of our business; None for all.

    Raises:
        LimitExceeded: it unpacks to more, or has too many members or one that is too large.
        ResultError: it is damaged, or a member is a link or a device, or its name leads elsewhere.
    """
    plain = _decompressed(source, what, most, scratch)
    archive = Archive(what, plain)
    size = plain.seek(0, io.SEEK_END)
    plain.seek(0)
    try:
        with tarfile.open(fileobj=_Measured(plain, size, what), mode="r:") as members:
            _index(members, archive, only)
    except GridCWLError:
        raise
    except Exception:  # noqa: BLE001  tarfile raises all kinds for what is not an archive
        raise ResultError(f"{what} is damaged: it is not a tar archive") from None
    return archive


def _index(members: tarfile.TarFile, archive: Archive, only: Collection[str] | None) -> None:
    number = 0
    while (member := members.next()) is not None:
        members.members = []  # type: ignore[attr-defined]  # it would keep all of them
        number += 1
        limits.check(number, limits.ARCHIVE_MEMBERS, archive.what, "members")
        limits.check(
            member.size, limits.ARCHIVE_MEMBER_BYTES, f"{archive.what}: its member {paths.quoted(member.name)}"
        )
        name = member.name.removeprefix("./")
        if name in ("", ".") or (only is not None and name not in only):
            continue
        name = paths.relative(name.removesuffix("/"), f"{archive.what}: a member's name")
        if member.isdir():
            archive._folders.add(name)
        elif not member.isreg() or member.sparse is not None or member.size < 0:
            raise ResultError(f"{archive.what} is refused: its member {paths.quoted(name)} is not a plain file")
        elif name in archive._files:
            raise ResultError(f"{archive.what} is refused: its member {paths.quoted(name)} is there twice")
        else:
            archive._files[name] = _Place(member.offset_data, member.size)


def _decompressed(source: IO[bytes], what: str, most: int, scratch: Path | None) -> IO[bytes]:
    head = source.read(2)
    source.seek(0)
    reader = gzip.GzipFile(fileobj=source) if head == b"\x1f\x8b" else bz2.BZ2File(source) if head == b"BZ" else source
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    plain: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch) if scratch else None)  # noqa: SIM115  the archive's
    size = 0
    try:
        while chunk := reader.read(_CHUNK):
            size += len(chunk)
            limits.check(size, most, what, "bytes when it is unpacked")
            plain.write(chunk)
    except (EOFError, zlib.error, ValueError) as error:
        raise ResultError(f"{what} is damaged: {error}") from None
    except OSError as error:
        if error.errno is not None:
            raise  # no room on this machine
        raise ResultError(f"{what} is damaged: {error}") from None
    plain.seek(0)
    return plain


class _Measured(io.RawIOBase):
    """A tar file for ``tarfile``, which would read a header of any size, and go back for ever in a crafted one."""

    def __init__(self, file: IO[bytes], size: int, what: str) -> None:
        self._file, self._what = file, what
        self._left = 2 * size + _CHUNK
        self.name = None

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _CHUNK:
            raise LimitExceeded(f"{self._what}: a header", _CHUNK)
        self._left -= max(size, 1)
        if self._left < 0:
            raise ResultError(f"{self._what} is damaged: its members overlap")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


class _Slice(io.RawIOBase):
    """The bytes of one member as a file, from where the archive's file stands."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._start, self._size = file, file.tell(), size
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        self._file.seek(self._start + self._at)
        found = self._file.read(left if size < 0 else min(size, left))
        self._at += len(found)
        return found

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
