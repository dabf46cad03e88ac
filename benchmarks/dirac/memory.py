"""The whole life of many jobs in a process of its own, with a DIRAC that costs nothing: what gridcwl itself takes.

    python benchmarks/dirac/memory.py 10000

Prints the process's peak memory in MiB, and milliseconds of CPU a job, a word each.
"""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import re
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def iter_jobs(run: str, number: int) -> Iterator[Any]:
    """Shards of /bin/true."""
    from gridcwl.model import Job, JobId, OutputRules, RunId

    for n in range(1, number + 1):
        yield Job(JobId(f"{run}-1-{n}"), RunId(run), f"true[{n}]", ("/bin/true",), outputs=OutputRules(()))


class AtOnce:
    """A DIRAC whose jobs are done as soon as they are confirmed, each with its result: it keeps their numbers only."""

    survives = True

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._last = 0

    def most_jobs(self) -> int | None:
        return self._limit

    def limits(self) -> Any:
        from gridcwl.backends.dirac.matching import Limits

        return Limits()

    def offers(self) -> Sequence[Any]:
        return ()

    def credential(self) -> Any:
        from gridcwl.backends.dirac.server import Credential

        return Credential("bench", "bench", datetime.max.replace(tzinfo=UTC))

    def put_sandbox(self, files: Sequence[Path]) -> str:
        return f"SB:bench|/{len(files)}"

    def submit(self, jdl: str) -> list[int]:
        found = re.search(r'JobName = "(.*)%s', jdl)
        assert found is not None
        self._prefix = found[1]
        begin, self._last = self._last + 1, self._last + int(jdl.partition("Parameters = ")[2].partition(";")[0])
        return list(range(begin, self._last + 1))

    def confirm(self, jobs: Sequence[int]) -> None:
        pass

    def states(self, jobs: Collection[int]) -> Mapping[int, Any]:
        return dict.fromkeys(jobs, ("Done", "Execution Complete", ""))

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        return dict.fromkeys(jobs, "LCG.Bench.org")

    def find(self, group: str) -> Sequence[Any]:  # noqa: ARG002
        return ()

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        return {number: self._report(f"{self._prefix}{number}") for number in jobs}

    def _report(self, job: str) -> str:
        buffer = io.BytesIO()
        content = json.dumps({"id": job, "outcome": "success", "exit_code": 0}).encode()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo(f"{job}/result.json")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return f"gridcwl-results LCG.Bench.org {base64.b64encode(buffer.getvalue()).decode()}"

    def sandbox(self, job: int) -> bytes | None:  # noqa: ARG002
        return None

    def kill(self, jobs: Iterable[int]) -> None:
        pass

    def parameters(self, job: int) -> Mapping[str, str]:  # noqa: ARG002
        return {}


def live(number: int) -> None:
    """The whole life of so many jobs, handed over as a run does it: no more at a time than the window has room for."""
    from gridcwl.backends.dirac.backend import DiracBackend, DiracOptions
    from gridcwl.runs.record.folder import new_run_id

    async def life(folder: Path) -> float:
        run = new_run_id()
        jobs = iter_jobs(run, number)
        async with DiracBackend(AtOnce(), DiracOptions(folder, poll_first_s=0.05), run=run) as backend:
            begun = time.process_time()
            under_way = left = 0
            window = backend.capabilities.window
            results = backend.results()
            while some := list(itertools.islice(jobs, window - under_way)):
                await backend.submit(some)
                under_way += len(some)
                while under_way > window // 2 or (under_way and left + under_way >= number):
                    if (result := (await anext(results)).result) is not None:
                        assert result.outcome == "success", result
                        under_way, left = under_way - 1, left + 1
            return time.process_time() - begun

    with tempfile.TemporaryDirectory(prefix="gridcwl-bench-") as folder:
        spent = asyncio.run(life(Path(folder)))
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} {1000 * spent / number:.2f}")


if __name__ == "__main__":
    live(int(sys.argv[1]))
