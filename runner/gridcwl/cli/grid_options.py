"""The options that say where jobs run, and how they are treated there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from gridcwl.config import Config
from gridcwl.errors import ConfigError
from gridcwl.runs.options import GridOptions, Mode


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
    group.add_argument("--site", action="append", metavar="SITE", help="run jobs only at this site; may be repeated")
    group.add_argument("--ban-site", action="append", metavar="SITE", help="run no jobs at this site; may be repeated")
    group.add_argument("--tag", action="append", metavar="TAG", help="tag that sites must offer; may be repeated")
    group.add_argument("--platform", metavar="NAME", help="platform, as named in DIRAC's configuration")
    group.add_argument("--priority", type=int, metavar="N", help="priority among your own jobs, 0 to 10")
    group.add_argument("--job-type", metavar="NAME", help="job type that the server accepts (default: User)")
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
    group.add_argument("--detach", action="store_true", help="submit ready jobs and exit; gridcwl attach resumes")


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
            "Jobs in DIRAC's local mode end with gridcwl, so they cannot be detached",
            remedy="Omit --detach, or use a DIRAC server: --dirac-mode wms.",
        )
    return mode


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

    from gridcwl.runs.opening import placement_of

    try:
        written = YAML(typ="safe").load(Path(name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ConfigError(f"The placement file {name} cannot be read: {error}") from error
    if not isinstance(written, dict) or not all(isinstance(about, dict) for about in written.values()):
        raise ConfigError(
            f"The placement file {name} has to be a table of steps",
            remedy="For example:\n  align/sort:\n    sites: [LCG.Lyon.fr]\n    priority: 5",
        )
    for step, about in written.items():
        placement_of(step, about)
    return written
