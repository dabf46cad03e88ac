"""The two commands. A mistake of the user's is one line on stderr and exit code 1."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from simpipe import NOTICE, SimpipeError, __version__, array, card


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=description, epilog=NOTICE)
    parser.add_argument("--version", action="version", version=f"{name} {__version__} (parametrised)")
    return parser


def _guarded(name: str, work: Callable[[], str]) -> int:
    try:
        print(f"{name}: {work()}. {NOTICE}", file=sys.stderr)
    except (SimpipeError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


def shower(argv: Sequence[str] | None = None) -> int:
    """``simpipe-shower CARD -o RUN``: Cherenkov light of showers, in the place of CORSIKA."""
    parser = _parser("simpipe-shower", "Air showers from a CORSIKA input card, parametrised.")
    parser.add_argument("card", type=Path, help="CORSIKA input card")
    parser.add_argument("-o", "--output", type=Path, required=True, help="run file (eventio, as CORSIKA-IACT)")
    given = parser.parse_args(argv)

    def work() -> str:
        from simpipe import run

        asked = card.read(given.card)
        events = run.simulate(asked, given.output, lambda line: print(f"simpipe-shower: {line}", file=sys.stderr))
        return f"run {asked.run}: {asked.showers} showers, {events} events"

    return _guarded("simpipe-shower", work)


def telescopes(argv: Sequence[str] | None = None) -> int:
    """``simpipe-telescopes RUN --array ARRAY -o DL1``: images of those showers, in the place of sim_telarray."""
    parser = _parser("simpipe-telescopes", "Camera images of the showers of a run file, parametrised.")
    parser.add_argument("run", type=Path, help="run file of simpipe-shower")
    parser.add_argument("--array", type=Path, required=True, help="description of the array (YAML)")
    parser.add_argument("--seed", type=int, default=1, help="of night sky, noise and detection (default 1)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="DL1 file (HDF5, as ctapipe)")
    given = parser.parse_args(argv)

    def work() -> str:
        described = array.read(given.array)
        from simpipe import dl1  # ctapipe takes seconds to import: after the mistakes that can be found without

        thrown, triggered = dl1.write(given.run, described, given.output, given.seed)
        return f"{triggered} of {thrown} events triggered {described.name}"

    return _guarded("simpipe-telescopes", work)
