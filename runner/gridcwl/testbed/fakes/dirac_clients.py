"""The fake DIRAC's clients: the methods that gridcwl calls, with DIRAC's names and answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridcwl.testbed.fakes.dirac_answers import (
    EWMSJDL,
    EWMSSUBM,
    Result,
    error,
    job_numbers,
    ok,
    unreachable,
    validate,
)
from gridcwl.testbed.fakes.dirac_jobs import FakeJob
from gridcwl.testbed.fakes.jdl import BadJdl, ParsedJdl, expand, parameter_count, parse

if TYPE_CHECKING:
    from gridcwl.testbed.fakes.dirac import FakeDirac

_RESCHEDULINGS = 3
# DIRACCommon/WorkloadManagementSystem/Client/JobStatus.py: what may become Killed, and what Deleted
_KILLABLE = {"Submitting", "Received", "Checking", "Waiting", "Matched", "Running", "Rescheduled"}
_DELETABLE = {"Submitting", "Received", "Checking", "Waiting", "Rescheduled", "Failed", "Killed", "Done"}


class JobManagerClient:
    """Jobs come and go."""

    def __init__(self, dirac: FakeDirac) -> None:
        self._dirac = dirac

    def getMaxParametricJobs(self) -> Result:
        """As DIRAC 9.1.22 answers: it cannot be asked."""
        return error("Unknown method getMaxParametricJobs")

    def submitJob(self, jdl: str) -> Result:
        """One job, or as many as a parametric description stands for: those wait until they are confirmed."""
        try:
            described = parse(jdl)
            count = parameter_count(described)
            if count is not None and count > self._dirac.max_parametric_jobs:
                limit = self._dirac.max_parametric_jobs
                return error(f"Number of parametric jobs exceeds the limit of {limit}", EWMSJDL)
            jobs = expand(described)
            for job in jobs:
                validate(job, self._dirac.sites)
        except BadJdl as bad:
            return error(str(bad))
        return self._dirac.change(lambda _: self._submit(jobs, parametric=count is not None))

    def _submit(self, descriptions: Sequence[ParsedJdl], *, parametric: bool) -> Result:
        status = ("Submitting", "Bulk transaction confirmation") if parametric else ("Received", "Job accepted")
        numbers = [self._dirac.add(description, *status) for description in descriptions]
        if not parametric:
            self._confirm(numbers)
        value = numbers if parametric else numbers[0]
        return ok(value, JobID=value, requireProxyUpload=False)

    def confirmBulkSubmission(self, jobIDs: Sequence[int]) -> Result:
        """Let the jobs of a parametric submission begin; all or none."""
        return self._dirac.change(lambda jobs: self._confirm_all(jobs, job_numbers(jobIDs)))

    def _confirm_all(self, jobs: Mapping[int, FakeJob], numbers: Sequence[int]) -> Result:
        statuses = {jobs[number].status if number in jobs else "" for number in numbers}
        if statuses <= {"Received", "Checking", "Waiting", "Matched", "Running"}:
            return ok(list(numbers))
        if statuses != {"Submitting"}:
            return error("Requested jobs for bulk transaction are not valid", EWMSSUBM)
        self._confirm(numbers)
        return ok(list(numbers))

    def _confirm(self, numbers: Sequence[int]) -> None:
        self._dirac.queue(numbers)

    def killJob(self, jobIDs: Any, force: bool = False) -> Result:
        """Stop jobs that wait or run."""
        return self._each(jobIDs, _KILLABLE, lambda job: job.kill())

    def deleteJob(self, jobIDs: Any, force: bool = False) -> Result:
        """Mark jobs as deleted; one that runs is killed."""
        return self._each(jobIDs, _DELETABLE, lambda job: job.delete(), beside=lambda job: job.kill())

    def rescheduleJob(self, jobIDs: Any) -> Result:
        """Let jobs run once more."""
        return self._each(jobIDs, None, self._reschedule, refuse_unknown="Some jobs can not be rescheduled")

    def removeJob(self, jobIDs: Any) -> Result:
        """Forget jobs."""

        def act(jobs: dict[int, FakeJob]) -> Result:
            numbers = job_numbers(jobIDs)
            unknown = [number for number in numbers if number not in jobs]
            for number in set(numbers) - set(unknown):
                jobs.pop(number).kill()
            if unknown:
                return error("Some jobs failed removal: invalid jobs", InvalidJobIDs=unknown)
            return ok(numbers)

        return self._dirac.change(act)

    def _reschedule(self, job: FakeJob) -> None:
        if job.reschedulings >= _RESCHEDULINGS:
            job.say("Failed", "Maximum of reschedulings reached")
            return
        job.reschedulings += 1
        job.parameters.clear()
        job.say("Received", "Job Rescheduled")
        if job.payload is not None:
            job.again = True
            job.payload.kill()
        else:
            self._dirac.queue([job.number])

    def _each(
        self,
        given: Any,
        statuses: set[str] | None,
        do: Callable[[FakeJob], None],
        *,
        beside: Callable[[FakeJob], None] | None = None,
        refuse_unknown: str = "",
    ) -> Result:
        """Do it to those jobs whose status allows it; ``beside`` to those whose status does not, but allows a kill."""

        def act(jobs: dict[int, FakeJob]) -> Result:
            numbers = job_numbers(given)
            if not numbers:
                return error(f"Invalid job specification: {given}") if refuse_unknown else ok([])
            unknown = [number for number in numbers if number not in jobs]
            done = []
            for number in numbers:
                job = jobs.get(number)
                if job is None:
                    continue
                if statuses is None or job.status in statuses:
                    do(job)
                    done.append(number)
                elif beside is not None and job.status in _KILLABLE:
                    beside(job)
            if unknown and refuse_unknown:
                return error(refuse_unknown, InvalidJobIDs=unknown)
            return ok(done, requireProxyUpload=False, **({"InvalidJobIDs": unknown} if unknown else {}))

        return self._dirac.change(act)


class WMSClient(JobManagerClient):
    """The same, with local files in input sandboxes, and parametric submissions confirmed at once."""

    def submitJob(self, jdl: str) -> Result:
        """Leave the files of the input sandbox, submit, confirm."""
        try:
            described = parse(jdl)
            parametric = parameter_count(described) is not None
        except BadJdl:
            return error("Invalid job JDL", EWMSJDL)
        names = described.list("InputSandbox")
        files = [name for name in names if not name.startswith(("lfn:", "LFN:", "SB:", "%s", "%("))]
        if missing := [name for name in files if not Path(name).exists()]:
            return error("Input Sandbox is not valid", EWMSJDL, BadFile=missing)
        if files:
            left = self._dirac.sandboxes().uploadFilesAsSandbox(files)
            if not left["OK"]:
                return left
            value = ",".join(f'"{name}"' for name in (*names, left["Value"]))
            described = ParsedJdl({**described.attributes, "InputSandbox": f"{{{value}}}"})
        submitted = super().submitJob(str(described))
        if submitted["OK"] and parametric:
            return self.confirmBulkSubmission(submitted["Value"])
        return submitted


class JobMonitoringClient:
    """How jobs stand."""

    def __init__(self, dirac: FakeDirac) -> None:
        self._dirac = dirac

    def getJobsStates(self, jobIDs: Any) -> Result:
        """Status, minor and application status; unknown jobs are left out."""
        return self._some(jobIDs, "ApplicationStatus", "MinorStatus", "Status")

    def getJobsStatus(self, jobIDs: Any) -> Result:
        """Status."""
        return self._some(jobIDs, "Status")

    def getJobsMinorStatus(self, jobIDs: Any) -> Result:
        """Minor status."""
        return self._some(jobIDs, "MinorStatus")

    def getJobsApplicationStatus(self, jobIDs: Any) -> Result:
        """Application status."""
        return self._some(jobIDs, "ApplicationStatus")

    def getJobsSites(self, jobIDs: Any) -> Result:
        """Where they run or ran; ANY, Multiple or a site's name before."""
        return self._some(jobIDs, "Site")

    def getJobsSummary(self, jobIDs: Sequence[int]) -> Result:
        """All attributes, by the jobs' numbers as text."""
        found = self._some(jobIDs)
        return ok({str(number): about for number, about in found["Value"].items()}) if found["OK"] else found

    def getJobAttributes(self, jobID: int, attrList: Sequence[str] | None = None) -> Result:
        """Attributes of one job; empty if it is not known."""
        found = self._some([jobID], *(attrList or ()))
        return ok(found["Value"].get(int(jobID), {})) if found["OK"] else found

    def getJobs(self, attrDict: Mapping[str, Any] | None = None, cutDate: Any = None) -> Result:
        """The numbers, as text, of the jobs whose attributes are these, or among these."""

        def act(jobs: Mapping[int, FakeJob]) -> Result:
            found = []
            for job in jobs.values():
                about = self._about(job)
                for name, wanted in (attrDict or {}).items():
                    if name not in about:
                        return error(f"MySQL Error ( 1131 : Unknown column '{name}' in 'WHERE' )", 1131)
                    among = wanted if isinstance(wanted, list | tuple) else [wanted]
                    if str(about[name]) not in {str(each) for each in among}:
                        break
                else:
                    found.append(str(job.number))
            return ok(found)

        return self._dirac.look(act)

    def getJobParameters(self, jobIDs: Any, parName: str | None = None) -> Result:
        """What was kept of jobs beside their state."""

        def act(jobs: Mapping[int, FakeJob]) -> Result:
            kept = {number: jobs[number].parameters if number in jobs else {} for number in job_numbers(jobIDs)}
            return ok({n: {k: v for k, v in all_.items() if parName in {None, k}} for n, all_ in kept.items()})

        return self._dirac.look(act)

    def getJobJDL(self, jobID: int, original: bool) -> Result:
        """A job's description; an empty list if it is not known."""
        return self._dirac.look(lambda jobs: ok(str(jobs[jobID].description) if jobID in jobs else []))

    def _some(self, given: Any, *names: str) -> Result:
        def act(jobs: Mapping[int, FakeJob]) -> Result:
            known = {number: self._about(jobs[number]) for number in job_numbers(given) if number in jobs}
            return ok({number: {name: about[name] for name in names or about} for number, about in known.items()})

        return self._dirac.look(act)

    def _about(self, job: FakeJob) -> dict[str, Any]:
        return {
            "ApplicationStatus": job.application,
            "JobGroup": job.description.text("JobGroup", "00000000"),
            "JobID": job.number,
            "JobName": job.description.text("JobName", "Unknown"),
            "JobType": job.description.text("JobType", "user"),
            "MinorStatus": job.minor,
            "Owner": self._dirac.user,
            "OwnerGroup": self._dirac.group,
            "RescheduleCounter": job.reschedulings,
            "Site": job.site,
            "Status": job.status,
            "SubmissionTime": job.submitted,
            "LastUpdateTime": job.updated,
            "UserPriority": job.description.number("Priority", 1),
        }


class SandboxStoreClient:
    """Files that go with jobs, and come back."""

    def __init__(self, dirac: FakeDirac) -> None:
        self._dirac = dirac

    def uploadFilesAsSandbox(
        self,
        fileList: Sequence[str],
        sizeLimit: int = 0,
        assignTo: Mapping[str, str] | None = None,
    ) -> Result:
        """Leave files; the value names them in job descriptions."""
        if not self._dirac.answers:
            return unreachable()
        missing = [name for name in fileList if not Path(name).exists()]
        if missing:
            return error(f"Failed to locate files: {', '.join(missing)}")
        location, size = self._dirac.store.put([Path(name) for name in fileList])
        if 0 < sizeLimit < size:
            return error("Size over the limit")
        for job, kind in (assignTo or {}).items():
            self._dirac.store.assign(int(job.removeprefix("Job:")), kind, location)
        return ok(location)

    def downloadSandbox(
        self,
        sbLocation: str,
        destinationDir: str = "",
        inMemory: bool = False,
        unpack: bool = True,
    ) -> Result:
        """Fetch what was left: unpacked into a folder, or the archive's bytes."""
        if not self._dirac.answers:
            return unreachable()
        archive = self._dirac.store.archive(sbLocation)
        if archive is None:
            return error("Sandbox does not exist" if sbLocation.startswith("SB:") else "Invalid sandbox URL")
        if inMemory:
            return ok(archive.read_bytes())
        folder = Path(destinationDir or ".")
        folder.mkdir(parents=True, exist_ok=True)
        if not unpack:
            return ok(shutil.copy(archive, folder))
        return ok(self._dirac.store.unpack(archive, folder))

    def downloadSandboxForJob(
        self,
        jobId: int,
        sbType: str,
        destinationPath: str = "",
        inMemory: bool = False,
        unpack: bool = True,
    ) -> Result:
        """Fetch a job's Input or Output."""
        if not self._dirac.answers:
            return unreachable()
        assigned = self._dirac.store.assigned(int(jobId), sbType)
        if not assigned:
            return error(
                f"No {sbType} sandbox found for job {jobId}. Possible causes are: the job does not exist, no sandbox "
                "was registered or you do not have permission to access it."
            )
        if inMemory:
            return self.downloadSandbox(assigned[-1], destinationPath, inMemory, unpack)
        sizes = []
        for location in assigned:
            fetched = self.downloadSandbox(location, destinationPath, inMemory, unpack)
            if not fetched["OK"]:
                return fetched
            sizes.append(fetched["Value"])
        return ok(sizes)


class SiteStatus:
    """Which sites take jobs."""

    def __init__(self, dirac: FakeDirac) -> None:
        self._dirac = dirac

    def getUsableSites(self, siteNamesList: Sequence[str] | None = None) -> Result:
        """Those of these, or of all, that are not banned."""
        if not self._dirac.answers:
            return unreachable()
        sites = self._dirac.sites
        return ok([name for name in siteNamesList or sites if name in sites and not sites[name].banned])
