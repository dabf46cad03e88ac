"""Nodes as DIRAC jobs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gridcwl.backends.batch.states import Phase
from gridcwl.backends.dirac import jdl
from gridcwl.backends.dirac.matching import JobRequirements
from gridcwl.backends.dirac.server import Server
from gridcwl.backends.dirac.states import phase
from gridcwl.backends.nodes import NodeRequest

_OURS = "gridcwl: "
_MOST = 1 << 20
"""Bytes of a job's output that are looked at."""


def submit(server: Server, request: NodeRequest, first: int = 1, count: int = 1) -> list[int]:
    """Submit DIRAC jobs that hold a node each; returns their numbers.

    Args:
        server: DIRAC.
        request: what each of them is.
        first: the number of the first one, in its name.
        count: how many.
    """
    needs = JobRequirements(
        processors=request.cores,
        ram_mib=request.ram_mib,
        cpu_time_s=request.time_s,
        sites=(request.site,) if request.site else (),
    )
    sandbox = server.put_sandbox(request.files)
    spans = tuple(str(first + one) for one in range(count))
    numbers = server.submit(jdl.text(jdl.Batch(request.group, request.prefix, spans, "", needs, sandbox)))
    server.confirm(numbers)
    return numbers


@dataclass(frozen=True, slots=True)
class DiracNodes:
    """Implements ``NodeHost`` and ``PoolHost`` of ``gridcwl.backends.nodes``."""

    kind: ClassVar[str] = "DIRAC jobs"
    server: Server

    def check(self) -> None:
        """See ``PoolHost.check``."""
        self.server.credential()

    def start_all(self, request: NodeRequest, first: int, count: int) -> Sequence[str]:
        """See ``PoolHost.start_all``: one submission."""
        return [str(number) for number in submit(self.server, request, first, count)]

    def end_all(self, nodes: Sequence[str]) -> None:
        """See ``PoolHost.end_all``."""
        self.server.kill([int(node) for node in nodes])

    def start(self, request: NodeRequest) -> str:
        """See ``NodeHost.start``."""
        return str(submit(self.server, request)[0])

    def ended(self, node: str) -> str | None:
        """See ``NodeHost.ended``."""
        number = int(node)
        status, minor, _ = self.server.states([number]).get(number, ("Deleted", "", ""))
        if phase(status) not in (Phase.ENDED, Phase.GONE):
            return None
        last = self._last_words(number)
        return f"DIRAC job {number} ended with {status}{f' ({minor})' if minor else ''}{': ' + last if last else ''}"

    def end(self, node: str) -> None:
        """See ``NodeHost.end``."""
        self.server.kill([int(node)])

    def _last_words(self, number: int) -> str:
        """The last line that our own programs wrote."""
        content = self.server.sandbox(number)
        lines: list[str] = []
        if content is not None:
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for name in (jdl.STDOUT, jdl.STDERR):
                    member = archive.getmember(name) if name in archive.getnames() else None
                    file = archive.extractfile(member) if member is not None else None
                    text = file.read(_MOST).decode("utf-8", "replace") if file is not None else ""
                    lines += [line for line in text.splitlines() if line.startswith(_OURS)]
        return lines[-1].removeprefix(_OURS)[:1000] if lines else ""
