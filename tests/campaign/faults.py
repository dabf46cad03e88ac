"""What goes wrong: kinds of faults, each with a target, and how it is undone."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from campaign import preload
from campaign.clients import Client
from campaign.combinations import Place
from campaign.scene import Process, Scene

_DAY = 86400
_CGROUPS = Path("/sys/fs/cgroup/memory")


@dataclass
class Attack:
    """One fault in the making: what it may reach.

    Attributes:
        undo: what has to be done for the run to be able to end.
        lasts_s: how long it lasts if the client does not end of it; 0 for what is over at once.
    """

    scene: Scene
    place: Place
    client: Client
    random: Random
    undo: list[Callable[[], None]] = field(default_factory=list)
    lasts_s: float = 0.0

    def heal(self) -> None:
        """Undo it."""
        while self.undo:
            self.undo.pop()()

    def a_process(self, *, tools: bool) -> Process | None:
        """One of the trial's processes but the client."""
        found = [one for one in self.scene.processes() if one.pid != self.client.pid and one.is_tool == tools]
        return self.random.choice(found) if found else None

    def signal(self, process: Process | None, number: int) -> bool:
        if process is None:
            return False
        process.signal(number)
        return True

    def freeze(self, process: Process | None) -> bool:
        """SIGSTOP, and SIGCONT a while later."""
        if process is None:
            return False
        process.signal(signal.SIGSTOP)
        self.undo.append(lambda: process.signal(signal.SIGCONT))
        self.lasts_s = self.random.choice((0.2, 0.5, 1.5))
        return True


Act = Callable[[Attack], bool]
"""Does it; False if there was nobody to do it to."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: for the table.
        act: does it.
        possible: whether it can be done to a place, on this machine.
        codes: what the client may exit with.
        small: needs a disk of its own for the trial.
        may_hang: a client that has not ended long after it is killed and resumed, and that is no violation.
    """

    name: str
    act: Act
    possible: Callable[[Place], bool] = lambda _place: True
    codes: tuple[int, ...] = (0, 1)
    small: bool = False
    may_hang: bool = False


def _client(attack: Attack) -> Process:
    return Process(attack.client.pid, "client")


def _kill_client(attack: Attack) -> bool:
    attack.client.kill()
    return True


def _end_client(attack: Attack) -> bool:
    return attack.signal(_client(attack), attack.random.choice((signal.SIGTERM, signal.SIGINT)))


def _memory(attack: Attack) -> bool:
    """The client may map hardly more memory than it has."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path(f"/proc/{attack.client.pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + attack.random.choice((0, 1 << 20, 4 << 20))
        resource.prlimit(attack.client.pid, resource.RLIMIT_AS, (limit, limit))
        return True
    return False


def _oom(attack: Attack) -> bool:
    """The kernel kills the client, for its control group has no more memory."""
    group = _CGROUPS / f"gridcwl-campaign-{os.getpid()}-{attack.client.pid}"
    try:
        group.mkdir()
    except OSError:
        return False

    def remove() -> None:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (_CGROUPS / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            group.rmdir()

    attack.undo.append(remove)
    with contextlib.suppress(OSError):
        (group / "memory.limit_in_bytes").write_text(str(1 << 20))
        (group / "memory.move_charge_at_immigrate").write_text("1")
    with contextlib.suppress(OSError):
        (group / "cgroup.procs").write_text(str(attack.client.pid))
    return True


def _clock(attack: Attack) -> bool:
    jumps = (-400 * _DAY, -_DAY, -5, 5, 3600, 40 * _DAY)
    by_tls = attack.place.cluster is not None or attack.place.nodes is not None  # whose certificates are of today
    preload.set_clock(attack.scene.control, attack.random.choice(jumps[3:5] if by_tls else jumps))
    return True


def _full(attack: Attack) -> bool:
    """The disk has hardly any room."""
    ballast = attack.scene.desk / "ballast"
    room = attack.random.choice((0, 0, 4096, 16384, 131072))
    about = os.statvfs(attack.scene.desk)
    size = about.f_bavail * about.f_frsize - room
    if not attack.scene.small or size <= 0:
        return False
    attack.undo.append(lambda: ballast.unlink(missing_ok=True))
    attack.lasts_s = attack.random.choice((0.3, 1.0, 3.0))
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return True


def _inodes(attack: Attack) -> bool:
    """The disk takes hardly any new file."""
    folder = attack.scene.desk / "ballast.d"
    free = os.statvfs(attack.scene.desk).f_ffree - attack.random.choice((0, 0, 1, 3, 10)) - 1
    if not attack.scene.small or free <= 0:
        return False

    def remove() -> None:
        for path in list(folder.iterdir()) if folder.exists() else []:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    attack.undo.append(remove)
    attack.lasts_s = attack.random.choice((0.3, 1.0, 3.0))
    with contextlib.suppress(OSError):
        folder.mkdir()
        for number in range(free):
            os.close(os.open(folder / str(number), os.O_CREAT | os.O_WRONLY))
    return True


def _server(name: str, how: Callable[[Attack, str], None]) -> Fault:
    words = {"_refuses": "refuses", "_frozen": "frozen", "_deaf": "loses its answers", "_slow": "slow"}

    def act(attack: Attack) -> bool:
        how(attack, name)
        server = attack.place.servers[name]
        attack.undo.append(server.heal)
        attack.lasts_s = attack.random.choice((0.3, 1.0, 2.0))
        return True

    title = {"rucio": "Rucio", "dirac": "DIRAC"}[name]
    return Fault(f"{title} {words[how.__name__]}", act, lambda place: name in place.servers)


def _refuses(attack: Attack, name: str) -> None:
    attack.place.servers[name].refuses = True


def _frozen(attack: Attack, name: str) -> None:
    attack.place.servers[name].freeze()


def _deaf(attack: Attack, name: str) -> None:
    attack.place.servers[name].deaf = attack.random.randint(1, 3)


def _slow(attack: Attack, name: str) -> None:
    attack.place.servers[name].delay_s = attack.random.choice((0.05, 0.3))


def _pilot(attack: Attack) -> bool:
    """A job's processes at a site are killed."""
    found = attack.place.pilots()
    for process in found:
        process.signal(signal.SIGKILL)
    return bool(found)


def _container(attack: Attack, action: str, back: str = "") -> bool:
    found = attack.place.containers()
    if not found:
        return False
    one = attack.random.choice(found)
    if back:
        attack.undo.append(lambda: attack.place.ask(back, one))
        attack.lasts_s = attack.random.choice((0.3, 1.0))
    return attack.place.ask(action, one)


def _dask(attack: Attack, what: str) -> bool:
    """A worker or the scheduler is killed; another one is there a moment later."""
    cluster = attack.place.cluster
    name = attack.random.choice(cluster.workers) if what == "worker" else "scheduler"
    cluster.kill(name)
    if what == "worker":
        cluster.start_worker()
    else:
        cluster.start_scheduler()
    return True


def _dask_frozen(attack: Attack) -> bool:
    cluster = attack.place.cluster
    pid = cluster.pid(attack.random.choice([*cluster.workers, "scheduler"]))
    return attack.freeze(Process(pid, "dask"))


def _node(attack: Attack) -> bool:
    """A node of the pool is killed; another one is there a moment later."""
    from gridcwl.backends.dask import pool as pools
    from gridcwl.backends.dirac.nodes import DiracNodes

    place = attack.place
    numbers = sorted(place.nodes._processes)
    if not numbers:
        return False
    try:
        place.nodes.kill_node(attack.random.choice(numbers))
    except (OSError, IndexError):
        return False
    place.pool = pools.add_workers(
        pools.load("default"), 1, DiracNodes(place.nodes), place.nodes.folder.parent / "sandbox"
    )
    return True


def _pool_frozen(attack: Attack) -> bool:
    """The scheduler of the pool, or one of its nodes."""
    place = attack.place
    pids = [place.pool.pid, *(process.pid for process in place.nodes._processes.values())]
    return attack.freeze(Process(attack.random.choice(pids), "pool"))


def _is_root() -> bool:
    return os.geteuid() == 0


ALL: tuple[Fault, ...] = (
    Fault("client killed", _kill_client, codes=(-9,)),
    Fault("client stopped by a signal", _end_client, codes=(0, 1, 130, 143, -15)),  # -15: before anything has begun
    Fault("client frozen", lambda attack: attack.freeze(_client(attack))),
    # Python 3.11 waits for ever for a thread that had no memory to begin: threading.Thread.start
    Fault("client without memory", _memory, codes=(0, 1, 134, -6, -11), may_hang=True),
    Fault("client killed by the kernel (memory)", _oom, lambda _: _is_root() and _CGROUPS.is_dir(), codes=(0, 1, -9)),
    Fault(
        "worker killed",
        lambda attack: attack.signal(attack.a_process(tools=False), signal.SIGKILL),
        lambda place: place.backend in ("bare", "docker", "podman"),
    ),
    Fault(
        "worker frozen",
        lambda attack: attack.freeze(attack.a_process(tools=False)),
        lambda place: place.backend in ("bare", "docker", "podman"),
    ),
    Fault(
        "tool killed",
        lambda attack: attack.signal(attack.a_process(tools=True), signal.SIGKILL),
        lambda place: not place.engine,
    ),
    Fault("tool frozen", lambda attack: attack.freeze(attack.a_process(tools=True)), lambda place: not place.engine),
    Fault("container killed", lambda attack: _container(attack, "kill"), lambda place: bool(place.engine)),
    Fault("container frozen", lambda attack: _container(attack, "pause", "unpause"), lambda place: bool(place.engine)),
    Fault("full disk", _full, lambda place: _is_root() and not place.engine, small=True),
    Fault("full inode table", _inodes, lambda place: _is_root() and not place.engine, small=True),
    Fault("clock set", _clock, lambda _: preload.available()),
    *(_server(name, how) for name in ("rucio", "dirac") for how in (_refuses, _frozen, _deaf, _slow)),
    Fault("pilot killed", _pilot, lambda place: place.dirac is not None),
    Fault("Dask worker killed", lambda attack: _dask(attack, "worker"), lambda place: place.cluster is not None),
    Fault("Dask scheduler killed", lambda attack: _dask(attack, "scheduler"), lambda place: place.cluster is not None),
    Fault("Dask process frozen", _dask_frozen, lambda place: place.cluster is not None),
    Fault("pool node killed", _node, lambda place: place.nodes is not None),
    Fault("pool process frozen", _pool_frozen, lambda place: place.nodes is not None),
)
BY_NAME = {fault.name: fault for fault in ALL}


def pause(seconds: float, client: Client) -> None:
    """Wait so long, or until the client has ended."""
    end = time.monotonic() + seconds
    while client.alive and time.monotonic() < end:
        time.sleep(0.01)
