"""Cameras: from photon bunches at a telescope to a noisy image, and whether it triggers. Knows nothing of ctapipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from simpipe import atmosphere
from simpipe.array import TelescopeType, pixels
from simpipe.shower import Floats, Generator

TIME_SPREAD: Final = 12.0  # ns, half of the window in which night-sky pulses have their peak
PULSE_AT: Final = 18.0  # ns after the start of the readout where the shower's median is
_HEIGHTS: Final = np.linspace(0.0, 40e3, 81)


@dataclass(frozen=True, slots=True)
class Image:
    """What one camera has of one event."""

    true: NDArray[np.int32]
    """Photoelectrons of the shower in each pixel."""
    charge: NDArray[np.float32]
    """With night sky, noise and gain fluctuations; the pedestal's mean is taken off."""
    peak_time: NDArray[np.float32]
    triggered: bool


@dataclass(frozen=True, slots=True)
class Pointing:
    """Where the telescopes look: unit vectors to there, and along growing altitude and azimuth."""

    to: Floats
    up: Floats
    right: Floats

    @classmethod
    def of(cls, altitude: float, azimuth: float) -> Pointing:
        """From angles in rad, the azimuth from north over east; x is north, y west."""
        ca, sa, cz, sz = np.cos(altitude), np.sin(altitude), np.cos(azimuth), np.sin(azimuth)
        return cls(np.array([ca * cz, -ca * sz, sa]), np.array([-sa * cz, sa * sz, ca]), np.array([-sz, -cz, 0.0]))


class Camera:
    """The pixels of a telescope type, and what becomes of light in them."""

    def __init__(self, kind: TelescopeType, level: float, zenith: float, wavelengths: tuple[float, float]) -> None:
        self.kind = kind
        self.x, self.y = pixels(kind)
        points = np.stack([self.x, self.y], axis=1)
        self._tree = cKDTree(points)
        near = self._tree.query_pairs(1.1 * kind.pixel_width, output_type="ndarray")
        ones = np.ones(2 * len(near), dtype=np.float32)
        rows, columns = np.concatenate([near[:, 0], near[:, 1]]), np.concatenate([near[:, 1], near[:, 0]])
        self._neighbours = csr_array((ones, (rows, columns)), shape=(len(self.x), len(self.x)))
        self._efficiency = self._mean_efficiency(level, np.cos(np.radians(zenith)), wavelengths)

    def _mean_efficiency(self, level: float, cos_zenith: float, wavelengths: tuple[float, float]) -> Floats:
        """Photoelectrons per photon on the mirror for each of _HEIGHTS, over Cherenkov light's 1/wavelength^2."""
        wavelength = np.linspace(*wavelengths, 60)
        weight = wavelength**-2.0
        curve = np.interp(wavelength, self.kind.wavelengths, self.kind.efficiency, left=0.0, right=0.0)
        through = atmosphere.transmission(wavelength[None, :], _HEIGHTS[:, None], level, cos_zenith)
        return (weight * curve * through).sum(axis=1) / weight.sum()

    def image(self, rng: Generator, bunches: NDArray[np.void], sphere: float, pointing: Pointing) -> Image:
        """The image of bunches that CORSIKA collected in a sphere of this radius, m, around the telescope."""
        pixel, time = self._photoelectrons(rng, bunches, sphere, pointing)
        size = len(self.x)
        true = np.bincount(pixel, minlength=size).astype(np.int32)
        night = self.kind.night_sky * self.kind.window
        every = true + rng.poisson(night, size)
        charge = (
            every - night + rng.normal(0.0, 1.0, size) * np.sqrt(self.kind.noise**2 + self.kind.gain_spread**2 * every)
        )
        peak = rng.uniform(-TIME_SPREAD, TIME_SPREAD, size)
        if len(pixel):
            lit = true > 0
            mean = np.bincount(pixel, weights=time, minlength=size)[lit] / true[lit]
            peak[lit] = mean - np.median(time)
        near = charge + self._neighbours @ charge
        triggered = bool(near.max() > self.kind.trigger)
        return Image(true, charge.astype(np.float32), (peak + PULSE_AT).astype(np.float32), triggered)

    def _photoelectrons(
        self, rng: Generator, bunches: NDArray[np.void], sphere: float, pointing: Pointing
    ) -> tuple[NDArray[np.intp], Floats]:
        """Pixel and time of each photoelectron: thinned by area and efficiency, imaged, and spread by the optics."""
        number = np.floor(bunches["photons"] + rng.uniform(size=len(bunches))).astype(np.int64)
        height = 0.01 * bunches["zem"].astype(float)
        share = min(1.0, self.kind.mirror_area / (np.pi * sphere**2))
        kept = rng.binomial(number, share * np.interp(height, _HEIGHTS, self._efficiency))
        seen = bunches[kept > 0]
        kept = kept[kept > 0]
        cx, cy = seen["cx"].astype(float), seen["cy"].astype(float)
        back = np.stack([-cx, -cy, np.sqrt(np.clip(1 - cx**2 - cy**2, 0.0, None))], axis=1)
        forward = np.maximum(back @ pointing.to, 1e-3)
        focal = self.kind.focal_length
        where = np.stack([(back @ pointing.up) / forward, (back @ pointing.right) / forward], axis=1) * focal
        spread = np.radians(self.kind.point_spread) * focal
        where = np.repeat(where, kept, axis=0)
        where += rng.normal(0.0, spread, where.shape)
        distance, pixel = self._tree.query(where, distance_upper_bound=self.kind.pixel_width / np.sqrt(3))
        hit = np.isfinite(distance)
        return pixel[hit], np.repeat(seen["time"].astype(float), kept)[hit]
