"""What a tool used: memory, CPU time, bytes read and written, and disk space, as the Linux kernel counts them.

A tool without a container, or in one that is a child of this process, is measured by ``/proc`` and by what the kernel
reports when the process is reaped. A container of docker or podman is measured by its control group (version 2, or 1),
which is removed with it: it is read while the container runs, and once more as soon as its output ends. Elsewhere
(macOS, an engine on another machine) nothing is measured.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

CGROUPS = "/sys/fs/cgroup"
_N = TypeVar("_N", int, float)
_MIB = 1 << 20
_PROPORTIONAL_MIB = 8 * 1024
"""Above this, it would take the kernel too long to share out the memory that processes have in common."""
_MOST_ENTRIES = 20_000
"""Entries of a job's folders; with more of them, the disk space is not measured."""
_MOST_PROCESSES = 1000
_TRIES = 10
"""How often the control group of a container is looked for; it may have none."""


class Used(NamedTuple):
    """What was used so far; None is unknown."""

    cpu_s: Optional[float] = None
    max_rss_mib: Optional[float] = None
    read_bytes: Optional[int] = None
    """By system calls, from files and pipes; of a control group at least what came from disks."""
    written_bytes: Optional[int] = None

    def most(self, other: "Used") -> "Used":
        """The larger of each: all of them only grow."""
        return Used(
            _larger(self.cpu_s, other.cpu_s),
            _larger(self.max_rss_mib, other.max_rss_mib),
            _larger(self.read_bytes, other.read_bytes),
            _larger(self.written_bytes, other.written_bytes),
        )

    def since(self, before: "Used") -> "Used":
        """What was used since then; the memory is a maximum and stays."""
        return Used(
            _less(self.cpu_s, before.cpu_s),
            self.max_rss_mib,
            _less(self.read_bytes, before.read_bytes),
            _less(self.written_bytes, before.written_bytes),
        )


UNKNOWN = Used()


def bytes_of(pid: int) -> Tuple[Optional[int], Optional[int]]:
    """Bytes read and written by a process and by those of its children that it has reaped.

    Also of a process that has ended, as long as nobody has reaped it.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/io", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None, None
    try:
        words = os.read(descriptor, 4096).split(None, 4)  # the kernel gives all of it at once
    except OSError:  # it has ended meanwhile
        return None, None
    finally:
        os.close(descriptor)
    known = len(words) > 3 and words[0] == b"rchar:" and words[2] == b"wchar:"
    return (int(words[1]), int(words[3])) if known else (None, None)


class ProcessTree:
    """A process with all its descendants."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def read(self) -> Used:
        """What they use now, together, and what those had used that were reaped by one of them."""
        pids = list(_descendants(self._pid))
        cpu_s = sum(filter(None, map(_cpu_s, pids)))
        counted = [bytes_of(pid) for pid in pids]
        return Used(
            cpu_s or None,
            _memory_mib(pids),
            _total(read for read, _ in counted),
            _total(written for _, written in counted),
        )

    def memory(self) -> Used:
        """Only the memory: the rest is known exactly when the process is reaped."""
        return Used(max_rss_mib=_memory_mib(list(_descendants(self._pid))))


class ControlGroup:
    """The control group of a container, read again and again while it is there."""

    def __init__(self, folders: Dict[str, str]) -> None:
        """``folders`` of its controllers, as :func:`group_folders` finds them."""
        self._unified = folders.get("")
        self._memory = folders.get("memory", "")
        self._cpu = folders.get("cpuacct", "")
        self._blocks = folders.get("blkio", "")
        self._cache_mib = self._seen_mib = 0.0
        self._peak_before = 0.0

    def begin(self) -> Used:
        """Count from now on, in a group that has had other processes before."""
        self._cache_mib = self._seen_mib = 0.0
        self._peak_before = self._peak() or 0.0
        return Used(cpu_s=self._cpu_s())

    def read(self) -> Used:
        """What its processes used so far."""
        return self._second() if self._unified is not None else self._first()

    def _second(self) -> Used:
        folder = self._unified
        kept = _words(f"{folder}/memory.stat")
        memory = self._memory_mib(_number(f"{folder}/memory.current"), kept.get("file", 0) - kept.get("shmem", 0))
        disk = _io_stat(f"{folder}/io.stat")
        return Used(self._cpu_s(), memory, *self._bytes(f"{folder}/cgroup.procs", disk))

    def _first(self) -> Used:
        kept = _words(f"{self._memory}/memory.stat")
        cache = kept.get("total_cache", 0) - kept.get("total_shmem", 0)
        memory = self._memory_mib(_number(f"{self._memory}/memory.usage_in_bytes"), cache)
        disk = _blkio(f"{self._blocks}/blkio.throttle.io_service_bytes_recursive")
        where = self._cpu or self._memory
        return Used(self._cpu_s(), memory, *self._bytes(f"{where}/cgroup.procs", disk))

    def _cpu_s(self) -> Optional[float]:
        if self._unified is not None:
            microseconds = _words(f"{self._unified}/cpu.stat").get("usage_usec")
            return None if microseconds is None else microseconds / 1e6
        nanoseconds = _number(f"{self._cpu}/cpuacct.usage")
        return None if nanoseconds is None else nanoseconds / 1e9

    def _memory_mib(self, now: Optional[int], cache: int) -> Optional[float]:
        """The most memory that its processes needed, without what only caches files.

        The kernel's own maximum has the cache in it. Less the largest cache that was seen it is a lower bound; what was
        seen without the cache is another one.
        """
        if now is None:
            return None
        self._cache_mib = max(self._cache_mib, cache / _MIB)
        self._seen_mib = max(self._seen_mib, (now - cache) / _MIB)
        peak = self._peak()
        if peak is None or peak <= self._peak_before:
            return max(0.0, self._seen_mib)
        return min(peak, max(self._seen_mib, peak - self._cache_mib))

    def _peak(self) -> Optional[float]:
        path = f"{self._unified}/memory.peak"
        if self._unified is None:
            path = f"{self._memory}/memory.max_usage_in_bytes"
        peak = _number(path)
        return None if peak is None else peak / _MIB

    @staticmethod
    def _bytes(processes: str, disk: Used) -> Tuple[Optional[int], Optional[int]]:
        counted = [bytes_of(int(pid)) for pid in _text(processes).split()[:_MOST_PROCESSES]]
        called = Used(None, None, _total(read for read, _ in counted), _total(written for _, written in counted))
        most = disk.most(called)
        return most.read_bytes, most.written_bytes


def group_folders(pid: int, mark: str, top: str = CGROUPS, proc: str = "/proc") -> Dict[str, str]:
    """The folders of a process' control group by controller, ``""`` for all of version 2; empty if there are none.

    Args:
        pid: a process of the container.
        mark: what its group's name has: the container's id. Another process may have the number by now.
        top: where control groups are mounted.
        proc: where processes are.
    """
    found: Dict[str, str] = {}
    for line in _text(f"{proc}/{pid}/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not mark or mark not in group:
            continue
        for controller in controllers.split(","):
            folder = _folder_of(top, controller, controllers, group)
            if folder:
                found[controller] = folder
    return found if "" not in found or len(found) == 1 else {name: at for name, at in found.items() if name}


def _folder_of(top: str, controller: str, controllers: str, group: str) -> str:
    if not controller:
        return top + group if os.path.isfile(f"{top}{group}/memory.stat") else ""
    if controller not in {"memory", "cpuacct", "blkio"}:
        return ""
    places = (f"{top}/{controller}{group}", f"{top}/{controllers}{group}")
    return next(filter(os.path.isdir, places), "")


class DockerGroups:
    """Finds the control groups of docker's containers by their ids, without a question to the engine."""

    def __init__(self, top: str = CGROUPS) -> None:
        self._top = top
        uid = os.geteuid()
        rootless = f"user.slice/user-{uid}.slice/user@{uid}.service"
        self._patterns = ["docker/{}", "system.slice/docker-{}.scope", rootless + "/user.slice/docker-{}.scope"]

    def find(self, identifier: str, pid: Optional[Callable[[], int]] = None) -> Optional[ControlGroup]:
        """The group of a running container; None if it is not on this machine.

        Args:
            identifier: of the container, whole.
            pid: asks the engine for the number of its process, where the group is at no usual place.
        """
        for pattern in self._patterns:
            group = "/" + pattern.format(identifier)
            if os.path.isfile(f"{self._top}{group}/memory.stat"):
                return ControlGroup({"": self._top + group})
            if os.path.isdir(f"{self._top}/memory{group}"):
                names = ("memory", "cpuacct", "blkio")
                return ControlGroup({name: _folder_of(self._top, name, "cpu,cpuacct", group) for name in names})
        folders = group_folders(pid(), identifier, self._top) if pid is not None else {}
        return ControlGroup(folders) if folders else None


class NamedContainer:
    """A container of docker's or podman's command line, which writes files when it has started it."""

    def __init__(self, folder: str, id_file: Optional[str] = None) -> None:
        """``folder`` is for these files; ``id_file`` is one that the command writes anyway."""
        self._id_file = id_file or f"{folder}/id"
        self._pid_file = f"{folder}/pid"
        self._found: Optional[Callable[[], Used]] = None
        self._tries = _TRIES

    def words(self, kind: str) -> List[str]:
        """Options of ``run``."""
        return [f"--cidfile={self._id_file}", *([f"--conmon-pidfile={self._pid_file}"] if kind == "podman" else [])]

    def read(self) -> Used:
        """What it used so far; unknown until it has started."""
        if self._found is not None:
            return self._found()
        group, tree = self._find()
        self._tries -= 1
        self._found = group or (tree if self._tries <= 0 else None)
        now = group or tree
        return now() if now is not None else UNKNOWN

    def _find(self) -> Tuple[Optional[Callable[[], Used]], Optional[Callable[[], Used]]]:
        """By its control group, and by its processes."""
        identifier = _text(self._id_file).strip()
        if not identifier:
            return None, None
        group = DockerGroups().find(identifier)
        monitor = _number(self._pid_file)  # podman's conmon; the container is its child
        inside = next((pid for pid in _descendants(monitor) if pid != monitor), None) if monitor else None
        if group is None and inside is not None:
            folders = group_folders(inside, identifier)
            group = ControlGroup(folders) if folders else None
        # rootless podman with version 1 has no groups
        return group.read if group is not None else None, ProcessTree(inside).read if inside is not None else None


def disk_bytes(folders: Sequence[str]) -> Optional[int]:
    """Bytes of the files in these folders. Files with several names are not counted: inputs are among them.

    None if there are very many.
    """
    left, total = _MOST_ENTRIES, 0
    waiting = list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    left -= 1
                    if left < 0:
                        return None
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                            continue
                        about = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
                        total += about.st_size
        except OSError:
            continue
    return total


# -- the kernel's files ------------------------------------------------------------------------------------------------


def _descendants(pid: int) -> Iterator[int]:
    """The process and its descendants; only itself where the kernel does not list children."""
    waiting, seen = [pid], 0
    while waiting and seen < _MOST_PROCESSES:
        one = waiting.pop()
        seen += 1
        yield one
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{one}/task"):
                waiting += map(int, _text(f"/proc/{one}/task/{thread}/children").split())


def _memory_mib(pids: List[int]) -> Optional[float]:
    resident = [size for size in map(_resident_mib, pids) if size is not None]
    if not resident:
        return None
    total = sum(resident)
    if len(resident) == 1 or total > _PROPORTIONAL_MIB:
        return total
    # what a parent shares with its children would be counted for each of them
    shared_out = [_words(f"/proc/{pid}/smaps_rollup").get("Pss:") for pid in pids]
    return total if None in shared_out else max(*resident, sum(filter(None, shared_out)) / 1024)


def _resident_mib(pid: int) -> Optional[float]:
    words = _text(f"/proc/{pid}/statm").split()
    return int(words[1]) * _PAGE / _MIB if len(words) > 1 else None


def _cpu_s(pid: int) -> Optional[float]:
    """Its own CPU time and that of the children that it has reaped; fields 14 to 17 of proc_pid_stat(5)."""
    words = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / _TICKS if len(words) > 15 else None


def _io_stat(path: str) -> Used:
    """``8:0 rbytes=1 wbytes=2 ...``: one line for each device. None at all if there is no such file."""
    read = written = 0
    text = _text(path)
    for word in text.split():
        name, _, value = word.partition("=")
        read += int(value) if name == "rbytes" else 0
        written += int(value) if name == "wbytes" else 0
    return Used(None, None, read, written) if text else UNKNOWN


def _blkio(path: str) -> Used:
    """``8:0 Read 1``: version 1 of the same."""
    read = written = 0
    lines = [line.split() for line in _text(path).splitlines()]
    for words in lines:
        if len(words) == 3:
            read += int(words[2]) if words[1] == "Read" else 0
            written += int(words[2]) if words[1] == "Write" else 0
    return Used(None, None, read, written) if read or written else UNKNOWN


def _words(path: str) -> Dict[str, int]:
    """Lines of a name and a number; what else is in them is left out."""
    found: Dict[str, int] = {}
    for line in _text(path).splitlines():
        words = line.split(None, 2)
        if len(words) > 1 and words[1].isdigit():
            found[words[0]] = int(words[1])
    return found


def _number(path: str) -> Optional[int]:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return b"".join(parts).decode("ascii", "replace")
    except OSError:  # it has ended meanwhile
        return ""
    finally:
        os.close(descriptor)


def _total(numbers: Iterator[Optional[int]]) -> Optional[int]:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _larger(one: "Optional[_N]", two: "Optional[_N]") -> "Optional[_N]":
    return two if one is None else one if two is None else max(one, two)


def _less(now: "Optional[_N]", before: "Optional[_N]") -> "Optional[_N]":
    return now if now is None or before is None else max(now - before, now - now)


_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
