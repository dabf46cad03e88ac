"""What the testbed's DIRAC consists of, by name: versions, databases, services and the processes that they run in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridcwl.testbed.sites import SITES, Site

VERSION = "9.1.22"
"""Of DIRAC: client and servers."""

VO = "gridcwl"
USER_GROUP, ADMIN_GROUP, PILOT_GROUP = "gridcwl_user", "gridcwl_admin", "gridcwl_pilot"
USER, PILOT = "runner", "pilot"
"""Users as DIRAC's registry and their certificates name them; Rucio knows the first, too."""

SANDBOX_STORAGE = "ProductionSandboxSE"
CONFIGURATION_NAME = "testbed"

DATABASES = {
    "JobDB": "WorkloadManagement",
    "JobLoggingDB": "WorkloadManagement",
    "TaskQueueDB": "WorkloadManagement",
    "PilotAgentsDB": "WorkloadManagement",
    "SandboxMetadataDB": "WorkloadManagement",
    "ProxyDB": "Framework",
    "ResourceStatusDB": "ResourceStatus",
    "AccountingDB": "Accounting",
    "ReqDB": "RequestManagement",
}
"""Databases in MariaDB, and the system that each belongs to."""

PROCESSES = {
    "dirac-mind": ("WorkloadManagement/OptimizationMind",),
    "dirac-framework": (
        "Configuration/Server",
        "Framework/ProxyManager",
        "ResourceStatus/ResourceStatus",
        "Accounting/DataStore",
        "Accounting/ReportGenerator",
        "RequestManagement/ReqManager",
    ),
    "dirac-jobs": (
        "WorkloadManagement/JobManager",
        "WorkloadManagement/JobMonitoring",
        "WorkloadManagement/JobStateUpdate",
        "WorkloadManagement/Matcher",
    ),
    "dirac-sandboxes": ("WorkloadManagement/SandboxStore",),
}
"""The processes of the services, in the order in which they start.

OptimizationMind comes first and alone: JobManager connects to it while it starts, and takes eight seconds to give up.
Without DataStore and ReqManager every job ends ten seconds late; ReportGenerator is asked by ``gridcwl usage``.
"""

SERVICES = {service: process for process, services in PROCESSES.items() for service in services}
DATABASE, PARAMETERS, OPTIMIZERS, LIGHT_PILOT = (
    "dirac-database",
    "dirac-opensearch-stand-in",
    "dirac-optimizers",
    "dirac-light-pilot",
)

USER_PROPERTIES = ("NormalUser", "PrivateLimitedDelegation")
"""What users may do."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Who is who, as certificates name them."""

    host: str
    user: str
    pilot: str


@dataclass(frozen=True, slots=True)
class Pilot:
    """One pilot at one site."""

    site: Site
    number: int

    @property
    def name(self) -> str:
        """Of its process."""
        return f"dirac-pilot-{self.site.name}-{self.number}"

    @property
    def reference(self) -> str:
        """As DIRAC knows it."""
        return f"local://{self.site.name}/{self.number}"


@dataclass(frozen=True, slots=True)
class DiracLayout:
    """All that the configuration of one testbed's DIRAC is made from."""

    root: Path
    """Where its servers keep what they write: sandboxes, the wrapper template, the configuration."""
    ports: dict[str, int]
    """Of every service, and of ``database`` and ``parameters``."""
    subjects: Subjects
    ca_dir: Path
    host_cert: Path
    host_key: Path
    database_password: str
    diracx_url: str
    """Where DiracX answers if it is up; classic services ask there for what it has of users' sandboxes."""
    diracx_key: str
    """What lets them ask in a user's name."""
    diracx_sandboxes: bool = False
    """Sandboxes that come to the classic store go on to DiracX's."""
    sites: tuple[Site, ...] = SITES
    max_parametric_jobs: int = 1000
    """How many jobs the server makes of one parametric submission."""


def light_reference(slot: int) -> str:
    """The reference of a light pilot's slot."""
    return f"local://light/{slot}"


def pilots(sites: tuple[Site, ...], each: int) -> list[Pilot]:
    """So many pilots at every site that is not banned."""
    return [Pilot(site, number) for site in sites if not site.banned for number in range(each)]
