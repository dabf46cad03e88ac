"""What a server of the testbed offers, and what may be asked of a testbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from gridcwl.testbed.pki import Authority
    from gridcwl.testbed.place import InstallFolder
    from gridcwl.testbed.processes import StartedProcesses

Say: TypeAlias = Callable[[str], None]
"""Tells the person what is done now: one line."""

State: TypeAlias = Literal["up", "down", "dead", "paused"]
"""dead: it was started, was not stopped, and does not run."""

DEFAULT_SERVICES = ("oidc", "xrootd", "rucio", "dirac")


@dataclass(frozen=True, slots=True)
class Status:
    """How one server stands."""

    name: str
    state: State
    detail: str = ""
    pid: int | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What a testbed is to be; kept in its folder, so that ``up`` again means the same."""

    services: tuple[str, ...] = DEFAULT_SERVICES
    database: Literal["postgresql", "sqlite"] = "postgresql"
    """Rucio's."""
    policy: Literal["generic", "escape", "ctao"] = "generic"
    """Rucio's: who may do what, and what names look like."""
    pilots: int = 1
    """Pilots that run at each site that is not banned."""
    light_pilots: int = 0
    """Slots of DIRAC's light pilot, which runs many short jobs where a real one runs few."""
    max_parametric_jobs: int = 1000
    """How many jobs DIRAC makes of one parametric submission."""
    diracx_sandboxes: bool = False
    """What DIRAC's jobs leave goes to DiracX's sandbox store; else to the classic one. DiracX has to be up, then."""
    certificate_lifetime: timedelta = timedelta(days=30)
    proxy_lifetime: timedelta = timedelta(days=7)
    token_lifetime: timedelta = timedelta(hours=1)
    ports: Mapping[str, int] = field(default_factory=dict)
    """Ports that are to be these; others are chosen."""


class InstalledServer:
    """What the servers of a testbed have: where they are, what runs, who signs certificates, and what is wanted."""

    def __init__(
        self, place: InstallFolder, processes: StartedProcesses, authority: Authority, options: InstallOptions
    ) -> None:
        self._place = place
        self._processes = processes
        self._authority = authority
        self._options = options
        self._prepare()

    def _prepare(self) -> None:
        """Make the parts of one server; nothing is started yet."""


class ServerGroup(Protocol):
    """One server, or a group of servers that make no sense without each other."""

    name: str

    def install(self, say: Say) -> None:
        """Make available what it needs: an environment, Debian's packages. Quick when it is there."""

    def up(self, say: Say) -> None:
        """Make it answer. Does nothing when it does, and repairs what is half dead."""

    def down(self) -> None:
        """Stop it; what it stored stays."""

    def status(self) -> list[Status]:
        """How its servers stand, without waiting for any."""
        ...

    def exports(self) -> dict[str, str]:
        """The environment of a shell that is to use it."""
        ...
