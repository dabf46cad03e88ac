"""Showers: where along their axes how many Cherenkov photons are emitted, and how widely. No telescope is known here.

Directions are unit vectors in CORSIKA's frame: x to the north, y to the west, z up; lengths in m, energies in GeV.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simpipe import atmosphere

Floats = NDArray[np.float64]
Generator = np.random.Generator

RADIATION_LENGTH: Final = 36.7  # g/cm2, in air
CRITICAL_ENERGY: Final = 0.0842  # GeV, of electrons in air
ELECTRON_MASS: Final = 0.511e-3  # GeV
LATERAL: Final = 0.05  # of the Moliere radius: this program's own, see lateral_scale
FIRST_PAIR: Final = 9 / 7  # radiation lengths to a photon's first pair (B. Rossi, High-Energy Particles, 1952)
MOLIERE: Final = 9.6  # g/cm2
FINE_STRUCTURE: Final = 1 / 137.036
MEAN_AIR_MASS: Final = 24136.0  # g/cm2 mb: the mean mass of an air nucleus, 14.54 u, over the cross-section
STEPS: Final = 120
LEAST_ENERGY: Final = 1.0  # GeV: sub-showers below it make no light at ground
_LN_ENERGY: Final = np.linspace(np.log(10.0), np.log(5000.0), 32)  # MeV


@dataclass(frozen=True, slots=True)
class Emission:
    """Cherenkov light of a shower at points along its axes; each array has one row a point."""

    position: Floats
    """m from where the primary's axis meets the observation level."""
    axis: Floats
    """Unit vector towards where the (sub-)shower comes from."""
    photons: Floats
    """Mean number emitted in the step, in the wavelength band."""
    angle: Floats
    """Scale of the angular distribution around the axis, rad: Nerling's theta_c."""
    ring: Floats
    """Cherenkov angle, rad: below it the distribution is flat."""
    age: Floats
    lateral: Floats
    """Mean distance of the emitting electrons from the axis, m."""

    @property
    def height(self) -> Floats:
        """m above the observation level."""
        return self.position[:, 2]


def greisen(energy: float, radiation_lengths: Floats) -> Floats:
    """Mean number of electrons of a photon's shower, and zero where that is none.

    N(t) = 0.31 / sqrt(b) exp(t (1 - 1.5 ln s)), b = ln(E/Ec), s = 3t / (t + 2b). Source: K. Greisen, Prog. Cosmic Ray
    Phys. 3 (1956) 1; in this form in K. Greisen, Ann. Rev. Nucl. Sci. 10 (1960) 63.
    """
    b = np.log(energy / CRITICAL_ENERGY)
    t = np.maximum(radiation_lengths, 1e-6)
    return 0.31 / np.sqrt(b) * np.exp(t * (1 - 1.5 * np.log(shower_age(energy, t))))


def shower_age(energy: float, radiation_lengths: Floats) -> Floats:
    """s = 3t / (t + 2b): 0 at the start, 1 at the maximum (Greisen, as above)."""
    return 3 * radiation_lengths / (radiation_lengths + 2 * np.log(energy / CRITICAL_ENERGY))


def photons_per_depth(age: Floats, height: Floats, wavelengths: tuple[float, float]) -> Floats:
    """Cherenkov photons that one electron of the shower emits per g/cm2.

    Frank and Tamm's yield, 2 pi alpha (1/l1 - 1/l2) 2 delta (1 - (Et/E)^2) per length, over the electrons' spectrum
    f(E, s) = a0 E / ((E + a1) (E + a2)^s) per ln E, E in MeV. Source: F. Nerling et al., Astropart. Phys. 24 (2006)
    421; normalised to electrons above 1 MeV.
    """
    s, energy = age[:, None], np.exp(_LN_ENERGY)[None, :]
    a0 = 1.45098e-1 * np.exp(6.20114 * s - 0.596851 * s**2)
    spectrum = a0 * energy / ((energy + 6.42522 - 1.53183 * s) * (energy + 168.168 - 42.1368 * s) ** s)
    above = np.clip(1 - (threshold(height)[:, None] * 1e3 / energy) ** 2, 0.0, None)
    per_metre = (
        2 * np.pi * FINE_STRUCTURE * (1e9 / wavelengths[0] - 1e9 / wavelengths[1]) * 2 * atmosphere.refractivity(height)
    )
    metres_per_depth = 10.0 / atmosphere.density(height)
    return per_metre * metres_per_depth * np.trapezoid(spectrum * above, _LN_ENERGY, axis=1)


def threshold(height: Floats) -> Floats:
    """Energy in GeV above which an electron emits Cherenkov light: m / sqrt(2 delta)."""
    return ELECTRON_MASS / np.sqrt(2 * atmosphere.refractivity(height))


def angular_scale(height: Floats) -> Floats:
    """How the light spreads around the axis: theta_c = 0.62694 (Et / MeV)^-0.60590 rad (Nerling et al.)."""
    return 0.62694 * (threshold(height) * 1e3) ** -0.60590


def angular_density(angle: Floats, scale: Floats, ring: Floats, age: Floats) -> Floats:
    """Photons per steradian at an angle to the axis, for one photon emitted.

    dN/dtheta = a exp(-theta/tc) / tc + b exp(-theta/tcc) / tcc. Source: Nerling et al., fitted
    above 5 degrees. An electron's light lies on a cone, so nearer to the axis than the cone's angle the density is
    flat: theta is replaced by sqrt(theta^2 + ring^2), and the sum normalised to one photon, which that substitution
    allows in closed form.
    """
    s = np.clip(age, 0.5, 1.5)
    narrow = 0.42489 + 0.58371 * s - 0.082373 * s**2
    wide = 0.055108 - 0.095587 * s + 0.056952 * s**2
    wide_scale = (10.509 - 4.9644 * s) * scale
    theta = np.sqrt(angle**2 + ring**2)
    norm = narrow * np.exp(-ring / scale) + wide * np.exp(-ring / wide_scale)
    shape = narrow * np.exp(-theta / scale) / scale + wide * np.exp(-theta / wide_scale) / wide_scale
    return shape / norm / (2 * np.pi * np.sin(np.clip(theta, 1e-4, np.pi / 2)))


def lateral_scale(height: Floats, age: Floats) -> Floats:
    """Mean distance in m from the axis of the electrons that emit light: part of the Moliere radius, growing with age.

    The Moliere radius is 9.6 g/cm2 (J. Nishimura and K. Kamata, Prog. Theor. Phys. Suppl. 6 (1958) 93). Electrons above
    threshold are much nearer to the axis than all electrons are: the part is such that images are as wide as CORSIKA's.
    """
    return LATERAL * MOLIERE * 10.0 / atmosphere.density(height) * np.clip(age, 0.3, 2.0)


def electromagnetic(
    energy: float, start: float, axis: Floats, level: float, wavelengths: tuple[float, float]
) -> Emission | None:
    """Light of one electromagnetic (sub-)shower whose first pair is at a slant depth in g/cm2; None below threshold.

    Greisen counts from where the photon enters the air, so the profile begins at the mean depth of a first pair.
    ``lateral_scale`` tells how far from the axis the electrons are.
    """
    cos_zenith = float(axis[2])
    end = float(atmosphere.depth(level)) / cos_zenith
    if energy < LEAST_ENERGY or start > end - 1.0:
        return None
    edges = np.linspace(start, min(end, start + 40 * RADIATION_LENGTH), STEPS + 1)
    slant, step = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    t = (slant - start) / RADIATION_LENGTH + FIRST_PAIR
    height = atmosphere.height(slant * cos_zenith)
    age = shower_age(energy, t)
    photons = greisen(energy, t) * photons_per_depth(age, height, wavelengths) * step
    position = axis * ((height - level) / cos_zenith)[:, None]
    ring = np.sqrt(2 * atmosphere.refractivity(height))
    lateral = lateral_scale(height, age)
    axes = np.broadcast_to(axis, position.shape)
    return Emission(position, axes, photons, angular_scale(height), ring, age, lateral)


def proton_interaction_length(energy: float) -> float:
    """g/cm2 in air: sigma = 290 - 8.7 ln E + 1.14 (ln E)^2 mb, E in GeV (H. H. Mielke et al., J. Phys. G 20 (1994)
    637).
    """
    log = np.log(max(energy, 10.0))
    return float(MEAN_AIR_MASS / (290 - 8.7 * log + 1.14 * log**2))


def photon_start(rng: Generator) -> float:
    """Slant depth of a photon's first pair, g/cm2."""
    return float(rng.exponential(RADIATION_LENGTH * FIRST_PAIR))


def electron_start(rng: Generator) -> float:
    """The same for an electron: its showers reach their maximum one radiation length before those of photons.

    t = ln(E/Ec) - 0.5 for electrons and + 0.5 for photons: Particle Data Group, "Passage of particles through matter",
    section on electromagnetic cascades.
    """
    return float(rng.exponential(RADIATION_LENGTH * (FIRST_PAIR - 1)))


def hadronic(
    rng: Generator, energy: float, axis: Floats, level: float, wavelengths: tuple[float, float]
) -> tuple[list[Emission], float]:
    """Light of a proton's shower, as electromagnetic sub-showers of its first interactions; and the first one's slant
    depth.

    A leading particle goes on after each interaction; of what it loses, neutral pions take about a third, and their
    photons start sub-showers with transverse momenta of 0.4 GeV: the picture of J. Matthews, Astropart. Phys. 22
    (2005) 387, with fluctuations drawn from beta and Dirichlet distributions that are this program's own. Charged
    pions and muons give no light.
    """
    found: list[Emission] = []
    slant = first = float(rng.exponential(proton_interaction_length(energy)))
    end = float(atmosphere.depth(level)) / float(axis[2])
    leading = energy
    for _ in range(4):
        if leading < 2.0 or slant > end - 50:
            break
        lost = leading * float(np.clip(rng.beta(2.5, 2.2), 0.1, 0.95))
        neutral = lost * rng.beta(2.2, 4.0)
        count = max(1, int(rng.poisson(1.5 * np.log10(max(neutral, 10.0)))))
        for share in rng.dirichlet(np.full(count, 0.8)) * neutral:
            made = _sub_shower(rng, float(share), slant, axis, level, wavelengths)
            if made is not None:
                found.append(made)
        leading -= lost
        slant += float(rng.exponential(proton_interaction_length(leading)))
    return found, first


def _sub_shower(
    rng: Generator, energy: float, slant: float, axis: Floats, level: float, wavelengths: tuple[float, float]
) -> Emission | None:
    """One neutral pion's shower: its axis leaves the primary's at the interaction, by pT / E."""
    if energy < LEAST_ENERGY:
        return None
    own = tilted(axis, min(rng.gamma(2.0, 0.2) / energy, 0.05), rng.uniform(0, 2 * np.pi))
    made = electromagnetic(energy, slant + photon_start(rng), own, level, wavelengths)
    if made is None:
        return None
    above = float(atmosphere.height(slant * axis[2])) - level
    made.position[:, :2] += (axis / axis[2] - own / own[2])[:2] * above
    return made


def tilted(axis: Floats, angle: float, turn: float) -> Floats:
    """A direction at an angle to another one, turned around it."""
    across = np.cross(axis, (0.0, 0.0, 1.0))
    if np.linalg.norm(across) < 1e-9:
        across = np.array([1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    other = np.cross(axis, across)
    return np.cos(angle) * axis + np.sin(angle) * (np.cos(turn) * across + np.sin(turn) * other)


def joined(parts: list[Emission]) -> Emission | None:
    """All points of all sub-showers as one; None where there is none."""
    if not parts:
        return None
    columns = [field.name for field in fields(Emission)]
    return Emission(*(np.concatenate([getattr(part, column) for part in parts]) for column in columns))
