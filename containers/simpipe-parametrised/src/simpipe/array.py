"""Arrays and cameras from a short text description (YAML), so that no file of an instrument is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray

from simpipe import SimpipeError

Floats = NDArray[np.float64]
SQRT3_2: Final = np.sqrt(3) / 2


@dataclass(frozen=True, slots=True)
class TelescopeType:
    """Telescopes that are built alike."""

    name: str
    size: str
    """LST, MST or SST: what ctapipe calls the size."""
    mirror_area: float
    """m2, seen from the front."""
    focal_length: float
    """m"""
    field_of_view: float
    """Diameter of the camera in degrees."""
    pixel_width: float
    """Of a hexagonal pixel from flat side to flat side, m."""
    wavelengths: tuple[float, ...]
    """nm, where ``efficiency`` is given."""
    efficiency: tuple[float, ...]
    """Photoelectrons per photon that falls on the mirror: reflection, funnels and photon detection together."""
    point_spread: float
    """Standard deviation of the optical point spread, degrees."""
    night_sky: float
    """Photoelectrons per ns and pixel: 0.2 to 0.3 for large telescopes under a dark sky (M. Gaug et al., 2013)."""
    window: float
    """ns over which charge is summed."""
    gain_spread: float
    """Relative spread of a single photoelectron's charge."""
    noise: float
    """Electronic noise in the window, photoelectrons."""
    trigger: float
    """Charge in a pixel and its neighbours that triggers the telescope, photoelectrons."""


@dataclass(frozen=True, slots=True)
class ArrayTelescope:
    """One telescope: m to the north, to the west and up, from the centre of the array."""

    id: int
    type: TelescopeType
    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True)
class ArrayDescription:
    """An array; its site in degrees and m above the sea."""

    name: str
    latitude: float
    longitude: float
    altitude: float
    least_telescopes: int
    telescopes: tuple[ArrayTelescope, ...]


def read(path: Path) -> ArrayDescription:
    """Read a description.

    Raises:
        SimpipeError: it is no YAML, lacks something, or has a key that means nothing.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SimpipeError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from error
    try:
        return _array(content)
    except (TypeError, ValueError, KeyError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise SimpipeError(f"{path.name} does not describe an array: {what}") from error


def _array(content: Any) -> ArrayDescription:
    if not isinstance(content, Mapping):
        raise TypeError("it is not a mapping")
    types = {name: _type(name, given) for name, given in content["types"].items()}
    telescopes = []
    for given in content["telescopes"]:
        where = {key: float(given[key]) for key in ("x", "y", "z")}
        telescopes.append(ArrayTelescope(id=int(given["id"]), type=types[given["type"]], **where))
    if len({telescope.id for telescope in telescopes}) != len(telescopes) or not telescopes:
        raise ValueError("it needs telescopes, each with an id of its own")
    site = content["site"]
    return ArrayDescription(
        name=str(content["name"]),
        latitude=float(site["latitude"]),
        longitude=float(site["longitude"]),
        altitude=float(site["altitude"]),
        least_telescopes=int(content.get("least_telescopes", 2)),
        telescopes=tuple(telescopes),
    )


def _type(name: str, given: Mapping[str, Any]) -> TelescopeType:
    wanted = {field.name for field in fields(TelescopeType)} - {"name"}
    if set(given) != wanted:
        lacking, strange = sorted(wanted - set(given)), sorted(set(given) - wanted)
        raise ValueError(f"type {name} lacks {lacking} and has {strange} that mean nothing")
    numbers = {key: float(given[key]) for key in wanted - {"size", "wavelengths", "efficiency"}}
    curve = {key: tuple(float(value) for value in given[key]) for key in ("wavelengths", "efficiency")}
    if len(curve["wavelengths"]) != len(curve["efficiency"]) or not all(
        0 <= value <= 1 for value in curve["efficiency"]
    ):
        raise ValueError(f"type {name} needs an efficiency from 0 to 1 for each of its wavelengths")
    return TelescopeType(name=name, size=str(given["size"]), **numbers, **curve)


def pixels(kind: TelescopeType) -> tuple[Floats, Floats]:
    """x and y in m of the centres of a round camera's hexagonal pixels, in rows along x."""
    radius = kind.focal_length * np.tan(np.radians(kind.field_of_view / 2))
    rows = int(radius / (kind.pixel_width * SQRT3_2)) + 1
    columns = int(radius / kind.pixel_width) + 1
    row, column = np.meshgrid(np.arange(-rows, rows + 1), np.arange(-columns, columns + 1), indexing="ij")
    x = kind.pixel_width * (column + 0.5 * (row % 2))
    y = kind.pixel_width * SQRT3_2 * row
    inside = x**2 + y**2 <= radius**2
    return x[inside], y[inside]
