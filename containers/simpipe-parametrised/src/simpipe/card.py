"""CORSIKA input cards: the keywords that a parametrised shower can honour, read into one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simpipe import SimpipeError

PRIMARIES = {1: "gamma", 2: "positron", 3: "electron", 14: "proton"}
"""CORSIKA's particle codes (user's guide, table of particle codes) that there is a model for."""

CM = 0.01
MOST_USES = 20  # the event header has room for as many


@dataclass(frozen=True, slots=True)
class Telescope:
    """The sphere around a telescope in which CORSIKA-IACT collects light: x to the north, y to the west, m."""

    x: float
    y: float
    z: float
    radius: float


@dataclass(frozen=True, slots=True)
class Card:
    """What an input card asks for; lengths in m, energies in GeV, angles in degrees, wavelengths in nm."""

    text: str
    run: int
    first_event: int
    showers: int
    primary: int
    energy: tuple[float, float]
    slope: float
    zenith: float
    azimuth: float
    """Where the shower goes to, from north over west: CORSIKA's PHIP. It comes from the opposite side."""
    viewcone: float
    seeds: tuple[int, ...]
    uses: int
    scatter_radius: float
    observation_level: float
    wavelengths: tuple[float, float]
    magnetic_field: tuple[float, float]
    """Horizontal and vertical component in micro-tesla; kept for the header, no particle is bent."""
    array_rotation: float
    """ARRANG."""
    telescopes: tuple[Telescope, ...]


def read(path: Path) -> Card:
    """Read a card from a file."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SimpipeError(f"{path.name} cannot be read: {error}") from error
    return parse(text, path.name)


def parse(text: str, name: str = "the card") -> Card:
    """Read the keywords of a card; those that only tell CORSIKA how to compute are left alone.

    Raises:
        SimpipeError: a keyword is missing, is no number, or asks for what there is no model for.
    """
    words = _words(text)
    at = _Reader(words, name)
    low, high = at.numbers("ERANGE", 2)
    zenith, azimuth = _fixed(at, "THETAP"), _fixed(at, "PHIP")
    primary = int(at.numbers("PRMPAR", 1)[0])
    if primary not in PRIMARIES:
        known = ", ".join(f"{code} ({what})" for code, what in PRIMARIES.items())
        raise SimpipeError(f"{name}: PRMPAR {primary} has no parametrisation; there are {known}")
    if not 0 < low <= high:
        raise SimpipeError(f"{name}: ERANGE {low:g} {high:g} is no range of energies")
    if not 0 <= zenith <= 60:
        raise SimpipeError(f"{name}: THETAP {zenith:g} is not from 0 to 60 degrees, where the formulae hold")
    inner, outer = at.numbers("VIEWCONE", 2, (0.0, 0.0))
    if inner != 0 or not 0 <= outer <= 20:
        raise SimpipeError(f"{name}: VIEWCONE {inner:g} {outer:g} is not a full cone of at most 20 degrees")
    scatter = at.numbers("CSCAT", 3, (1.0, 0.0, 0.0))
    uses = int(scatter[0])
    if not 1 <= uses <= MOST_USES or scatter[2] != 0:
        raise SimpipeError(f"{name}: CSCAT needs 1 to {MOST_USES} uses, a radius, and 0 (scattered in a circle)")
    showers = int(at.numbers("NSHOW", 1)[0])
    if showers < 1:
        raise SimpipeError(f"{name}: NSHOW {showers} asks for no shower")
    return Card(
        text=text,
        run=int(at.numbers("RUNNR", 1)[0]),
        first_event=int(at.numbers("EVTNR", 1, (1.0,))[0]),
        showers=showers,
        primary=primary,
        energy=(low, high),
        slope=at.numbers("ESLOPE", 1, (0.0,))[0],
        zenith=zenith,
        azimuth=azimuth,
        viewcone=outer,
        seeds=tuple(int(at.of("SEED", line, 1)[0]) for line in words.get("SEED", ())),
        uses=uses,
        scatter_radius=scatter[1] * CM,
        observation_level=at.numbers("OBSLEV", 1)[0] * CM,
        wavelengths=at.numbers("CWAVLG", 2, (300.0, 450.0)),
        magnetic_field=at.numbers("MAGNET", 2, (0.0, 0.0)),
        array_rotation=at.numbers("ARRANG", 1, (0.0,))[0],
        telescopes=_telescopes(at, words, name),
    )


def _words(text: str) -> dict[str, list[Sequence[str]]]:
    """Each keyword with the values of all its lines, up to EXIT; a line that begins with ``*`` is a comment."""
    words: dict[str, list[Sequence[str]]] = {}
    for line in text.splitlines():
        parts = line.split()
        if not parts or parts[0].startswith("*"):
            continue
        if parts[0].upper() == "EXIT":
            break
        words.setdefault(parts[0].upper(), []).append(parts[1:])
    return words


@dataclass(frozen=True, slots=True)
class _Reader:
    words: Mapping[str, Sequence[Sequence[str]]]
    name: str

    def numbers(self, key: str, count: int, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """The first ``count`` values of a keyword's last line."""
        if key not in self.words:
            if default is None:
                raise SimpipeError(f"{self.name}: {key} is missing")
            return default
        return self.of(key, self.words[key][-1], count)

    def of(self, key: str, values: Sequence[str], count: int) -> tuple[float, ...]:
        try:
            found = tuple(float(value) for value in values[:count])
        except ValueError:
            raise SimpipeError(f"{self.name}: {key} {' '.join(values)} is not {count} numbers") from None
        if len(found) != count:
            raise SimpipeError(f"{self.name}: {key} has {len(found)} of {count} values")
        return found


def _fixed(at: _Reader, key: str) -> float:
    low, high = at.numbers(key, 2)
    if low != high:
        raise SimpipeError(f"{at.name}: {key} {low:g} {high:g} is a range; a run needs one direction (and VIEWCONE)")
    return low


def _telescopes(at: _Reader, words: Mapping[str, Sequence[Sequence[str]]], name: str) -> tuple[Telescope, ...]:
    lines = words.get("TELESCOPE", ())
    if not lines:
        raise SimpipeError(f"{name}: TELESCOPE is missing; one line for each telescope: x y z radius, in cm")
    return tuple(Telescope(*(value * CM for value in at.of("TELESCOPE", line, 4))) for line in lines)
