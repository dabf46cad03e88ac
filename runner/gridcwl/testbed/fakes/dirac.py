"""A DIRAC within this process: the calls that gridcwl makes of DIRAC's clients, with the same answers.

    with FakeDirac(folder) as dirac:
        submitted = dirac.wms().submitJob('Executable = "/bin/sh"; Arguments = "run.sh"; InputSandbox = {"run.sh"};')
        dirac.monitoring().getJobsStates([submitted["Value"]])

Jobs run as local processes, at sites with so many processors, so much memory and such tags as those of the testbed.
What a site cannot do, it is not given; what no site can do, waits. A payload has a working directory, sandboxes and
environment as a JobWrapper makes them. Answers are DIRAC's return values: ``{"OK": True, "Value": ...}``,
``{"OK": False, "Message": ...}``. What a job passes through in microseconds (Matched, Completing) is not shown.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gridcwl.testbed.fakes.dirac_answers import Configuration, Result, configuration, ok, unreachable
from gridcwl.testbed.fakes.dirac_clients import (
    JobManagerClient,
    JobMonitoringClient,
    SandboxStoreClient,
    SiteStatus,
    WMSClient,
)
from gridcwl.testbed.fakes.dirac_jobs import FakeJob, JobPlace, PayloadOutcome, start
from gridcwl.testbed.fakes.dirac_sandboxes import SandboxStore
from gridcwl.testbed.fakes.jdl import ParsedJdl
from gridcwl.testbed.sites import SITES, Site


class FakeDirac:
    """A whole DIRAC: its clients are made by the attributes that are called as they are in DIRAC's own modules."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        sites: Sequence[Site] = SITES,
        max_parametric_jobs: int = 1000,
        user: str = "runner",
        group: str = "gridcwl_user",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """An empty DIRAC.

        Args:
            folder: where jobs run and sandboxes are kept; a temporary one by default, which goes with :meth:`close`.
            environment: what payloads see beside what a JobWrapper adds; this process's environment by default.
        """
        self._own = None if folder else Path(tempfile.mkdtemp(prefix="gridcwl-fake-dirac-"))
        self.folder = folder or self._own
        assert self.folder is not None
        self.sites = {site.name: site for site in sites}
        self.max_parametric_jobs = max_parametric_jobs
        self.user, self.group = user, group
        self.proxy_ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        self.answers = True
        """False: as if no server could be reached."""
        self.store = SandboxStore(self.folder / "sandboxes", user, group)
        self._environment = environment
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._jobs: dict[int, FakeJob] = {}
        self._waiting: dict[int, FakeJob] = {}
        self._free = {site.name: site.processors for site in sites if not site.banned}
        self._last = 0
        self._closed = False

    # ----------------------------------------------------------------------- what DIRAC's modules have, by their names

    def wms(self, **_: Any) -> WMSClient:
        """DIRAC.WorkloadManagementSystem.Client.WMSClient."""
        return WMSClient(self)

    def manager(self, **_: Any) -> JobManagerClient:
        """DIRAC.WorkloadManagementSystem.Client.JobManagerClient."""
        return JobManagerClient(self)

    def monitoring(self, **_: Any) -> JobMonitoringClient:
        """DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient."""
        return JobMonitoringClient(self)

    def sandboxes(self, **_: Any) -> SandboxStoreClient:
        """DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient."""
        return SandboxStoreClient(self)

    def site_status(self) -> SiteStatus:
        """DIRAC.ResourceStatusSystem.Client.SiteStatus."""
        return SiteStatus(self)

    def operations(self) -> Configuration:
        """DIRAC.ConfigurationSystem.Client.Helpers.Operations: there is nothing in it."""
        return Configuration({})

    @property
    def config(self) -> Configuration:
        """DIRAC.gConfig."""
        return Configuration(configuration(self.sites.values(), self.max_parametric_jobs))

    def proxy_info(self) -> Result:
        """DIRAC.Core.Security.ProxyInfo.getProxyInfo."""
        left = int((self.proxy_ends - datetime.datetime.now(datetime.UTC)).total_seconds())
        return ok({"username": self.user, "group": self.group, "secondsLeft": max(left, 0), "path": "/proxy"})

    # --------------------------------------------------------------------------------------------------------- the fake

    def close(self) -> None:
        """Kill what runs; remove the temporary folder."""
        with self._lock:
            self._closed = True
            for job in self._jobs.values():
                job.kill()
            self._changed.wait_for(lambda: not any(job.payload for job in self._jobs.values()), timeout=10)
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> FakeDirac:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, jobs: Iterable[int], within_s: float = 30) -> bool:
        """Until all of these jobs are Done, Failed, Killed or gone; False if they are not in time."""
        ended = {"Done", "Failed", "Killed", "Deleted"}
        wanted = list(jobs)
        with self._lock:
            return self._changed.wait_for(
                lambda: all(
                    number not in self._jobs
                    or (self._jobs[number].status in ended and self._jobs[number].payload is None)
                    for number in wanted
                ),
                timeout=within_s,
            )

    def change(self, act: Callable[[dict[int, FakeJob]], Result]) -> Result:
        """Do something to jobs, and see what can run then."""
        if not self.answers:
            return unreachable()
        with self._lock:
            result = act(self._jobs)
            self._schedule()
            self._changed.notify_all()
            return result

    def look(self, act: Callable[[Mapping[int, FakeJob]], Result]) -> Result:
        """Look at jobs."""
        if not self.answers:
            return unreachable()
        with self._lock:
            return act(self._jobs)

    def add(self, description: ParsedJdl, status: str, minor: str) -> int:
        """A new job; with the lock held."""
        self._last += 1
        self._jobs[self._last] = FakeJob(self._last, description, status=status, minor=minor)
        return self._last

    def queue(self, numbers: Iterable[int]) -> None:
        """Let jobs wait for a site; with the lock held."""
        for number in numbers:
            self._queue(self._jobs[number])

    def _queue(self, job: FakeJob) -> None:
        wanted = [site for site in job.description.list("Site") if site.upper() != "ANY"]
        usable = [site for site in wanted if not self.sites[site].banned]
        if wanted and not usable:
            job.say("Checking", "JobScheduling", f"Requested site(s) {','.join(wanted)} are inactive")
            return
        job.site = usable[0] if len(usable) == 1 else "Multiple" if usable else "ANY"
        job.say("Waiting", "Pilot Agent Submission")
        self._waiting[job.number] = job

    def _schedule(self) -> None:
        """Start what waits and fits, first come first served."""
        if self._closed:
            return
        for job in list(self._waiting.values()):
            if not any(self._free.values()):
                return
            site = next((site for site in self.sites.values() if self._fits(job, site)), None)
            if job.status != "Waiting":
                del self._waiting[job.number]
            elif site is not None:
                del self._waiting[job.number]
                self._start(job, site)

    def _fits(self, job: FakeJob, site: Site) -> bool:
        asked, wanted = job.description, job.description.list("Site")
        if site.banned or site.name in asked.list("BannedSites"):
            return False
        if wanted and site.name not in wanted and not {name.upper() for name in wanted} & {"ANY"}:
            return False
        if not {*asked.list("Tags"), *asked.list("Tag")} <= set(site.tags):
            return False
        return job.processors <= self._free[site.name] and asked.number("MinRAM", 0) <= site.ram_mb

    def _start(self, job: FakeJob, site: Site) -> None:
        assert self.folder is not None
        place = JobPlace(site.name, self.folder / "jobs", self.store, self._environment)
        job.site = site.name
        self._free[site.name] -= job.processors
        job.say("Running", "Application")
        job.payload = start(job, place, lambda outcome: self._ended(job, outcome))

    def _ended(self, job: FakeJob, outcome: PayloadOutcome) -> None:
        with self._lock:
            job.payload = None
            self._free[job.site] += job.processors
            job.parameters.update(outcome.parameters)
            if job.again:  # rescheduled while it ran
                job.again = False
                self._queue(job)
            elif job.status != "Deleted":
                job.say(outcome.status, outcome.minor)
            self._schedule()
            self._changed.notify_all()
