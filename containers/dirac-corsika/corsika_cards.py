#!/usr/bin/env python3
"""Input cards for a production of CORSIKA runs, with seeds that are derived and recorded.

A production is one primary, one direction and N runs. The seeds of a run come from the production's seed, the
primary, the run's number and the sequence, by SHA-256: the same production gives the same cards, and no two runs
share a sequence. The record (JSON) holds all of them. Keywords: CORSIKA user's guide, KIT.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

PRIMARIES = {"gamma": 1, "electron": 3, "proton": 14, "helium": 402, "iron": 5626}
SEQUENCES = 4  # hadrons, electromagnetic showers, Cherenkov emission, core positions
GREATEST_SEED = 900_000_000  # CORSIKA's limit
GREATEST_RUN = 999_999  # file names have six digits
MOST_USES = 20
MARGIN = 1.1  # the sphere around a telescope holds the whole mirror
CM_PER_M = 100.0
GEV_PER_TEV = 1000.0


class CardError(Exception):
    """What was asked for makes no card."""


@dataclass(frozen=True, slots=True)
class Production:
    """What all runs have in common: TeV, degrees, m. The azimuth is where showers come from, from north over east."""

    primary: str
    seed: int
    first_run: int
    runs: int
    showers: int
    energy_tev: tuple[float, float]
    slope: float
    zenith: float
    azimuth: float
    viewcone: float
    uses: int
    radius: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its number, its card's name and its seeds."""

    run: int
    card: str
    seeds: tuple[int, ...]


def seeds(production: Production, run: int) -> tuple[int, ...]:
    """A run's seeds, from 1 to CORSIKA's limit."""
    found = []
    for sequence in range(1, SEQUENCES + 1):
        text = f"{production.seed}/{production.primary}/{run}/{sequence}"
        found.append(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % GREATEST_SEED + 1)
    return tuple(found)


def read_array(path: Path) -> tuple[float, list[str]]:
    """The observation level in m, and TELESCOPE lines, from an array's description."""
    try:
        array: Any = yaml.safe_load(path.read_text("utf-8"))
        lines = []
        for telescope in array["telescopes"]:
            area = float(array["types"][telescope["type"]]["mirror_area"])
            where = [float(telescope[key]) * CM_PER_M for key in ("x", "y", "z")]
            radius = MARGIN * (area / 3.14159265) ** 0.5 * CM_PER_M
            lines.append("TELESCOPE " + " ".join(f"{value:.1f}" for value in (*where, radius)))
        return float(array["site"]["altitude"]), lines
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CardError(f"{path.name} does not describe an array: {' '.join(str(error).split())}") from error


def check(production: Production) -> None:
    """Raise for what CORSIKA would refuse after hours, or what would not be a production."""
    low, high = production.energy_tev
    wrong = {
        f"energies {low:g} to {high:g} TeV": not 0 < low <= high,
        f"{production.runs} runs from {production.first_run} on": production.runs < 1
        or production.first_run < 1
        or production.first_run + production.runs - 1 > GREATEST_RUN,
        f"{production.showers} showers": production.showers < 1,
        f"{production.uses} uses of a shower": not 1 <= production.uses <= MOST_USES,
        f"zenith angle {production.zenith:g}": not 0 <= production.zenith < 90,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise CardError(f"{what}: that cannot be simulated")


def card(production: Production, run: Run, level: float, telescopes: Sequence[str]) -> str:
    """The text of one run's card."""
    flight = (180.0 - production.azimuth) % 360.0  # CORSIKA's PHI: where to, from north over west
    lines = [
        f"RUNNR {run.run}",
        "EVTNR 1",
        f"NSHOW {production.showers}",
        f"PRMPAR {PRIMARIES[production.primary]}",
        f"ESLOPE {production.slope:g}",
        f"ERANGE {production.energy_tev[0] * GEV_PER_TEV:g} {production.energy_tev[1] * GEV_PER_TEV:g}",
        f"THETAP {production.zenith:g} {production.zenith:g}",
        f"PHIP {flight:g} {flight:g}",
        f"VIEWCONE 0 {production.viewcone:g}",
        *(f"SEED {seed} 0 0" for seed in run.seeds),
        f"OBSLEV {level * CM_PER_M:g}",
        "ATMOSPHERE 1 Y",
        "MAGNET 30.8 23.2",
        "ECUTS 0.3 0.1 0.02 0.02",
        "MAXPRT 0",
        "CERSIZ 1",
        "CERFIL F",
        "CWAVLG 280 650",
        f"CSCAT {production.uses} {production.radius * CM_PER_M:g} 0",
        *telescopes,
        f"TELFIL run{run.run:06d}.iact",
        "PAROUT T F",
        "DIRECT ./",
        "USER gridcwl",
        "EXIT",
    ]
    return "\n".join(lines) + "\n"


def write(production: Production, array: Path, folder: Path, name: str) -> Path:
    """Write the cards and the record; the record's path."""
    check(production)
    level, telescopes = read_array(array)
    runs = []
    for number in range(production.first_run, production.first_run + production.runs):
        run = Run(number, f"{name}-{number:06d}.inp", seeds(production, number))
        (folder / run.card).write_text(card(production, run, level, telescopes), encoding="utf-8")
        runs.append(run)
    record = folder / f"{name}.production.json"
    content = {"production": asdict(production), "array": array.name, "runs": [asdict(run) for run in runs]}
    record.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return record


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="corsika-cards", description="Write the input cards of a production, and a record of its seeds."
    )
    parser.add_argument("--primary", choices=PRIMARIES, required=True)
    parser.add_argument("--array", type=Path, required=True, help="description of the array (YAML)")
    parser.add_argument("--seed", type=int, default=1, help="of the production; each run's are derived from it")
    parser.add_argument("--first-run", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--showers", type=int, default=100, help="in each run")
    parser.add_argument("--energy", type=float, nargs=2, metavar=("LOW", "HIGH"), default=(0.05, 50.0), help="TeV")
    parser.add_argument("--slope", type=float, default=-2.0, help="of the energies' power law")
    parser.add_argument("--zenith", type=float, default=20.0, help="degrees")
    parser.add_argument("--azimuth", type=float, default=180.0, help="degrees, from north over east")
    parser.add_argument("--viewcone", type=float, default=0.0, help="half angle in degrees")
    parser.add_argument("--uses", type=int, default=5, help="of each shower, at other core positions")
    parser.add_argument("--radius", type=float, default=400.0, help="of the circle of core positions, m")
    parser.add_argument("--name", default="run", help="beginning of the files' names")
    parser.add_argument("--outdir", type=Path, default=Path())
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (PyYAML {version('PyYAML')})")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Write a production's cards."""
    given = vars(arguments().parse_args(argv))
    array, outdir, name = given.pop("array"), given.pop("outdir"), given.pop("name")
    given["energy_tev"] = tuple(given.pop("energy"))
    try:
        record = write(Production(**given), array, outdir, name)
    except (CardError, OSError) as error:
        print(f"corsika-cards: {error}", file=sys.stderr)
        return 1
    print(f"corsika-cards: {given['runs']} cards, recorded in {record}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
