"""What the backend asks of DIRAC, whoever answers: its own client, DiracX's, or a fake. Blocking, in batches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeAlias

from gridcwl.backends.dirac.matching import Limits
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.sites import DiracSite

State: TypeAlias = tuple[str, str, str]
"""Status, minor status, application status."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Who we are at DIRAC, and for how long."""

    user: str
    group: str
    ends: datetime
    """UTC."""
    name: str = "the proxy"
    renewal: str = "dirac-proxy-init"
    """What renews it."""


@dataclass(frozen=True, slots=True)
class FoundJob:
    """An active DIRAC job of ours."""

    place: JobStatus
    name: str


class Server(Protocol):
    """A DIRAC installation.

    Every method may raise:
        DiracUnreachable: it does not answer now.
        DiracCredential: there is no valid proxy or token.
        DiracRefused: it says no.

    Attributes:
        survives: jobs keep running when their client is gone, and can be found again.
    """

    survives: bool

    def most_jobs(self) -> int | None:
        """How many jobs one submission may have; None if the server does not say."""

    def limits(self) -> Limits:
        """What it takes."""

    def offers(self) -> Sequence[DiracSite]:
        """What its sites offer; empty if that is not known."""

    def credential(self) -> Credential:
        """Who we are, from what lies on this machine."""

    def put_sandbox(self, files: Sequence[Path]) -> str:
        """Leave an input sandbox; returns what job descriptions call it."""

    def submit(self, jdl: str) -> list[int]:
        """Submit a parametric description; the jobs do not start before they are confirmed.

        Returns their numbers in the order of the parameters.
        """

    def confirm(self, jobs: Sequence[int]) -> None:
        """Let submitted jobs start."""

    def states(self, jobs: Collection[int]) -> Mapping[int, State]:
        """Of all these jobs, in one call; those that it does not know are left out."""

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        """Where these jobs run or ran."""

    def find(self, group: str) -> Sequence[FoundJob]:
        """All jobs of a group."""

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        """The last lines that jobs have written, in one call; of those that DIRAC keeps any of."""

    def sandbox(self, job: int) -> bytes | None:
        """A job's output sandbox, an archive; None if it left none."""

    def kill(self, jobs: Iterable[int]) -> None:
        """Stop jobs, whatever they do. One that is between two states may be left: look, and try again."""

    def parameters(self, job: int) -> Mapping[str, str]:
        """Parameters of a job that DIRAC keeps, such as the last lines of its output."""
