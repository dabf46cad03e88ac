"""The options that say what becomes of outputs, and those that give a run's jobs other resources."""

from __future__ import annotations

import argparse
import re

from gridcwl.errors import UsageError
from gridcwl.model.grouping import Grouping, read_grouping

_SETTING = re.compile(r"(?:(?P<step>[^=]*)\.)?(?P<field>[^.=]+)=(?P<value>.*)", re.DOTALL)


def add_outputs(group: argparse._ActionsContainer) -> None:
    """Add those on what may be replaced, and on what a run that failed has made."""
    group.add_argument("--overwrite", action="store_true", help="replace files that this document did not write")
    group.add_argument(
        "--publish-partial",
        action="store_true",
        help="if the run fails, publish available outputs to OUTDIR/partial-RUN",
    )


def add_ways(group: argparse._ActionsContainer) -> None:
    """Add cwltool's options on how outputs come to the output directory."""
    for way, text in (
        ("move", "move outputs to --outdir and remove the working folder (default)"),
        ("copy", "copy outputs to --outdir and keep the working folder"),
        ("leave", "leave outputs in the working folder, and keep it"),
    ):
        group.add_argument(f"--{way}-outputs", dest="outputs", action="store_const", const=way, help=text)


def add_resources(group: argparse._ActionsContainer) -> None:
    """Add those that change what jobs ask for."""
    group.add_argument(
        "--set",
        dest="settings",
        type=_setting,
        action="append",
        metavar="STEP.FIELD=VALUE",
        help="override a resource of a step: --set align.ramMin=8000",
    )
    group.add_argument(
        "--retry-memory",
        type=_factor,
        metavar="FACTOR",
        help="run jobs that ran out of memory again with FACTOR times as much",
    )
    group.add_argument(
        "--cap-resources",
        action="store_true",
        help="limit requests for cores, memory or GPUs to what this machine has",
    )


def _setting(text: str) -> tuple[str, str, float]:
    """A value as ``gridcwl.cwl.settings.ResourceSetting`` has it: step, field, value."""
    match = _SETTING.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not STEP.FIELD=VALUE, as in align.ramMin=8000")
    try:
        value = float(match["value"])
    except ValueError:
        raise argparse.ArgumentTypeError(f"{match['value']!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{match['value']} is not a possible value")
    return match["step"] or "", match["field"], int(value) if value == int(value) else value


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 1 < factor <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 1 and up to 100")
    return factor


def add_groups(group: argparse._ActionsContainer) -> None:
    """The options that group the files of one input: the document runs once for each group."""
    group.add_argument(
        "--group", metavar="INPUT=N", help="run the document once for every N values of this input (files per job)"
    )
    group.add_argument("--chunks", metavar="[INPUT=]N", help="the same for N groups of this input's values")
    group.add_argument(
        "--balance", choices=("size", "events"), help="with --group or --chunks: groups of about the same size"
    )


def grouping_of(given: argparse.Namespace) -> Grouping | None:
    """What these options mean.

    Raises:
        UsageError: they do not fit each other.
    """
    try:
        return read_grouping(given.group, given.chunks, given.balance)
    except ValueError as error:
        raise UsageError(str(error), remedy="gridcwl --help shows the options.") from None
