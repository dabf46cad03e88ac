"""The options that say where jobs run, and how they are treated there."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gridcwl.config import Config
from gridcwl.errors import ConfigError

if TYPE_CHECKING:
    from gridcwl.model import Placement
    from gridcwl.runs.places import DiracChoice, ServerName

Backend = Literal["local", "dirac", "diracx"]
Mode = Literal["wms", "local"]

RETRIES = 2
"""At DIRAC a place that fails is nothing unusual: the job is tried elsewhere."""


@dataclass(frozen=True, slots=True)
class GridOptions:
    """What the user asked for, with what is configured."""

    backend: Backend = "local"
    dirac_mode: Mode = "wms"
    detach: bool = False
    sites: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    platform: str | None = None
    priority: int | None = None
    job_type: str | None = None
    cpu_time: int | None = None
    placement: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By step: the fields of the hint."""
    locality: Literal["prefer", "strict", "off"] = "prefer"
    local_mib: int = 100
    local_wait: int = 300
    pack: int | Literal["auto"] = 1
    window: int = 2000
    longest_pause: int = 30
    stalled_after: int = 3600
    engines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def server(self) -> ServerName | None:
        """Who takes the jobs; None where they run here without anybody."""
        from gridcwl.runs.places import server_of

        return server_of(self.backend, self.dirac_mode)

    @property
    def is_elsewhere(self) -> bool:
        """Jobs run on other machines."""
        return self.server in ("dirac", "diracx")

    def plain(self) -> dict[str, Any]:
        """For the journal."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def from_plain(saved: Mapping[str, Any]) -> GridOptions:
    """What :meth:`GridOptions.plain` gave, after a journey through JSON; unknown fields are left out."""
    known = {entry.name for entry in fields(GridOptions)}
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()}
    return GridOptions(**{name: value for name, value in values.items() if name in known})


def add_grid(group: argparse._ArgumentGroup) -> None:
    """Add the options."""
    group.add_argument(
        "--backend",
        choices=("local", "dirac", "diracx"),
        help="where jobs run (default: local); diracx: by DiracX",
    )
    group.add_argument(
        "--dirac-mode",
        choices=("wms", "local"),
        help="local: DIRAC's own local mode, with no server and no certificate (default: wms)",
    )
    group.add_argument("--site", action="append", metavar="SITE", help="run jobs only there; may be given again")
    group.add_argument("--ban-site", action="append", metavar="SITE", help="run no jobs there; may be given again")
    group.add_argument("--tag", action="append", metavar="TAG", help="what sites have to offer; may be given again")
    group.add_argument("--platform", metavar="NAME", help="as DIRAC's configuration calls it")
    group.add_argument("--priority", type=int, metavar="N", help="among your own jobs, 0 to 10")
    group.add_argument("--job-type", metavar="NAME", help="as the server knows it (default: User)")
    group.add_argument("--cpu-time", type=int, metavar="S", help="for tools without a ToolTimeLimit")
    group.add_argument("--placement", metavar="FILE", help="YAML: the fields of gridcwl:Placement by step name")
    group.add_argument(
        "--locality", choices=("prefer", "strict", "off"), help="run jobs where their inputs are (default: prefer)"
    )
    group.add_argument(
        "--pack-jobs",
        dest="pack",
        type=pack,
        metavar="N",
        help="N shards in one DIRAC job, or auto (default 1); as --pack N",
    )
    group.add_argument("--detach", action="store_true", help="submit what is ready and leave; gridcwl attach goes on")


def is_pack(text: str) -> bool:
    """Whether a word behind ``--pack`` belongs to it: alone it is cwltool's option."""
    return text == "auto" or text.isdigit()


def read(given: argparse.Namespace, config: Config) -> GridOptions:
    """The options of a command line, over those of the configuration.

    Raises:
        ConfigError: the placement file cannot be read or is wrong.
    """
    ours, dirac = GridOptions(), config.dirac
    words: dict[str, Any] = {
        "sites": tuple(given.site or ()) or dirac.sites,
        "banned": tuple(dict.fromkeys((*dirac.banned, *(given.ban_site or ())))),
        "tags": tuple(given.tag or ()) or dirac.tags,
    }
    single: dict[str, Any] = {}
    for name in ("platform", "priority", "job_type", "cpu_time", "locality", "pack"):
        said = getattr(given, name)
        single[name] = _first(said, getattr(dirac, name), getattr(ours, name))
    for name in ("local_mib", "local_wait", "window", "longest_pause", "stalled_after"):
        single[name] = _first(getattr(dirac, name), getattr(ours, name))
    backend = given.backend or config.backend or "local"
    return GridOptions(
        backend=backend,
        dirac_mode=_mode(given, config, backend),
        detach=given.detach,
        placement=_placements(given.placement) if given.placement else {},
        engines=dirac.engines,
        images=dirac.images,
        **words,
        **single,
    )


def _mode(given: argparse.Namespace, config: Config, backend: str) -> Mode:
    """What is configured is for ``--backend dirac`` alone; what is typed for another is a mistake."""
    if backend != "dirac":
        if given.dirac_mode == "local":
            raise ConfigError("--dirac-mode local is not for --backend " + backend, remedy="Give --backend dirac, too.")
        return "wms"
    mode: Mode = given.dirac_mode or config.dirac.mode or "wms"
    if mode == "local" and given.detach:
        raise ConfigError(
            "Jobs in DIRAC's local mode end with gridcwl: --detach has nothing to leave them to",
            remedy="Leave --detach out, or go to the grid: --dirac-mode wms.",
        )
    return mode


def choice(
    options: GridOptions,
    *,
    max_jobs: int | None = None,
    site: str = "",
    capabilities: Sequence[str] = (),
    processes: int | None = None,
) -> DiracChoice:
    """What the options mean for the backend.

    Args:
        options: with a backend that is not ``local``.
        max_jobs: at a time, in DIRAC's local mode.
        site: where this machine is, for the same.
        capabilities: Linux capabilities that containers keep.
        processes: the most processes in a container; None is the worker's default.
    """
    from gridcwl.backends.dirac.matching import Wishes
    from gridcwl.model import Placement
    from gridcwl.runs.places import DiracChoice

    everywhere = Placement(
        options.sites, options.banned, options.tags, options.platform, options.priority, options.job_type
    )
    return DiracChoice(
        server=options.server or "dirac",
        max_jobs=max_jobs,
        site=site,
        wishes=Wishes(
            placement=everywhere,
            steps={step: _placement(step, about) for step, about in options.placement.items()},
            cpu_time_s=options.cpu_time,
            locality=options.locality,
            local_bytes=options.local_mib << 20,
            local_wait_s=float(options.local_wait),
        ),
        pack=options.pack,
        sites=_worker_settings(options, capabilities, processes),
        poll_top_s=float(options.longest_pause),
        stalled_s=float(options.stalled_after),
        window=options.window,
        leave=options.detach,
    )


def _worker_settings(options: GridOptions, capabilities: Sequence[str], processes: int | None) -> dict[str, Any]:
    """What workers of each site have to know of containers; ``*`` is every site."""
    settings: dict[str, dict[str, Any]] = {}
    for key, table in (("engines", options.engines), ("images", options.images)):
        for site, words in table.items():
            settings.setdefault(site, {})[key] = list(words)
    if capabilities:
        settings.setdefault("*", {})["cap_add"] = list(capabilities)
    if processes is not None:
        settings.setdefault("*", {})["pids_limit"] = processes
    return settings


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def pack(text: str) -> int | str:
    """How many shards go into one job, for argparse."""
    if text == "auto":
        return text
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1, or auto")
    return number


def _placements(name: str) -> dict[str, dict[str, Any]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        written = YAML(typ="safe").load(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ConfigError(f"The placement file {name} cannot be read: {error}") from error
    if not isinstance(written, dict) or not all(isinstance(about, dict) for about in written.values()):
        raise ConfigError(
            f"The placement file {name} has to be a table of steps",
            remedy="As in:\n  align/sort:\n    sites: [LCG.Lyon.fr]\n    priority: 5",
        )
    for step, about in written.items():
        _placement(step, about)
    return written


def _placement(step: str, about: Mapping[str, Any]) -> Placement:
    from gridcwl.model import Placement

    known = {"jobType": "job_type"} | {entry.name: entry.name for entry in fields(Placement)}
    strangers = about.keys() - known.keys()
    if strangers:
        raise ConfigError(
            f"The placement of {step} has no field {sorted(strangers)[0]!r}",
            remedy="It has: sites, banned, tags, platform, priority, jobType.",
        )
    made = Placement()
    for name, value in about.items():
        listed = name in ("sites", "banned", "tags")
        if listed and not isinstance(value, list | tuple):
            raise ConfigError(f"{name} of the placement of {step} is {value!r}, but takes a list of names")
        change: dict[str, Any] = {known[name]: tuple(value) if listed else value}
        made = replace(made, **change)
    return made
