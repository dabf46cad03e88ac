#!/usr/bin/env python3
"""Is a CORSIKA run whole?

A run that was killed, or filled its disk, leaves a DAT file that looks like any other. Three
witnesses are heard, as many as are given: the DAT file (block structure, RUNE, events counted),
the input card (NSHOW, RUNNR, EVTNR, PRMPAR, ERANGE) and the log (END OF RUN, events generated).
Block layout and words: CORSIKA user's guide, KIT, section "Normal particle output".
"""

import argparse
import gzip
import json
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from corsikaio import CorsikaFile  # type: ignore[import-untyped]

END_OF_RUN = "END OF RUN"
GENERATED = "NUMBER OF GENERATED EVENTS"
GZIP_MAGIC = b"\x1f\x8b"
SINGLE = float(np.finfo(np.float32).eps)  # CORSIKA writes 32-bit words; the card has more digits
UNREADABLE = (OSError, EOFError, ValueError, StopIteration, struct.error)  # what corsikaio raises


@dataclass(frozen=True, slots=True)
class Card:
    """What the input card asks for; None where it leaves CORSIKA its default."""

    run: int | None
    first_event: int | None
    showers: int | None
    primary: int | None  # CORSIKA's particle id, 14 is a proton
    energy_gev: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Log:
    """What CORSIKA's standard output says of how the run ended."""

    end_of_run: bool
    showers: int | None


@dataclass(frozen=True, slots=True)
class Data:
    """What is in the DAT file."""

    run: int
    corsika: str
    thinned: bool
    events: int
    events_by_run_end: int | None  # None: the RUNE block is missing
    records: int  # particle or photon records, summed over events
    first_event: int | None
    last_event: int | None
    primaries: tuple[int, ...]
    energy_gev: tuple[float, float] | None  # least and greatest primary energy
    unreadable: str | None  # why reading stopped early


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict and what it rests on."""

    whole: bool
    problems: tuple[str, ...]
    data: Data
    card: Card | None
    log: Log | None
    files: Mapping[str, str] = field(default_factory=dict)


def read_text(path: Path) -> str:
    """Text of a card or log, gzipped or not."""
    raw = path.read_bytes()
    if raw.startswith(GZIP_MAGIC):
        raw = gzip.decompress(raw)
    return raw.decode("utf-8", errors="replace")


def parse_card(text: str) -> Card:
    """Read keywords from an input card: one a line, upper case, values after blanks."""
    words: dict[str, list[str]] = {}
    for line in text.splitlines():
        parts = line.split()
        if parts and parts[0].upper() == "EXIT":
            break
        if parts:
            words.setdefault(parts[0].upper(), parts[1:])

    def number(key: str) -> int | None:
        return int(float(words[key][0])) if words.get(key) else None

    limits = words.get("ERANGE", [])
    return Card(
        run=number("RUNNR"),
        first_event=number("EVTNR"),
        showers=number("NSHOW"),
        primary=number("PRMPAR"),
        energy_gev=(float(limits[0]), float(limits[1])) if len(limits) > 1 else None,
    )


def parse_log(text: str) -> Log:
    """Find the end of the run, and the number of showers in the run's summary."""
    showers = None
    for line in text.splitlines():
        if line.strip().startswith(GENERATED):
            showers = int(line.partition("=")[2])
    return Log(end_of_run=END_OF_RUN in text, showers=showers)


def read_data(path: Path, *, thinned: bool) -> Data:
    """Go through every block of a DAT file; a broken one ends the reading and is told."""
    numbers: list[int] = []
    primaries: set[int] = set()
    energies: list[float] = []
    records = 0
    run_end: int | None = None
    unreadable: str | None = None
    with CorsikaFile(path, thinning=thinned) as file:
        header = file.run_header
        try:
            for event in file:
                numbers.append(int(event.header["event_number"]))
                primaries.add(int(event.header["particle_id"]))
                energies.append(float(event.header["total_energy"]))
                records += len(event.data)
            run_end = int(np.atleast_1d(file.run_end)[0]["n_events"])
        except UNREADABLE as error:
            unreadable = str(error)
    return Data(
        run=int(header["run_number"]),
        corsika=f"{float(header['version']):.4f}",
        thinned=thinned,
        events=len(numbers),
        events_by_run_end=run_end,
        records=records,
        first_event=numbers[0] if numbers else None,
        last_event=numbers[-1] if numbers else None,
        primaries=tuple(sorted(primaries)),
        energy_gev=(min(energies), max(energies)) if energies else None,
        unreadable=unreadable,
    )


def problems_of(data: Data, card: Card | None, log: Log | None) -> list[str]:
    """Everything that speaks against the run, one sentence each; empty for a whole run."""
    found: list[str] = []
    if data.unreadable is not None:
        found.append(
            f"the data end after {data.events} whole events: {data.unreadable}"
            + ("" if data.events or data.thinned else " (a thinned run needs --thinned)")
        )
    elif data.events_by_run_end != data.events:
        found.append(f"RUNE counts {data.events_by_run_end} events, the file has {data.events}")
    if card is not None:
        found += against_card(data, card)
    if log is not None:
        found += against_log(data, card, log)
    return found


def against_card(data: Data, card: Card) -> list[str]:
    """Compare the data with what the card asked for."""
    found: list[str] = []
    if card.showers is not None and data.events != card.showers:
        found.append(f"the card asks for NSHOW {card.showers}, the file has {data.events} events")
    if card.run is not None and data.run != card.run:
        found.append(f"the card is of run {card.run}, the data are of run {data.run}")
    if None not in (card.first_event, data.first_event) and card.first_event != data.first_event:
        found.append(f"the card starts at event {card.first_event}, the data {data.first_event}")
    if card.primary is not None and data.primaries and data.primaries != (card.primary,):
        found.append(f"the card asks for primary {card.primary}, the data have {data.primaries}")
    if card.energy_gev is not None and data.energy_gev is not None:
        low, high = card.energy_gev
        least, greatest = data.energy_gev
        if least < low * (1 - SINGLE) or greatest > high * (1 + SINGLE):
            found.append(
                f"the card's energies are {low:g} to {high:g} GeV, those of the data {least:g} to {greatest:g} GeV"
            )
    return found


def against_log(data: Data, card: Card | None, log: Log) -> list[str]:
    """Compare the log with the data and the card."""
    found: list[str] = []
    if not log.end_of_run:
        found.append(f"the log has no {END_OF_RUN}: CORSIKA did not finish")
    if log.showers is not None and log.showers != data.events:
        found.append(f"the log counts {log.showers} events, the file has {data.events}")
    wanted = card.showers if card is not None else None
    if None not in (log.showers, wanted) and log.showers != wanted:
        found.append(f"the log counts {log.showers} events, the card asks for NSHOW {wanted}")
    return found


def check(data: Path, card: Path | None, log: Path | None, *, thinned: bool) -> Report:
    """Hear all witnesses that were given."""
    read = read_data(data, thinned=thinned)
    read_card = parse_card(read_text(card)) if card is not None else None
    read_log = parse_log(read_text(log)) if log is not None else None
    problems = problems_of(read, read_card, read_log)
    given = {"data": data, "card": card, "log": log}
    return Report(
        whole=not problems,
        problems=tuple(problems),
        data=read,
        card=read_card,
        log=read_log,
        files={kind: path.name for kind, path in given.items() if path is not None},
    )


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="corsika-check",
        description="Say whether a CORSIKA run is whole: exit 0 if it is, 1 if not.",
    )
    parser.add_argument("data", type=Path, help="DAT or CER file, plain, gzip or zstd")
    parser.add_argument("--card", type=Path, help="input card of the run")
    parser.add_argument("--log", type=Path, help="standard output of the run, plain or gzip")
    parser.add_argument("--thinned", action="store_true", help="the run was made with THIN")
    parser.add_argument("--report", type=Path, help="write the report here (JSON)")
    parser.add_argument("--report-only", action="store_true", help="exit 0 for a broken run too")
    parser.add_argument("--version", action="version", version=f"%(prog)s 1.0.0 (corsikaio {version('corsikaio')})")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Check one run; problems go to stderr, one a line."""
    given = arguments().parse_args(argv)
    try:
        result = check(given.data, given.card, given.log, thinned=given.thinned)
    except UNREADABLE as error:
        why = str(error) or "it is empty"
        print(f"corsika-check: {given.data.name} is not a whole CORSIKA run: {why}", file=sys.stderr)
        return 1
    text = json.dumps(asdict(result), indent=2) + "\n"
    if given.report is None:
        sys.stdout.write(text)
    else:
        given.report.write_text(text, encoding="utf-8")
    if result.whole:
        print(
            f"corsika-check: run {result.data.run} is whole, {result.data.events} events",
            file=sys.stderr,
        )
        return 0
    for problem in result.problems:
        print(f"corsika-check: run {result.data.run} is not whole: {problem}", file=sys.stderr)
    return 0 if given.report_only else 1


if __name__ == "__main__":
    sys.exit(main())
