"""DIRAC's own client, and nothing else: the thin edge where its return values become ours or our errors.

Importing DIRAC costs a second and a half of CPU, so it is done in the background while the document is read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from gridcwl import imports, telemetry
from gridcwl.backends.base import AccountedUsage
from gridcwl.backends.dirac.accounting import SERVICE, By, accounted
from gridcwl.backends.dirac.matching import Limits
from gridcwl.backends.dirac.problems import DiracUnreachable, TooManyJobs, problem
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.server import Credential, FoundJob, State
from gridcwl.backends.dirac.sites import DiracSite, offers
from gridcwl.errors import ConfigError
from gridcwl.model import limits
from gridcwl.model.chunks import chunks
from gridcwl.worker.credentials import acting_for

log = logging.getLogger("gridcwl.backends.dirac")

_LIMIT = re.compile(r"exceeds the limit of (\d+)")
_PARAMETRIC = "/Systems/WorkloadManagement/Services/JobManager/MaxParametricJobs"
_LAST_WORDS = "StandardOutput"
_STORE = "WorkloadManagement/SandboxStore"
_AT_A_TIME = 1000
"""Jobs in a call that does something to each of them."""

_loading: Future[Any] | None = None
_lock = threading.Lock()


def preload() -> None:
    """Begin to load DIRAC's client in the background; returns at once."""
    global _loading  # noqa: PLW0603  DIRAC's client is one for a process
    with _lock:
        if _loading is None:
            _loading = Future()
            threading.Thread(target=_load, args=(_loading,), name="load-dirac", daemon=True).start()


def _load(loading: Future[Any]) -> None:
    try:
        loading.set_result(_Modules())
    except BaseException as error:  # noqa: BLE001  raised again, by result()
        loading.set_exception(error)


class _Modules:
    """DIRAC's client, imported and initialised."""

    def __init__(self) -> None:
        imports.require("DIRAC", "DIRAC")
        imports.load("DIRAC")
        import DIRAC
        from DIRAC.Core.Utilities.exceptions import DIRACInitError

        try:
            # Not Script.parseCommandLine, which reads our command line; the proxy is looked at when it is needed.
            DIRAC.initialize(require_auth=False)
        except (DIRACInitError, RuntimeError) as error:
            raise problem("reading its configuration", str(error)) from error
        _silence()
        if not DIRAC.gConfig.getServersList() and not DIRAC.gConfig.getSections("/Resources/Sites").get("Value"):
            raise ConfigError(
                "DIRAC is not configured: no configuration server is known",
                remedy="Run dirac-configure, or let DIRACSYSCONFIG name a dirac.cfg; gridcwl doctor checks it.",
            )
        with imports.one_at_a_time():
            from DIRAC.ConfigurationSystem.Client.Helpers.Operations import Operations
            from DIRAC.Core.Base.Client import Client
            from DIRAC.Core.Security.ProxyInfo import getProxyInfo
            from DIRAC.Core.Tornado.Client.ClientSelector import TransferClientSelector
            from DIRAC.ResourceStatusSystem.Client.SiteStatus import SiteStatus
            from DIRAC.WorkloadManagementSystem.Client.JobManagerClient import JobManagerClient
            from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient
            from DIRAC.WorkloadManagementSystem.Client.SandboxStoreClient import SandboxStoreClient

        self.config = DIRAC.gConfig
        self.operations = Operations
        self.proxy_info = getProxyInfo
        self.site_status = SiteStatus
        self.manager = JobManagerClient
        self.monitoring = JobMonitoringClient
        self.sandboxes = SandboxStoreClient
        self.service, self.transfer = Client, TransferClientSelector


def _silence() -> None:
    """DIRAC logs to stdout, which is the output object's; what matters comes back as errors anyway."""
    logger = logging.getLogger("dirac")
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = False


class DiracClient:
    """Implements ``gridcwl.backends.dirac.server.Server`` with DIRAC's Python client. For many threads."""

    survives = True

    def __init__(self, timeout_s: int = 120, *, modules: Any = None) -> None:
        """Begin to load the client; nothing is asked yet.

        Args:
            timeout_s: for one call.
            modules: stands for DIRAC's own modules, such as a fake.
        """
        self._modules = modules
        self._timeout_s = timeout_s
        owner = acting_for()
        self._proxy = owner.proxy_file if owner is not None and owner.jobs != "service" else ""
        if modules is None:
            preload()

    @property
    def _how(self) -> dict[str, Any]:
        """How services are called: within which time, and with whose proxy."""
        return {"timeout": self._timeout_s} | ({"proxyLocation": self._proxy} if self._proxy else {})

    @property
    def _dirac(self) -> Any:
        if self._modules is None:
            assert _loading is not None
            self._modules = _loading.result()
        return self._modules

    def most_jobs(self) -> int | None:
        """See ``Server``."""
        answer = self._dirac.manager(**self._how).getMaxParametricJobs()
        if answer["OK"]:
            return int(answer["Value"])
        if "Unknown method" not in answer["Message"]:
            raise problem("asking how many jobs it takes at a time", answer["Message"])
        # Not every version can be asked; then its configuration may say it, and else its first refusal does.
        configured = self._dirac.config.getValue(_PARAMETRIC, 0)
        return int(configured) or None

    def limits(self) -> Limits:
        """See ``Server``."""
        ours, value = Limits(), self._dirac.operations().getValue
        types = value("JobDescription/AllowedJobTypes", list(ours.job_types))
        return Limits(
            cpu_time_s=(
                value("JobDescription/MinCPUTime", ours.cpu_time_s[0]),
                value("JobDescription/MaxCPUTime", ours.cpu_time_s[1]),
            ),
            priority=(
                value("JobDescription/MinPriority", ours.priority[0]),
                value("JobDescription/MaxPriority", ours.priority[1]),
            ),
            processors=value("JobDescription/MaxNumberOfProcessors", ours.processors),
            job_types=(*types, *value("Transformations/DataProcessing", [])),
            platforms=tuple(self._sections("/Resources/Computing/OSCompatibility")),
        )

    def _sections(self, path: str) -> list[str]:
        listed = self._dirac.config.getOptions(path)
        return list(listed["Value"]) if listed["OK"] else []

    def offers(self) -> Sequence[DiracSite]:
        """See ``Server``."""
        tree = self._dirac.config.getConfigurationTree("/Resources/Sites")
        if not tree["OK"]:
            return ()
        usable = self._call("asking which sites are usable", self._dirac.site_status().getUsableSites)
        return offers(tree["Value"], usable)

    def credential(self) -> Credential:
        """See ``Server``."""
        if self._proxy and not os.path.isfile(self._proxy):  # noqa: PTH113
            raise problem("looking at the proxy", "no proxy found")
        given = (self._proxy,) if self._proxy else ()
        info = self._call("looking at the proxy", self._dirac.proxy_info, *given)
        ends = datetime.now(UTC) + timedelta(seconds=info["secondsLeft"])
        if info["secondsLeft"] <= 0:
            raise problem("looking at the proxy", f"the proxy {info.get('path', '')} has expired")
        return Credential(info.get("username", info.get("identity", "")), info.get("group", ""), ends)

    def put_sandbox(self, files: Sequence[Path]) -> str:
        """See ``Server``."""
        store = self._dirac.sandboxes(**self._how)
        return str(self._call("leaving an input sandbox", store.uploadFilesAsSandbox, [str(file) for file in files]))

    def submit(self, jdl: str) -> list[int]:
        """See ``Server``."""
        answer = self._raw("submitting jobs", self._manager().submitJob, jdl)
        if answer["OK"]:
            value = answer["Value"]
            return [int(job) for job in value] if isinstance(value, list) else [int(value)]
        limit = _LIMIT.search(answer["Message"])
        raise TooManyJobs(int(limit[1])) if limit else problem("submitting jobs", answer["Message"])

    def confirm(self, jobs: Sequence[int]) -> None:
        """See ``Server``."""
        self._call("confirming jobs", self._manager().confirmBulkSubmission, list(jobs))

    def states(self, jobs: Collection[int]) -> Mapping[int, State]:
        """See ``Server``."""
        answer = self._call("asking for the states of jobs", self._monitoring().getJobsStates, list(jobs))
        return {
            int(job): (state["Status"], state.get("MinorStatus", ""), state.get("ApplicationStatus", ""))
            for job, state in answer.items()
        }

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``."""
        answer = self._call("asking where jobs run", self._monitoring().getJobsSites, list(jobs))
        return {int(job): about["Site"] for job, about in answer.items()}

    def find(self, group: str) -> Sequence[FoundJob]:
        """See ``Server``."""
        numbers = self._call("looking for jobs", self._monitoring().getJobs, {"JobGroup": group})
        found: list[FoundJob] = []
        for some in chunks([int(number) for number in numbers], _AT_A_TIME):
            answer = self._call("looking at jobs", self._monitoring().getJobsSummary, some)
            for number, about in answer.items():
                state = (about["Status"], about["MinorStatus"], about["ApplicationStatus"])
                found.append(FoundJob(JobStatus(int(number), *state, about["Site"]), about["JobName"]))
        return sorted(found, key=lambda one: one.place.number)

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``. DIRAC's JobWrapper keeps them as a job's parameter."""
        found: dict[int, str] = {}
        for some in chunks(list(jobs), _AT_A_TIME):
            answer = self._call(
                "fetching the parameters of jobs", self._monitoring().getJobParameters, some, _LAST_WORDS
            )
            found |= {int(job): str(kept[_LAST_WORDS]) for job, kept in answer.items() if _LAST_WORDS in kept}
        return found

    def sandbox(self, job: int) -> bytes | None:
        """See ``Server``."""
        if hasattr(self._dirac, "transfer") and (content := self._transferred(job)) is not None:
            return content
        store = self._dirac.sandboxes(**self._how)
        answer = self._raw("fetching an output sandbox", store.downloadSandboxForJob, job, "Output", "", True)
        if answer["OK"]:
            whole: bytes = answer["Value"]
            return whole
        if "sandbox found for job" in answer["Message"]:
            return None
        raise problem(f"fetching the output sandbox of job {job}", answer["Message"])

    def _transferred(self, job: int) -> bytes | None:
        """The sandbox straight from the store; None if it has to be fetched through the server.

        DIRAC's own way goes through a storage element, and reports each file to the accounting service: twice the CPU.
        """
        listed = self._dirac.service(url=_STORE, **self._how).getSandboxesAssignedToEntity
        places = self._call("asking for an output sandbox", listed, f"Job:{job}").get("Output", ())
        if not places or "|" not in places[-1]:
            return None
        path = places[-1].partition("|")[2]
        with tempfile.TemporaryDirectory(prefix="gridcwl-sandbox-") as folder:
            file = Path(folder) / "sandbox"
            fetch = self._dirac.transfer(_STORE, **self._how).receiveFile
            if not self._raw("fetching an output sandbox", fetch, str(file), f"/{_STORE}{path}")["OK"]:
                return None
            limits.check(file.stat().st_size, limits.SANDBOX_BYTES, "The output sandbox")
            return file.read_bytes()

    def kill(self, jobs: Iterable[int]) -> None:
        """See ``Server``."""
        for some in chunks(list(jobs), _AT_A_TIME):
            answer = self._raw("killing jobs", self._manager().killJob, some)
            # A job that is between two states, or has just ended, cannot be killed; whoever cares looks again.
            if not answer["OK"] and "failed deletion" not in answer["Message"]:
                raise problem("killing jobs", answer["Message"])

    def parameters(self, job: int) -> Mapping[str, str]:
        """See ``Server``."""
        answer = self._call("asking about a job", self._monitoring().getJobParameters, job)
        return {str(name): str(value) for name, value in answer.get(job, {}).items()}

    def accounting(self, runs: Sequence[str], by: By, since: float | None = None) -> list[AccountedUsage]:
        """What DIRAC's accounting has of these runs; see :func:`gridcwl.backends.dirac.accounting.accounted`."""
        service = self._dirac.service(url=SERVICE, **self._how)
        return accounted(
            partial(self._call, "querying the accounting", service.getReport), runs, by, since, time.time()
        )

    def _manager(self) -> Any:
        return self._dirac.manager(**self._how)

    def _monitoring(self) -> Any:
        return self._dirac.monitoring(**self._how)

    def _call(self, doing: str, function: Any, *arguments: Any) -> Any:
        answer = self._raw(doing, function, *arguments)
        if answer["OK"]:
            return answer["Value"]
        raise problem(doing, answer["Message"])

    @staticmethod
    def _raw(doing: str, function: Any, *arguments: Any) -> Any:
        try:
            with telemetry.call("DIRAC", doing):
                answer = function(*arguments)
        except Exception as error:
            # DIRAC's own network code raises now and then, where it promises to return.
            raise DiracUnreachable(f"DIRAC's client failed ({doing}): {type(error).__name__}: {error}") from error
        written = answer.get("SandboxFileName")
        if written and not answer["OK"]:
            with contextlib.suppress(OSError):
                os.unlink(written)  # noqa: PTH108
        return answer
