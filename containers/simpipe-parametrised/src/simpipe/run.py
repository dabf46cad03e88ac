"""A run of showers: from a card to a run file, the same bytes for the same card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from simpipe import atmosphere, iact, light, shower
from simpipe.card import Card
from simpipe.shower import Emission, Floats, Generator

PHOTON, PROTON = 1, 14


def generator(card: Card, number: int) -> Generator:
    """The random numbers of one shower: they depend on the card's seeds, its run and the shower's number alone."""
    return np.random.default_rng([*card.seeds, card.run, number])


def energy(rng: Generator, card: Card) -> float:
    """GeV, from a power law between the card's limits."""
    low, high = card.energy
    if low == high:
        return low
    u, power = rng.uniform(), card.slope + 1
    if abs(power) < 1e-9:
        return float(low * (high / low) ** u)
    return float((low**power + u * (high**power - low**power)) ** (1 / power))


def pointing(zenith: float, azimuth: float) -> Floats:
    """Unit vector towards where showers come from; degrees, the azimuth being that of their flight (CORSIKA's PHIP)."""
    theta, phi = np.radians(zenith), np.radians(azimuth)
    return -np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), -np.cos(theta)])


def direction(rng: Generator, card: Card) -> Floats:
    """Evenly within the view cone."""
    axis = pointing(card.zenith, card.azimuth)
    if card.viewcone == 0:
        return axis
    cosine = 1 - rng.uniform() * (1 - np.cos(np.radians(card.viewcone)))
    return shower.tilted(axis, float(np.arccos(cosine)), rng.uniform(0, 2 * np.pi))


def cores(rng: Generator, card: Card) -> Floats:
    """Where the axis hits the ground in each use: evenly in a circle around the array."""
    radius, turn = card.scatter_radius * np.sqrt(rng.uniform(size=card.uses)), rng.uniform(0, 2 * np.pi, card.uses)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def emission(rng: Generator, card: Card, gev: float, axis: Floats) -> tuple[Emission | None, float]:
    """The shower's light, and the height of its first interaction in m."""
    level, band = card.observation_level, card.wavelengths
    if card.primary == PROTON:
        parts, slant = shower.hadronic(rng, gev, axis, level, band)
    else:
        slant = shower.photon_start(rng) if card.primary == PHOTON else shower.electron_start(rng)
        made = shower.electromagnetic(gev, slant, axis, level, band)
        parts = [] if made is None else [made]
    return shower.joined(parts), float(atmosphere.height(slant * axis[2]))


def simulate(card: Card, output: Path, told: Callable[[str], None] = lambda _: None) -> int:
    """Write the run file; how many events, showers times uses, it has."""
    spheres = np.array([[t.x, t.y, t.z, t.radius] for t in card.telescopes])
    with output.open("wb") as stream, iact.Writer(stream, card) as run:
        for number in range(card.first_event, card.first_event + card.showers):
            rng = generator(card, number)
            gev, axis, where = energy(rng, card), direction(rng, card), cores(rng, card)
            made, first = emission(rng, card, gev, axis)
            run.shower(number, gev, axis, first, where)
            for use, core in enumerate(where):
                seen = spheres - np.array([core[0], core[1], 0.0, 0.0])
                run.use(use, _light(rng, made, seen, axis, card.observation_level))
            run.shower_end(number)
            if (number - card.first_event + 1) % 100 == 0:
                told(f"{number - card.first_event + 1} of {card.showers} showers")
    return card.showers * card.uses


def _light(rng: Generator, made: Emission | None, seen: Floats, axis: Floats, level: float) -> list[np.ndarray]:
    if made is None:
        return [np.zeros(0, dtype=light.BUNCH)] * len(seen)
    return light.bunches(rng, made, seen, axis, level)
