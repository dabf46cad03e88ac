"""DIRAC's configuration as text, from a description of the testbed: pure functions.

A server's configuration holds all. What the Configuration server gives to clients is the same without passwords. A
client's own file says where that server is, as an installation of DIRAC does anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from gridcwl.testbed.dirac.layout import (
    ADMIN_GROUP,
    CONFIGURATION_NAME,
    DATABASES,
    PILOT,
    PILOT_GROUP,
    SANDBOX_STORAGE,
    SERVICES,
    USER,
    USER_GROUP,
    USER_PROPERTIES,
    VO,
    DiracLayout,
    Pilot,
)
from gridcwl.testbed.sites import Site

# a value, or a section of them; Any because the type is recursive and mypy wants no recursive alias in comprehensions
Section: TypeAlias = dict[str, Any]

_CONFIGURATION_SERVER = "Configuration/Server"


def text(section: Mapping[str, Any], depth: int = 0) -> str:
    """A section in DIRAC's CFG syntax."""
    indent = "  " * depth
    lines = []
    for name, value in section.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", f"{indent}{{", text(value, depth + 1).rstrip("\n"), f"{indent}}}"]
        else:
            lines.append(f"{indent}{name} = {_value(value)}")
    return "\n".join(line for line in lines if line) + "\n"


def server(box: DiracLayout) -> Section:
    """What a service, an optimizer or the seed reads: everything, with the database's password."""
    everything = shared(box)
    everything["DIRAC"] |= {
        "Hostname": "localhost",  # else the Configuration server publishes the machine's name, which no certificate has
        "Configuration": {"Name": CONFIGURATION_NAME, "Master": True},
        "Security": {
            "UseServerCertificate": True,
            "CertFile": box.host_cert,
            "KeyFile": box.host_key,
            "CALocation": box.ca_dir,
        },
    }
    everything["Systems"] |= {
        "Databases": {
            "User": "Dirac",
            "Password": box.database_password,
            "Host": "127.0.0.1",
            "Port": box.ports["database"],
        },
        # the stand-in takes any name
        "NoSQLDatabases": {
            "User": "x",
            "Password": "x",
            "Host": "127.0.0.1",
            "Port": box.ports["parameters"],
            "SSL": "no",
        },
    }
    diracx: Section = {"URL": box.diracx_url, "LegacyExchangeApiKey": box.diracx_key}
    if box.diracx_sandboxes:
        everything["Systems"]["WorkloadManagement"]["Services"]["SandboxStore"]["UseDiracXBackend"] = True
        everything["DiracX"] = diracx
    else:
        everything["DiracX"] |= diracx
    return everything


def shared(box: DiracLayout) -> Section:
    """What the Configuration server tells every client."""
    return {
        "DIRAC": {"VirtualOrganization": VO, "Configuration": {"Name": CONFIGURATION_NAME}},
        "DiracX": {"DisabledVOs": VO},  # else classic clients look for DiracX's tokens
        "Registry": _registry(box),
        "Operations": {"Defaults": {"Pilot": {"CheckVersion": False}}},
        "Resources": {
            "Sites": _sites(box.sites),
            "StorageElements": {SANDBOX_STORAGE: _sandbox_storage(box)},
            "Computing": {"CEDefaults": {"VirtualOrganization": VO}},
        },
        "Systems": _systems(box),
    }


def client(box: DiracLayout) -> Section:
    """What a user's client reads: where the Configuration server is, and whom to trust."""
    return {
        "DIRAC": {
            "VirtualOrganization": VO,
            "Configuration": {"Servers": _url(box, _CONFIGURATION_SERVER)},
            "Security": {"UseServerCertificate": False, "CALocation": box.ca_dir},
        },
    }


def pilot(box: DiracLayout, pilot: Pilot) -> Section:
    """What a JobAgent and its JobWrappers read.

    All of it is here and no Configuration server is asked, which spares every job a request.
    """
    everything = shared(box)
    everything["DIRAC"]["Security"] = {"UseServerCertificate": False, "CALocation": box.ca_dir}
    everything["LocalSite"] = local_site(pilot.site, pilot.reference)
    return everything


def local_site(site: Site, reference: str, *, light: bool = False) -> Section:
    """How a pilot describes the machine that it runs on: what the Matcher compares with what jobs ask for.

    A job that wants one kind of pilot can ask for its GridCE.
    """
    described: Section = {
        "Site": site.name,
        "GridCE": f"light.{_computing_element(site)}" if light else _computing_element(site),
        "CEQueue": "testbed",
        "PilotReference": reference,
        # Pool runs as many jobs at once as there are processors to give to them, InProcess one
        "LocalCE": "Pool/InProcess" if site.processors > 1 else "InProcess",
        "NumberOfProcessors": site.processors,
        "MaxRAM": site.ram_mb,
        "LocalSE": site.storage,
        "CPUNormalizationFactor": 1,
        "CPUTimeLeft": 1_000_000,
    }
    if site.tags:
        described["Tag"] = site.tags
    return described


def _registry(box: DiracLayout) -> Section:
    everyone_may = USER_PROPERTIES
    return {
        "DefaultGroup": USER_GROUP,
        "VO": {VO: {"VOMSName": VO}},
        "Users": {
            USER: {"DN": box.subjects.user, "Email": f"{USER}@localhost"},
            PILOT: {"DN": box.subjects.pilot, "Email": f"{PILOT}@localhost"},
        },
        "Groups": {
            USER_GROUP: {"Users": USER, "VO": VO, "Properties": everyone_may, "AutoUploadProxy": False},
            ADMIN_GROUP: {
                "Users": USER,
                "VO": VO,
                "Properties": (
                    *everyone_may,
                    "Operator",
                    "FullDelegation",
                    "ProxyManagement",
                    "JobAdministrator",
                    "CSAdministrator",
                    "ServiceAdministrator",
                    "SiteManager",
                ),
            },
            PILOT_GROUP: {"Users": PILOT, "VO": VO, "Properties": ("GenericPilot", "LimitedDelegation")},
        },
        "Hosts": {
            "localhost": {
                "DN": box.subjects.host,
                "Properties": (
                    "TrustedHost",
                    "CSAdministrator",
                    "JobAdministrator",
                    "FullDelegation",
                    "ProxyManagement",
                    "Operator",
                    "SiteManager",
                ),
            }
        },
    }


def _sites(sites: tuple[Site, ...]) -> Section:
    """Sites by grid, the first part of their names."""
    grids: Section = {}
    for site in sites:
        grid, _, rest = site.name.partition(".")
        element = {
            "CEType": "InProcess",
            "NumberOfProcessors": site.processors,
            "MaxRAM": site.ram_mb,
            **({"Tag": site.tags} if site.tags else {}),
            "Queues": {"testbed": {"maxCPUTime": 10000}},
        }
        grids.setdefault(grid, {})[site.name] = {
            "Name": rest,
            "CE": _computing_element(site),
            "SE": site.storage,
            "CEs": {_computing_element(site): element},
        }
    return grids


def _computing_element(site: Site) -> str:
    return f"ce.{site.name.lower()}"


def _sandbox_storage(box: DiracLayout) -> Section:
    name = "WorkloadManagement/SandboxStore"
    access = {"Host": "localhost", "Port": box.ports[name], "Protocol": "dips", "Path": f"/{name}", "Access": "remote"}
    return {"BackendType": "DISET", "DIP": access}


def _systems(box: DiracLayout) -> Section:
    systems: Section = {}
    for service in SERVICES:
        system, _, name = service.partition("/")
        section = systems.setdefault(system, {"URLs": {}, "Services": {}})
        section["URLs"][name] = _url(box, service)
        section["Services"][name] = {
            "Port": box.ports[service],
            "Protocol": "dips",
            "MaxThreads": 20,
            "Authorization": {"Default": "authenticated"},
        }
    for database, system in DATABASES.items():
        systems[system].setdefault("Databases", {})[database] = {"DBName": database}
    systems["Configuration"]["Services"]["Server"] |= {
        "HandlerPath": "DIRAC/ConfigurationSystem/Service/ConfigurationHandler.py",
        "Authorization": {"Default": "authenticated", "commitNewData": "CSAdministrator"},
    }
    # the Matcher and the optimizers ask as hosts, users' clients as anybody
    systems["ResourceStatus"]["Services"]["ResourceStatus"]["Authorization"]["select"] = "all"
    _complete_workload(systems["WorkloadManagement"], box)
    return systems


def _complete_workload(workload: Section, box: DiracLayout) -> None:
    """Settings beyond where things are; waiting times are short, as nothing here is far or overloaded."""
    services = workload["Services"]
    services["JobManager"]["MaxParametricJobs"] = box.max_parametric_jobs
    services["SandboxStore"] |= {
        "LocalSE": SANDBOX_STORAGE,
        "BasePath": box.root / "sandboxes",
        "MaxSandboxSizeMiB": 100,
        "Authorization": {"Default": "authenticated", "FileTransfer": {"Default": "authenticated"}},
    }
    services["OptimizationMind"] |= {"Authorization": {"Default": "TrustedHost"}, "LoadJobPeriod": 2}
    workload["Databases"]["JobParametersDB"] = {"DBName": "JobParametersDB", "Host": "127.0.0.1"}
    workload["Executors"] = {
        "Optimizers": {"Load": ("JobPath", "JobSanity", "InputData", "JobScheduling")},
        # a job whose sites are all banned is looked at again after 300 s
        "JobScheduling": {"HoldTime": 5},
    }
    workload["JobWrapper"] = {
        "StopMargin": 0,
        # how soon a kill is noticed: 10, 1800, 1200 s
        "PollingTime": 1,
        "CheckingTime": 2,
        "MinCheckingTime": 2,
    }
    workload["Agents"] = {
        "JobAgent": {
            "PollingTime": 1,
            "SubmissionDelay": 0,
            "StopAfterFailedMatches": 1_000_000_000,
            "StopAfterHostFailures": 1_000_000_000,
            "StopOnApplicationFailure": False,
            "MinimumTimeLeft": 0,
            "FillingModeFlag": True,
            "DefaultLogLevel": "INFO",
            "JobWrapperTemplate": box.root / "JobWrapperTemplate.py",
        }
    }


def _url(box: DiracLayout, service: str) -> str:
    return f"dips://localhost:{box.ports[service]}/{service}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(each) for each in value)
    if isinstance(value, str | int | Path):
        return str(value)
    raise TypeError(f"{value!r} has no form in DIRAC's configuration")
