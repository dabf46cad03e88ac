"""How DIRAC answers, and what its configuration says: values without a server behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from gridcwl.testbed.fakes.jdl import BadJdl, ParsedJdl
from gridcwl.testbed.sites import Site

Result: TypeAlias = dict[str, Any]

EWMSJDL, EWMSSUBM = 1501, 1503
_JOB_TYPES = ("User", "Test", "Hospital")
_WORDS = {EWMSJDL: "Invalid job description", EWMSSUBM: "Job submission error"}


def ok(value: Any, **more: Any) -> Result:
    """DIRAC's S_OK."""
    return {"OK": True, "Value": value, **more}


def error(message: str, number: int = 0, **more: Any) -> Result:
    """DIRAC's S_ERROR; a number puts its words before the message."""
    text = f"{_WORDS[number]} ( {number} : {message})" if number in _WORDS else message
    return {"OK": False, "Errno": number, "Message": text, **more}


def unreachable() -> Result:
    """What DIRAC's client says when nobody listens."""
    return error("Failed to connect to dips://fake: Cannot connect to the service (Connection refused)")


def job_numbers(given: Any) -> list[int]:
    """One job's number, or several, as text or as numbers."""
    among = given if isinstance(given, list | tuple | set) else [given]
    return [int(each) for each in among]


def validate(job: ParsedJdl, sites: Mapping[str, Site]) -> None:
    """What DIRAC's JobManager checks before it takes a job.

    Raises:
        BadJdl: it would not take it.
    """
    if not job.text("Executable"):
        raise BadJdl(_invalid("executable", "executable must not be an empty string"))
    if '"' in job.attributes.get("Arguments", "").strip()[1:-1]:
        raise BadJdl("Var Arguments : value seems a list but is not separated in commas")
    if not 0 <= job.number("Priority", 1) <= 10:
        raise BadJdl(_invalid("priority", "priority out of bounds (must be between 0 and 10)"))
    if (kind := job.text("JobType", "User")) not in _JOB_TYPES:
        allowed = f"must be in {list(_JOB_TYPES)}"
        raise BadJdl(_invalid("jobType", f"jobType '{kind}' is not allowed for this kind of user ({allowed})"))
    unknown = [name for name in job.list("Site") if name.upper() != "ANY" and name not in sites]
    if unknown:
        raise BadJdl(_invalid("sites", f"Invalid sites: {' '.join(unknown)}"))


def _invalid(field: str, why: str) -> str:
    return f"Invalid JDL: 1 validation error for BaseJobDescriptionModel\n{field}\n  Value error, {why}"


def configuration(sites: Iterable[Site], max_parametric_jobs: int) -> dict[str, Any]:
    """What a client asks the configuration for."""
    grids: dict[str, Any] = {}
    for site in sites:
        grid, _, rest = site.name.partition(".")
        element: dict[str, Any] = {"NumberOfProcessors": site.processors, "MaxRAM": site.ram_mb}
        if site.tags:
            element["Tag"] = ", ".join(site.tags)
        grids.setdefault(grid, {})[site.name] = {
            "Name": rest,
            "SE": site.storage,
            "CEs": {f"ce.{site.name.lower()}": {"CEType": "InProcess", **element}},
        }
    manager = {"MaxParametricJobs": max_parametric_jobs}
    return {
        "Resources": {"Sites": grids},
        "Systems": {"WorkloadManagement": {"Services": {"JobManager": manager}}},
    }


class Configuration:
    """A tree of sections, as gConfig gives it."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def getValue(self, path: str, default: Any = None) -> Any:
        """An option, of the default's type."""
        found = self._at(path)
        if found is None or isinstance(found, Mapping):
            return default
        if isinstance(default, list):
            return [item.strip() for item in str(found).split(",")]
        return found if default is None else type(default)(found)

    def getOptions(self, path: str) -> Result:
        """The names of a section's options."""
        found = self._at(path)
        if not isinstance(found, Mapping):
            return error(f"Path {path} does not exist or it's not a section")
        return ok([name for name, value in found.items() if not isinstance(value, Mapping)])

    def getConfigurationTree(self, path: str) -> Result:
        """Every option below a section, by its whole path; sections have no value."""
        found = self._at(path)
        if not isinstance(found, Mapping):
            return error(f"Path {path} does not exist or it's not a section")
        return ok(dict(_flat(path.rstrip("/"), found)))

    def _at(self, path: str) -> Any:
        found: Any = self._tree
        for part in path.strip("/").split("/"):
            if not isinstance(found, Mapping) or part not in found:
                return None
            found = found[part]
        return found


def _flat(path: str, section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        below = f"{path}/{name}"
        if isinstance(value, Mapping):
            yield below, None
            yield from _flat(below, value)
        else:
            yield below, value
