"""A staged tree moved into place as one transaction: all of it or nothing.

What is replaced gets a second name first, so no moment leaves a name without a file. When a rename fails, and when the
process was killed among the renames, what was moved is taken back and what was replaced returns.

    .gridcwl-TAG/new/      the staged tree
    .gridcwl-TAG/old/      second names of what is replaced
    .gridcwl-TAG/moves     what is being moved; while it is there, the transaction is open
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gridcwl.errors import OutputConflict, UnsafePath
from gridcwl.model import paths

HIDDEN = ".gridcwl-"
"""How the names of working folders in a target begin."""

_FEW = 32
"""Files that are written to disk one by one; for more, one call for the whole file system is quicker (measured: 1,000
files in 0.03 to 0.13 s instead of 0.3 to 3.7 s)."""
_DANGEROUS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)
"""What file systems say that cannot do it, or not for a file that may only be read."""


class Moved(NamedTuple):
    """A file as it is when it has been moved: what recognises it later."""

    name: str
    """Relative to the target."""
    size: int
    inode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class _Moves:
    """The record of an open transaction."""

    folders: list[str]
    """Folders that were made."""
    replaced: list[str]
    """Files that were there; the n-th one's second name is ``old/n``."""
    made: list[Moved]
    removed: list[str]
    """Files that were there and are to go; their second names follow those of ``replaced``."""


def move(
    work: Path,
    target: Path,
    removing: Sequence[str] = (),
    *,
    durable: bool = True,
    record: Callable[[list[Moved]], None] = lambda _files: None,
) -> list[Moved]:
    """Move ``work/new`` into the target and write it to disk.

    Args:
        work: the working folder, on the same file system as the target.
        target: it is there.
        removing: names of files in the target that go at the same time.
        durable: wait until it is on disk.
        record: called with the files that were moved while that can still be taken back: a process that is killed
            leaves either all of it or nothing.

    Returns:
        The files that were moved.

    Raises:
        OutputConflict: a file is where a folder has to go, or the other way round; nothing was moved then.
        OSError: something could not be moved; everything is as it was then.
    """
    folders, files, staged = _staged(work / "new", target)
    if durable:
        _sync([f"{work}/new/{file.name}" for file in files], work)
    replaced = [file.name for file in files if os.path.lexists(f"{target}/{file.name}")]
    moves = _Moves([name for name in folders if not (target / name).is_dir()], replaced, files, list(removing))
    (work / "old").mkdir()
    for number, name in enumerate([*replaced, *removing]):
        _second_name(target / name, work / "old" / str(number))
    _write(moves, work)
    try:
        _rename(moves, folders, staged, target)
        if durable:
            _sync_folders([target, *(target / name for name in folders)])
        record(files)
    except BaseException:
        roll_back(work, target)
        raise
    (work / "moves").unlink()
    return files


def roll_back(work: Path, target: Path) -> bool:
    """Take back an open transaction; False if there is none. May be done again after it was interrupted itself."""
    record = _read(work)
    if record is None:
        return False  # not yet written: nothing was moved
    replaced = set(record.replaced)
    for file in record.made:
        final = target / file.name
        if file.name not in replaced and not os.path.lexists(work / "new" / file.name) and _is_same(final, file):
            final.unlink()
    for number, name in enumerate([*record.replaced, *record.removed]):
        with contextlib.suppress(FileNotFoundError):
            os.replace(work / "old" / str(number), target / name)  # noqa: PTH105
    for name in reversed(record.folders):
        with contextlib.suppress(OSError):
            (target / name).rmdir()
    (work / "moves").unlink()
    return True


def discard(target: Path, tag: str) -> None:
    """Take back and remove what a killed process of this tag left in a target."""
    work = target / f"{HIDDEN}{tag}"
    roll_back(work, target)
    shutil.rmtree(work, ignore_errors=True)


def recover(target: Path) -> list[str]:
    """Take back what killed processes left half-moved in a target that nobody else works on; returns the tags."""
    found = []
    with contextlib.suppress(OSError), os.scandir(target) as entries:
        works = [Path(entry.path) for entry in entries if entry.name.startswith(HIDDEN)]
        for work in works:
            if roll_back(work, target):
                shutil.rmtree(work, ignore_errors=True)
                found.append(work.name.removeprefix(HIDDEN))
    return found


def refuse_other_kind(final: Path, *, directory: bool) -> None:
    """Refuse to put a directory where a file is, or a file where a directory is: neither takes the other's place.

    Raises:
        OutputConflict: that is so.
    """
    if directory and os.path.lexists(final) and not final.is_dir():
        raise OutputConflict(str(final), "a file of that name is in the place of a directory")
    if not directory and final.is_dir():
        raise OutputConflict(str(final), "a directory of that name is in the place of a file")


def _staged(new: Path, target: Path) -> tuple[list[str], list[Moved], list[tuple[str, str, list[str]]]]:
    """Folders and files to be moved, by name, and folder by folder. Takes dangerous bits away from the files."""
    folders: list[str] = []
    files: list[Moved] = []
    staged: list[tuple[str, str, list[str]]] = []
    for folder, inner, names in os.walk(new):
        inner.sort()
        below = os.path.relpath(folder, new)
        prefix = "" if below == "." else f"{below}/"
        final = target / prefix
        if prefix:
            folders.append(below)
            refuse_other_kind(final, directory=True)
        for name in names:
            if os.path.isdir(f"{final}/{name}"):  # noqa: PTH112  called for every file of a run
                refuse_other_kind(final / name, directory=False)
            files.append(_described(f"{folder}/{name}", prefix + name))
        staged.append((folder, prefix, names))
    return folders, files, staged


def _described(path: str, name: str) -> Moved:
    about = os.lstat(path)
    if about.st_mode & _DANGEROUS and stat.S_ISREG(about.st_mode):
        os.chmod(path, stat.S_IMODE(about.st_mode) & ~_DANGEROUS)  # noqa: PTH101
    return Moved(name, about.st_size, about.st_ino, about.st_mtime_ns)


def _rename(record: _Moves, folders: list[str], staged: list[tuple[str, str, list[str]]], target: Path) -> None:
    for name in folders:
        (target / name).mkdir(exist_ok=True)
    for folder, prefix, names in staged:
        final = f"{target}/{prefix}"
        for name in names:
            os.replace(f"{folder}/{name}", f"{final}{name}")  # noqa: PTH105  called for every file of a run
    for name in record.removed:
        (target / name).unlink(missing_ok=True)


def _second_name(file: Path, other: Path) -> None:
    try:
        os.link(file, other, follow_symlinks=False)
    except FileNotFoundError:
        return  # it went at this moment
    except OSError:  # a file system without hard links
        shutil.copy2(file, other, follow_symlinks=False)


def _write(record: _Moves, work: Path) -> None:
    partial = work / "moves.part"
    with partial.open("w", encoding="ascii") as file:  # names that are not UTF-8 are escaped
        json.dump({name: getattr(record, name) for name in _Moves.__slots__}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(work / "moves")


def _read(work: Path) -> _Moves | None:
    """The record of an open transaction; None if there is none, or if it is not one that this user's runs have left.

    An output directory may be shared with other users, and what lies in it was made by tools.
    """
    try:
        if not _is_own(os.lstat(work), stat.S_ISDIR):
            return None
        descriptor = os.open(work / "moves", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii") as file:  # noqa: PTH123
            text = file.read() if _is_own(os.fstat(descriptor), stat.S_ISREG) else ""
        plain = json.loads(text)
        made = [Moved(str(name), int(size), int(inode), int(mtime)) for name, size, inode, mtime in plain.pop("made")]
        record = _Moves(made=made, **plain)
        for name in itertools.chain(record.folders, record.replaced, record.removed, (file.name for file in made)):
            paths.relative(name, "A name in the record of a publication")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, UnsafePath):
        return None
    return record


def _is_own(about: os.stat_result, kind: Callable[[int], bool]) -> bool:
    return kind(about.st_mode) and about.st_uid == os.geteuid()


def _is_same(path: Path, file: Moved) -> bool:
    try:
        about = path.lstat()
    except OSError:
        return False
    return (about.st_size, about.st_ino, about.st_mtime_ns) == file[1:]


def _sync(files: Sequence[str], place: Path) -> None:
    """See that the bytes of files are on disk."""
    if len(files) > _FEW and _sync_file_system(place):
        return
    if len(files) > _FEW:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(_sync_one, files))
        return
    for file in files:
        _sync_one(file)


def _sync_folders(folders: Iterable[Path]) -> None:
    _sync([str(folder) for folder in folders], next(iter(folders)))


def _sync_one(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # a file that may not be read: whoever wrote it keeps it from us
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def _sync_file_system(place: Path) -> bool:
    """``syncfs(2)``, which Python does not have; False if missing."""
    with _opened(place) as descriptor:
        try:
            call = ctypes.CDLL(None, use_errno=True).syncfs
        except (AttributeError, OSError):
            return False
        if call(descriptor) == 0:
            return True
        number = ctypes.get_errno()
        if number in _NO_SYNC:
            return False
        raise OSError(number, os.strerror(number), str(place))


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
