"""Reads a FITS or HDF5 file on stdin and prints what is shown of it as JSON: a process of ``previews.reading``.

The file is not trusted: nothing that it refers to is opened, and time, memory and output have limits.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import IO, Any

_MEMORY = 4 << 30
_SECONDS = 20
_OUTPUT = 16 << 20
_NOBODY = 65534
_SIDE = 1024
"""Pixels of an image."""
_MOST_PIXELS = 1 << 28
_HDUS, _CARDS, _COLUMNS, _ROWS, _CELL = 20, 400, 60, 20, 80
_NODES, _DEPTH, _ATTRIBUTES, _VALUES, _LONGEST = 500, 12, 20, 8, 200


def main(kind: str) -> None:
    """Print the preview."""
    with open(0, "rb", closefd=False) as file:
        try:
            read = {"fits": _fits, "hdf5": _hdf5}[kind]
            answer = read(file)
        except ModuleNotFoundError as error:
            name = {"fits": "FITS", "hdf5": "HDF5"}[kind]
            answer = {
                "problem": f"The preview of {name} files needs the Python package {error.name}, which is not installed."
            }
    json.dump(answer, sys.stdout)


def _confine() -> None:
    """No more memory, time, files and rights than reading takes; after all that is needed was imported."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_OUTPUT, _OUTPUT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _text(value: Any, most: int = _LONGEST) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} ..."


# -- FITS --------------------------------------------------------------------------------------------------------------


def _fits(file: IO[bytes]) -> dict[str, Any]:
    import numpy as np
    from astropy.io import fits
    from astropy.io.fits.hdu.compressed import CompImageHDU  # noqa: F401  imported now, with all rights

    np.percentile(np.arange(4.0), 50)
    _confine()
    warnings.simplefilter("ignore")
    parts: list[dict[str, Any]] = []
    picture: tuple[str, bytes] | None = None
    with fits.open(file, memmap=True, do_not_scale_image_data=True, lazy_load_hdus=True) as hdus:
        for number, hdu in enumerate(hdus):
            if number == _HDUS:
                break
            parts.append(_hdu(number, hdu))
            if picture is None and hdu.is_image and len(hdu.shape) >= 2 and min(hdu.shape[-2:]) > 1:
                picture = _picture(number, hdu)
    caption, image = picture or ("", b"")
    return {"parts": parts, "caption": caption, "image": base64.b64encode(image).decode("ascii")}


def _hdu(number: int, hdu: Any) -> dict[str, Any]:
    header = hdu.header
    columns = [] if hdu.is_image else list(hdu.columns)[:_COLUMNS]
    shape = " x ".join(f"{length:,}" for length in reversed(hdu.shape)) if hdu.is_image else ""
    length = int(header.get("NAXIS2", 0))
    data = hdu.data[:_ROWS] if columns and length else ()
    return {
        "name": _text(hdu.name or ("PRIMARY" if number == 0 else f"HDU {number}"), _CELL),
        "about": f"image of {shape} pixels" if shape else f"table of {length:,} rows" if columns else "header",
        "columns": [_text(f"{one.name} [{one.unit}]" if one.unit else one.name, _CELL) for one in columns],
        "rows": [[_text(data[column.name][at], _CELL) for column in columns] for at in range(len(data))],
        "header": [_text_of_card(card) for card in header.cards[:_CARDS]],
        "more": max(0, len(header.cards) - _CARDS),
    }


def _text_of_card(card: Any) -> str:
    return str(card.image).rstrip()[:_LONGEST]


def _picture(number: int, hdu: Any) -> tuple[str, bytes] | None:
    """The first plane of an image, as many pixels as a screen has."""
    import numpy as np

    height, width = hdu.shape[-2:]
    compressed = hasattr(hdu, "compression_type")
    if height * width > _MOST_PIXELS or (compressed and np.prod(hdu.shape, dtype=float) > _MOST_PIXELS):
        return None
    every = max(1, -(-max(height, width) // _SIDE))
    plane = hdu.data[(0,) * (len(hdu.shape) - 2)][::every, ::every]
    values = plane.astype(np.float64)
    if "BLANK" in hdu.header and plane.dtype.kind in "iu":
        values[plane == hdu.header["BLANK"]] = np.nan
    values = values * float(hdu.header.get("BSCALE", 1)) + float(hdu.header.get("BZERO", 0))
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, (1, 99.7))
    if high <= low:
        low, high = float(finite.min()), float(finite.max()) or 1.0
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    stretched = np.arcsinh(10 * scaled) / np.arcsinh(10.0)
    levels = np.nan_to_num(stretched * 255, nan=0.0).astype(np.uint8)
    unit = f" {_text(hdu.header['BUNIT'], 40)}" if hdu.header.get("BUNIT") else ""
    planes = int(np.prod(hdu.shape[:-2], dtype=float))
    of = f", plane 1 of {planes:,}" if planes > 1 else ""
    caption = f"HDU {number}{of}: {width:,} x {height:,} pixels, {low:.4g} to {high:.4g}{unit}, asinh"
    return caption, _png(levels[::-1])


def _png(levels: Any) -> bytes:
    """An image of 256 levels in the colours of cubehelix (Green 2011), which is as bright as the value is large."""
    height, width = levels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in levels)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes(level for value in range(256) for level in _color(value / 255))
    chunks = ((b"IHDR", head), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _color(level: float) -> Iterator[int]:
    from math import cos, pi, sin

    angle = 2 * pi * (0.5 / 3 + 1 - 1.5 * level)
    away = level * (1 - level) / 2
    for a, b in ((-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0)):
        yield max(0, min(255, round(255 * (level + away * (a * cos(angle) + b * sin(angle))))))


# -- HDF5 --------------------------------------------------------------------------------------------------------------


def _hdf5(file: IO[bytes]) -> dict[str, Any]:
    import h5py

    _confine()
    with h5py.File(file, "r") as root:
        left = [_NODES]
        return {"parts": [_node("/", root, set(), left, 0)]}


def _node(name: str, thing: Any, above: set[Any], left: list[int], depth: int) -> dict[str, Any]:
    import h5py

    made: dict[str, Any] = {"name": _text(name), "attributes": list(_attributes(thing)), "children": []}
    if isinstance(thing, h5py.Dataset):
        return made | {"kind": "dataset", "about": _dataset(thing)}
    if not isinstance(thing, h5py.Group):
        return made | {"kind": "type", "about": ""}
    made |= {"kind": "group", "about": f"{len(thing):,} member{'' if len(thing) == 1 else 's'}"}
    place = h5py.h5o.get_info(thing.id).addr
    if place in above or depth == _DEPTH:
        return made | {"about": "shown above" if place in above else "not shown"}
    for child in thing:
        if left[0] <= 0:
            made["children"].append({"name": "...", "kind": "more", "about": "", "attributes": [], "children": []})
            break
        left[0] -= 1
        made["children"].append(_child(child, thing, above | {place}, left, depth + 1))
    return made


def _child(name: str, group: Any, above: set[Any], left: list[int], depth: int) -> dict[str, Any]:
    """A member of a group; a link is shown, not followed: it may lead to a file of this machine."""
    import h5py

    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        file = f"{link.filename}:" if isinstance(link, h5py.ExternalLink) else ""
        about = _text(f"link to {file}{getattr(link, 'path', '?')}")
        return {"name": _text(name), "kind": "link", "about": about, "attributes": [], "children": []}
    try:
        return _node(name, group[name], above, left, depth)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        about = _text(f"it cannot be read: {error}")
        return {"name": _text(name), "kind": "damaged", "about": about, "attributes": [], "children": []}


def _attributes(thing: Any) -> Iterator[tuple[str, str]]:
    for number, name in enumerate(thing.attrs):
        if number == _ATTRIBUTES:
            yield "...", f"{len(thing.attrs) - _ATTRIBUTES:,} more"
            return
        try:
            yield _text(name), _text(thing.attrs[name])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError):
            yield _text(name), "?"


def _dataset(data: Any) -> str:
    if data.shape is None:
        return "empty"
    shape = " x ".join(f"{length:,}" for length in data.shape)
    about = f"{shape} {_type(data.dtype)}" if shape else _type(data.dtype)
    if data.external is not None or data.is_virtual:  # its values are in other files
        return f"{about}, kept in other files"
    if data.dtype.names is None and data.ndim <= 1 and data.size:
        first = data[()] if data.ndim == 0 else data[:_VALUES]
        values = _text(first) if data.ndim == 0 else ", ".join(_text(one, 40) for one in first)
        about += f": {values}{', ...' if data.size > _VALUES else ''}"
    return about


def _type(kind: Any) -> str:
    import h5py

    if kind.names:
        return f"({', '.join(kind.names[:_VALUES])}{', ...' if len(kind.names) > _VALUES else ''})"
    return "string" if h5py.check_string_dtype(kind) is not None else str(kind)


if __name__ == "__main__":
    main(sys.argv[1])
