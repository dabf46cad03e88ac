"""Files and directories as a notebook shows them: images, text, tables, FITS headers, HDF5 trees. All text is escaped.

What is shown is bounded, as it is kept in the notebook: a part of a file, and only the first files of many.
"""

from __future__ import annotations

import base64
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gridcwl.runs.escaping import escaped
from gridcwl.runs.previews.reading import Preview, kind_of, preview
from gridcwl.runs.report.card import style
from gridcwl.runs.units import amount

_MOST_IMAGE = 4 << 20
"""Bytes of an image that go into the notebook."""
_LINES = 200
_WIDEST = 400
"""Signs of a line of text."""
_FILES = 12
_PREVIEWS = 4
_LISTED = 40
_VALUE = 500


def shown(files: Iterable[str]) -> str:
    """Parts in a frame, with the styles."""
    return f'<div class="gridcwl-files"><style>{style()}</style>{"".join(files)}</div>'


def outputs_html(outputs: dict[str, Any]) -> str:
    """An output object: each output with its name, the first files of it with their contents."""
    return shown(itertools.chain.from_iterable(_output(name, value) for name, value in outputs.items()))


def _output(name: str, value: Any) -> Iterator[str]:
    yield f'<div class="file"><h4>{escaped(name[:_VALUE])}</h4>'
    places = list(itertools.islice(_places(value), _FILES + 1))
    if not places:
        text = repr(value)
        yield f"<code>{escaped(text[:_VALUE])}{' ...' if len(text) > _VALUE else ''}</code>"
    for number, place in enumerate(places[:_FILES]):
        yield place_html(place, contents=number < _PREVIEWS)
    if len(places) > _FILES:
        yield f'<p class="dim">and {sum(1 for _ in _places(value)) - _FILES:,} more</p>'
    yield "</div>"


def _places(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _places(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _places(item)
    elif hasattr(value, "__fspath__") and hasattr(value, "basename"):
        yield value


def place_html(place: Any, *, contents: bool = True) -> str:
    """A File or Directory: its name, size and place, and a preview."""
    size = getattr(place, "size", None)
    where = str(place.path) if place.path is not None else place.location
    head = f"<b>{escaped(place.basename or 'literal')}</b> "
    about = " · ".join(filter(None, [amount(size) if isinstance(size, int) else "", escaped(where)]))
    text = f'<p>{head}<span class="dim">{about}</span></p>'
    if not contents or place.path is None:
        literal = getattr(place, "contents", None) if contents else None
        return text + (_text(literal[: _LINES * _WIDEST], cut=False) if literal else "")
    if hasattr(place, "listing"):
        return text + _listing(place.path)
    return text + _contents(place.path)


def _contents(path: Path) -> str:
    try:
        if not path.is_file():
            return '<p class="dim">It is not there any more.</p>'
        if kind_of(path.name) in ("png", "jpeg"):
            return _image(path)
        return _preview(preview(path, _cache()))
    except OSError as error:
        return f'<p class="dim">It cannot be read: {escaped(str(error.strerror))}.</p>'


def _cache() -> Path:
    """Where what takes time to read is kept, for this user alone."""
    from gridcwl.plugins import configuration

    try:
        return configuration().caches() / "previews"
    except Exception:  # noqa: BLE001  a configuration that is wrong is no reason to show nothing
        return Path(tempfile.gettempdir()) / f"gridcwl-previews-{os.getuid()}"


def _image(path: Path) -> str:
    kind = kind_of(path.name)
    if path.stat().st_size > _MOST_IMAGE:
        return f'<p class="dim">It is larger than {amount(_MOST_IMAGE)}, and so not kept in the notebook.</p>'
    if problem := preview(path, Path()).problem:
        return f'<p class="dim">{escaped(problem)}</p>'
    return _picture(path.read_bytes(), kind, path.name)


def _picture(data: bytes, kind: str, name: str) -> str:
    return f'<img alt="{escaped(name)}" src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}">'


def _preview(found: Preview) -> str:
    if found.problem:
        return f'<p class="dim">There is no preview. {escaped(found.problem)}</p>'
    text = ""
    if found.image:
        text = _picture(found.image, "png", found.caption) + f'<p class="dim">{escaped(found.caption)}</p>'
    if found.text:
        text += _text(found.text, cut=found.cut)
    if found.rows:
        text += _table(found.rows[0], found.rows[1:])
        text += f'<p class="dim">The first {len(found.rows) - 1} rows are shown.</p>' if found.cut else ""
    if found.kind == "fits":
        text += "".join(_hdu(number, part) for number, part in enumerate(found.parts))
    elif found.kind == "hdf5" and found.parts:
        text += f'<div class="scroll"><ul>{"".join(map(_node, found.parts))}</ul></div>'
    return text


def _text(text: str, *, cut: bool) -> str:
    lines = text.splitlines()
    kept = "\n".join(line if len(line) <= _WIDEST else f"{line[:_WIDEST]} ..." for line in lines[:_LINES])
    more = '<p class="dim">The first part is shown.</p>' if cut or len(lines) > _LINES else ""
    return f"<pre>{escaped(kept)}</pre>{more}"


def _table(titles: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escaped(str(title))}</th>" for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escaped(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _hdu(number: int, part: dict[str, Any]) -> str:
    """One header and data unit of a FITS file."""
    rows = _table(part["columns"], part["rows"]) if part["rows"] else ""
    header = escaped("\n".join(map(str, part["header"])))
    more = f'<p class="dim">and {part["more"]:,} more lines</p>' if part["more"] else ""
    title = f'{number}: {escaped(str(part["name"]))} <span class="dim">{escaped(str(part["about"]))}</span>'
    return (
        f"<details{' open' if number == 0 else ''}><summary>{title}</summary>{rows}<pre>{header}</pre>{more}</details>"
    )


def _node(one: dict[str, Any]) -> str:
    """A member of an HDF5 file, with its attributes and members."""
    text = f'<li><b>{escaped(str(one["name"]))}</b> <span class="dim">{escaped(str(one["about"]))}</span>'
    if one["attributes"]:
        named = (f"<li>{escaped(str(name))}: {escaped(str(value))}</li>" for name, value in one["attributes"])
        title = f"{len(one['attributes'])} attribute{'' if len(one['attributes']) == 1 else 's'}"
        text += f"<details><summary>{title}</summary><ul>{''.join(named)}</ul></details>"
    if one["children"]:
        text += f"<ul>{''.join(map(_node, one['children']))}</ul>"
    return f"{text}</li>"


def _listing(path: Path) -> str:
    """What is in a directory; links are not followed."""
    try:
        with os.scandir(path) as entries:
            found = sorted(itertools.islice(entries, 10_000), key=lambda entry: entry.name)
    except OSError as error:
        return f'<p class="dim">It cannot be read: {escaped(str(error.strerror))}.</p>'
    rows = [
        (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name, _size(entry))
        for entry in found[:_LISTED]
    ]
    more = f'<p class="dim">and {len(found) - _LISTED:,} more</p>' if len(found) > _LISTED else ""
    return (_table(("Name", "Size"), rows) if rows else '<p class="dim">It is empty.</p>') + more


def _size(entry: os.DirEntry[str]) -> str:
    try:
        return amount(entry.stat(follow_symlinks=False).st_size) if entry.is_file(follow_symlinks=False) else ""
    except OSError:
        return ""
