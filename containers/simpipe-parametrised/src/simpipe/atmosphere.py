"""The air: depth, density, refraction and extinction as functions of height above the sea. SI units but depth,
g/cm2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_BASE: Final = np.array([0.0, 4e3, 10e3, 40e3, 100e3])
_A: Final = np.array([-186.555305, -94.919, 0.61289, 0.0])
_B: Final = np.array([1222.6562, 1144.9069, 1305.5948, 540.1778])
_C: Final = np.array([9941.8638, 8781.5355, 6361.4304, 7721.7016])

REFRACTIVITY_AT_SEA: Final = 2.83e-4
RAYLEIGH_DEPTH: Final = 2974.0
MIE_LENGTH: Final = 14e3
MIE_HEIGHT: Final = 1.2e3
TOP: Final = 100e3


def depth(height: ArrayLike) -> Floats:
    """Vertical depth in g/cm2: Linsley's five layers of the U.S. standard atmosphere.

    T(h) = a + b exp(-h/c) in each layer. Source: D. Heck et al., FZKA 6019 (1998), table "atmosphere 1"; the uppermost
    layer, above 100 km, has 0.001 g/cm2 and is left out.
    """
    h = np.clip(np.asarray(height, dtype=float), 0.0, TOP)
    layer = np.searchsorted(_BASE[1:4], h, side="right")
    return _A[layer] + _B[layer] * np.exp(-h / _C[layer])


_TABLE_HEIGHT: Final = np.linspace(TOP, 0.0, 20001)
_TABLE_DEPTH: Final = depth(_TABLE_HEIGHT)


def height(vertical_depth: ArrayLike) -> Floats:
    """Height in m at a vertical depth in g/cm2: the inverse of ``depth``, from a table of 5 m."""
    return np.interp(np.asarray(vertical_depth, dtype=float), _TABLE_DEPTH, _TABLE_HEIGHT)


def density(height_m: ArrayLike) -> Floats:
    """Density in kg/m3: minus the slope of ``depth`` (1 g/cm2 is 10 kg/m2)."""
    h = np.clip(np.asarray(height_m, dtype=float), 0.0, TOP)
    layer = np.searchsorted(_BASE[1:4], h, side="right")
    return 10.0 * _B[layer] / _C[layer] * np.exp(-h / _C[layer])


def refractivity(height_m: ArrayLike) -> Floats:
    """n - 1, in proportion to density as in CORSIKA: 0.000283 at sea level (FZKA 6019, Cherenkov routines)."""
    return REFRACTIVITY_AT_SEA * density(height_m) / density(0.0)


def transmission(wavelength_nm: ArrayLike, emission_height: ArrayLike, level: float, cos_zenith: float) -> Floats:
    """Part of the light that comes from ``emission_height`` down to ``level``: Rayleigh times Mie scattering.

    T = exp(-(dX / 2974 g/cm2) (400 nm / wavelength)^4 / cos) for molecules, and for aerosols of scale height 1.2 km
    and horizontal attenuation length 14 km. Source: R. M. Baltrusaitis et al., Nucl. Instrum. Meth. A 240 (1985) 410,
    section on light transmission. Absorption by ozone is left out.
    """
    wavelength, h = np.asarray(wavelength_nm, dtype=float), np.asarray(emission_height, dtype=float)
    rayleigh = np.maximum(depth(level) - depth(h), 0.0) / RAYLEIGH_DEPTH * (400.0 / wavelength) ** 4
    aerosols = MIE_HEIGHT / MIE_LENGTH * np.maximum(np.exp(-level / MIE_HEIGHT) - np.exp(-h / MIE_HEIGHT), 0.0)
    return np.exp(-(rayleigh + aerosols) / cos_zenith)
