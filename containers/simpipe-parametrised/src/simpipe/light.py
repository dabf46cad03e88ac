"""Light at telescopes: which photon bunches of a shower fall into the spheres around them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simpipe.shower import Emission, Floats, Generator, angular_density

SPEED_OF_LIGHT: Final = 0.299792458  # m/ns
BUNCH: Final = np.dtype([(name, "<f4") for name in ("x", "y", "cx", "cy", "time", "zem", "photons", "wavelength")])
"""The long format of CORSIKA-IACT (K. Bernloehr, iact.c): cm, direction cosines of the flight, ns, cm, number, nm."""
LEAST: Final = 0.02  # photons a bunch; below it is not worth a random number


def bunches(rng: Generator, light: Emission, spheres: Floats, axis: Floats, level: float) -> list[NDArray[np.void]]:
    """The bunches in each sphere, a row (x, y, z, radius) in m, seen from where the axis meets the observation level.

    The number in a sphere is the angular density times the solid angle of the sphere's disk. All photons of a step
    that hit one sphere are one bunch, with the place in it drawn evenly; time counts from the shower front in the
    centre of the array.
    """
    to = spheres[:, None, :3] - light.position[None, :, :]
    distance = np.sqrt(np.einsum("tpi,tpi->tp", to, to))
    to /= distance[:, :, None]
    cosine = np.clip(-np.einsum("tpi,pi->tp", to, light.axis), -1.0, 1.0)
    density = angular_density(np.arccos(cosine), light.angle, light.ring, light.age)
    mean = light.photons * density * np.pi * (spheres[:, 3, None] / distance) ** 2
    mean[(mean < LEAST) | (to[:, :, 2] >= 0)] = 0.0
    number = rng.poisson(mean)
    return [
        _filled(rng, number[tel], to[tel], distance[tel], light, float(spheres[tel, 3]), axis, level)
        for tel in range(len(spheres))
    ]


def _filled(
    rng: Generator,
    number: NDArray[np.int64],
    to: Floats,
    distance: Floats,
    light: Emission,
    radius: float,
    axis: Floats,
    level: float,
) -> NDArray[np.void]:
    hit = np.flatnonzero(number)
    found = np.zeros(len(hit), dtype=BUNCH)
    out, turn = radius * np.sqrt(rng.uniform(size=len(hit))), rng.uniform(0, 2 * np.pi, len(hit))
    found["x"], found["y"] = 100 * out * np.cos(turn), 100 * out * np.sin(turn)
    found["cx"], found["cy"] = to[hit, 0], to[hit, 1]
    height = light.height[hit]
    found["time"] = (distance[hit] - height / axis[2]) / SPEED_OF_LIGHT
    found["zem"] = 100 * (height + level)
    found["photons"] = number[hit]
    return found
