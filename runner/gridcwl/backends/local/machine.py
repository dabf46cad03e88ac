"""What this machine has to give, and how it is given out to jobs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gridcwl.errors import ResourcesExceeded
from gridcwl.model import Job, Resources

_MIB = 1 << 20


@dataclass(slots=True)
class Ledger:
    """Cores, memory and GPUs: what there is, and what is not given out."""

    cores: float
    ram_mib: int
    gpus: int
    free_cores: float = 0.0
    free_ram_mib: int = 0
    free_gpus: int = 0

    def __post_init__(self) -> None:
        self.free_cores, self.free_ram_mib, self.free_gpus = self.cores, self.ram_mib, self.gpus

    @property
    def largest(self) -> Resources:
        """The most that one job can get."""
        return Resources(cores=self.cores, ram_mib=self.ram_mib, gpus=self.gpus)

    def refuse_giants(self, job: Job) -> None:
        """Raise for a job that could never start here.

        Raises:
            ResourcesExceeded: naming what is short.
        """
        need = job.resources
        if need.cores > self.cores:
            raise ResourcesExceeded(job.name, f"{need.cores:g} cores", f"{self.cores:g}")
        if need.ram_mib > self.ram_mib:
            raise ResourcesExceeded(job.name, f"{need.ram_mib} MiB of memory", f"{self.ram_mib} MiB")
        if need.gpus > self.gpus:
            raise ResourcesExceeded(job.name, f"{need.gpus} GPU(s)", f"{self.gpus}", "CUDARequirement")

    def take(self, job: Job) -> bool:
        """Give the job what it needs, if it is free."""
        need = job.resources
        if need.cores > self.free_cores or need.ram_mib > self.free_ram_mib or need.gpus > self.free_gpus:
            return False
        self.free_cores -= need.cores
        self.free_ram_mib -= need.ram_mib
        self.free_gpus -= need.gpus
        return True

    def give_back(self, job: Job) -> None:
        """The job has ended."""
        self.free_cores += job.resources.cores
        self.free_ram_mib += job.resources.ram_mib
        self.free_gpus += job.resources.gpus


def this_machine() -> Ledger:
    """The cores that this process may use, the machine's memory, and its NVIDIA devices."""
    return Ledger(
        cores=float(len(os.sched_getaffinity(0))),
        ram_mib=_memory_limit() // _MIB,
        gpus=len(list(Path("/dev").glob("nvidia[0-9]*"))),
    )


def _memory_limit() -> int:
    """Physical memory, or less where a control group says so, as in a batch job or a container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return total
