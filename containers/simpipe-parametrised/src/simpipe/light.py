"""Light at telescopes: which photon bunches of a shower fall into the spheres around them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simpipe.shower import Emission, Floats, Generator, angular_density

SPEED_OF_LIGHT: Final = 0.299792458  # m/ns
BUNCH: Final = np.dtype([(name, "<f4") for name in ("x", "y", "cx", "cy", "time", "zem", "photons", "wavelength")])
"""The long format of CORSIKA-IACT (K. Bernloehr, iact.c): cm, direction cosines of the flight, ns, cm, number, nm."""
MOST_PARTS: Final = 4  # bunches a step and sphere, each from another electron
LEAST: Final = 0.02  # photons a bunch; below it is not worth a random number


def bunches(rng: Generator, light: Emission, spheres: Floats, axis: Floats, level: float) -> list[NDArray[np.void]]:
    """The bunches in each sphere, a row (x, y, z, radius) in m, seen from where the axis meets the observation level.

    The number in a sphere is the angular density times the solid angle of the sphere's disk. The place in
    the sphere is drawn evenly; time counts from the shower front in the centre of the array.
    """
    to = spheres[:, None, :3] - light.position[None, :, :]
    distance = np.sqrt(np.einsum("tpi,tpi->tp", to, to))
    cosine = np.clip(-np.einsum("tpi,pi->tp", to, light.axis) / distance, -1.0, 1.0)
    density = angular_density(np.arccos(cosine), light.angle, light.ring, light.age)
    mean = light.photons * density * np.pi * (spheres[:, 3, None] / distance) ** 2
    mean[(mean < LEAST) | (to[:, :, 2] >= 0)] = 0.0
    number = rng.poisson(mean)
    return [
        _filled(rng, number[tel], to[tel], light, float(spheres[tel, 3]), axis, level) for tel in range(len(spheres))
    ]


def _filled(
    rng: Generator,
    number: NDArray[np.int64],
    to: Floats,
    light: Emission,
    radius: float,
    axis: Floats,
    level: float,
) -> NDArray[np.void]:
    """Bunches from the numbers of photons a step: each from an electron of its own beside the axis."""
    parts = np.minimum(number, MOST_PARTS)
    step = np.repeat(np.arange(len(number)), parts)
    found = np.zeros(len(step), dtype=BUNCH)
    within = np.arange(len(step)) - np.repeat(np.cumsum(parts) - parts, parts)
    found["photons"] = number[step] // parts[step] + (within < number[step] % parts[step])
    where = _disk(rng, radius * np.sqrt(rng.uniform(size=len(step))))
    beside = _disk(rng, light.lateral[step] * rng.exponential(size=len(step)))
    way = to[step]
    way[:, :2] += where - beside
    distance = np.sqrt(np.einsum("bi,bi->b", way, way))
    height = light.height[step]
    found["x"], found["y"] = 100 * where[:, 0], 100 * where[:, 1]
    found["cx"], found["cy"] = way[:, 0] / distance, way[:, 1] / distance
    found["time"] = (distance - height / axis[2]) / SPEED_OF_LIGHT
    found["zem"] = 100 * (height + level)
    return found


def _disk(rng: Generator, radius: Floats) -> Floats:
    turn = rng.uniform(0, 2 * np.pi, len(radius))
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)
