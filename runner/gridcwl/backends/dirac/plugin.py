"""How the DIRAC backends are found, and their settings: the table ``[dirac]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from gridcwl.backends.base import BackendPlugin
from gridcwl.backends.dirac.placements import read_placements
from gridcwl.settings import Setting

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Words = tuple[str, ...]
_BySite = Mapping[str, _Words]


class DiracxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How jobs are run by DIRAC, whoever answers for it."""

    sites: Annotated[
        _Words,
        Setting("run jobs only at this site; may be repeated", option="--site", metavar="SITE"),
    ] = ()
    banned: Annotated[
        _Words, Setting("run no jobs at this site; may be repeated", option="--ban-site", metavar="SITE", adds=True)
    ] = ()
    tags: Annotated[_Words, Setting("tag that sites must offer; may be repeated", option="--tag", metavar="TAG")] = ()
    platform: Annotated[
        _Text | None, Setting("platform, as named in DIRAC's configuration", option="--platform", metavar="NAME")
    ] = None
    priority: Annotated[
        _Count | None, Setting("priority among your own jobs, 0 to 10", option="--priority", metavar="N")
    ] = None
    job_type: Annotated[
        _Text | None, Setting("job type that the server accepts (default: User)", option="--job-type", metavar="NAME")
    ] = None
    cpu_time: Annotated[
        _Positive | None,
        Setting("CPU seconds of jobs whose tool has no ToolTimeLimit", option="--cpu-time", metavar="S"),
    ] = None
    """Seconds, for tools without a time limit."""
    placement: Annotated[
        Mapping[str, Mapping[str, Any]],
        Setting(
            "YAML: the fields of gridcwl:Placement by step name",
            option="--placement",
            metavar="FILE",
            configurable=False,
            read=read_placements,
        ),
    ] = {}
    """By step: the fields of the hint."""
    locality: Annotated[
        Literal["prefer", "strict", "off"],
        Setting("run jobs where their inputs are (default: prefer)", option="--locality"),
    ] = "prefer"
    local_mib: Annotated[_Count, Setting("with less than this to move, prefer lets a job run anywhere")] = 100
    local_wait: Annotated[_Count, Setting("seconds for which prefer waits for a site that has the inputs")] = 300
    pack: Annotated[
        _Positive | Literal["auto"],
        Setting(
            "N shards in one DIRAC job, or auto (default 1); as --pack N",
            option="--pack-jobs",
            metavar="N",
            dest="pack",
        ),
    ] = 1
    window: Annotated[_Positive, Setting("jobs submitted at a time")] = 2000
    longest_pause: Annotated[_Positive, Setting("seconds between two queries of states where nothing happens")] = 30
    stalled_after: Annotated[_Positive, Setting("seconds after which a job without a sign of life is given up")] = 3600
    engines: Annotated[_BySite, Setting("by site, or * for all: container engines in the order of preference")] = {}
    images: Annotated[_BySite, Setting("by site, or * for all: where images are")] = {}


class DiracSettings(DiracxSettings, frozen=True, kw_only=True):
    """The same for DIRAC's own client, which has a local mode."""

    mode: Annotated[
        Literal["wms", "local"],
        Setting(
            "local: DIRAC's own local mode, with no server and no certificate (default: wms)", option="--dirac-mode"
        ),
    ] = "wms"
    """wms is the grid; local is DIRAC's own local mode."""


_HOOKS = frozenset(
    {"preload", "stop", "offers", "sites", "open_batch_jobs", "open_planner", "health", "open_nodes", "open_pool_nodes"}
)

DIRAC = BackendPlugin(
    "dirac",
    "the grid, by DIRAC",
    "gridcwl.backends.dirac.factory",
    settings=DiracSettings,
    table="dirac",
    packages=("DIRAC",),
    title="DIRAC",
    remote=True,
    hooks=_HOOKS | {"accounting"},
    local_mode=lambda settings: bool(settings.mode == "local"),
    local_option="--dirac-mode local",
    local_reads=frozenset({"max_jobs"}),
)
DIRACX = BackendPlugin(
    "diracx",
    "the grid, by DiracX",
    "gridcwl.backends.dirac.factory",
    settings=DiracxSettings,
    table="dirac",
    packages=("httpx",),
    title="DiracX",
    remote=True,
    hooks=_HOOKS,
)
