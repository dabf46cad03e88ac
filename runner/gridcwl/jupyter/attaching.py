"""Outputs in Rucio as rucio-jupyterlab attaches DIDs: the same values, for notebooks that were written for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from gridcwl import imports
from gridcwl.errors import InputError
from gridcwl.values import Directory, File

_SCHEME = "rucio://"


def attached(value: Any) -> Any:
    """A file, or several, as ``SingleItemDID`` or ``MultipleItemDID`` of rucio-jupyterlab.

    Args:
        value: a File, a Directory, or a list of them, as outputs are.

    Raises:
        ConfigError: rucio-jupyterlab is not installed.
        InputError: it is none of these, or a file of it is neither on this machine nor in Rucio.
    """
    imports.require("rucio_jupyterlab", "attaching outputs")
    from rucio_jupyterlab.kernels.ipython.types import MultipleItemDID, SingleItemDID

    def single(file: File) -> Any:
        if file.path is None and not file.location.startswith(_SCHEME):
            raise InputError(f"{file.basename or 'The literal'} is neither on this machine nor in Rucio")
        pfn = file.location if file.location.startswith(_SCHEME) else None
        return SingleItemDID(path=None if file.path is None else str(file.path), pfn=pfn)

    if isinstance(value, File):
        return single(value)
    items = [single(file) for file in _files(value)]
    return MultipleItemDID(items=items, did_available=all(item.did_available for item in items))


def attachments(outputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """The outputs in Rucio as the notebook's metadata ``rucio_attachments`` has them, with DIDs and variables."""
    return [
        {"did": did, "type": "file", "variableName": name if number == 0 else f"{name}_{number}"}
        for name, value in outputs.items()
        for number, did in enumerate(_dids(value))
    ]


def _dids(value: Any) -> Iterator[str]:
    for file in _files(value):
        if file.location.startswith(_SCHEME):
            scope, _, name = file.location.removeprefix(_SCHEME).partition("/")
            yield f"{unquote(scope)}:{unquote(name)}"


def _files(value: Any) -> Iterator[File]:
    if isinstance(value, File):
        yield value
    elif isinstance(value, Directory):
        for item in value.listing or ():
            yield from _files(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _files(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _files(item)
    elif value is not None:
        raise InputError(f"{value!r} is not a file, which could be attached")
