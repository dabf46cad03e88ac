"""Values of other packages as inputs: numpy, pandas, astropy, and what rucio-jupyterlab attaches to a notebook.

None of them is imported here: a value's own type names its package.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from gridcwl.errors import InputError

_SCHEMES = ("root", "xroot", "roots", "davs", "dav", "https", "http", "rucio")

Attached: TypeAlias = "Path | str"
"""Where a file is that is attached to a notebook: its path here, or a URL."""


def is_attached(value: Any) -> bool:
    """Whether it is a file or several that rucio-jupyterlab has attached: ``SingleItemDID``, ``MultipleItemDID``."""
    return isinstance(value, str | list) and hasattr(value, "did_available")


def attached(value: Any, where: str) -> Attached | list[Any]:
    """Where an attached file is; of several, the list of its items.

    Raises:
        InputError: Rucio has not made it available yet.
    """
    if isinstance(value, list):
        items = list(value.items)  # type: ignore[attr-defined]  # its own list, not dict.items
        if not value.did_available and not (items and all(map(_is_readable, items))):  # type: ignore[attr-defined]
            raise _unavailable(where)
        return items
    path, pfn = getattr(value, "path", None), getattr(value, "pfn", None)
    if path and Path(path).exists():
        return Path(path)
    if pfn and urlsplit(str(pfn)).scheme in _SCHEMES:
        return str(pfn)
    if not value.did_available:
        raise _unavailable(where)
    raise InputError(f"{where} is an attached DID whose file {path} does not exist", remedy="Attach it again.")


def _is_readable(value: Any) -> bool:
    """Whether it is here, or at a URL from which jobs can read it."""
    pfn = getattr(value, "pfn", None)
    return bool(value.did_available) or bool(pfn and urlsplit(str(pfn)).scheme in _SCHEMES)


def _unavailable(where: str) -> InputError:
    return InputError(
        f"{where} is an attached DID that is not available yet",
        remedy="Make it available in JupyterLab's panel of Rucio, then attach it again. Or give File('rucio://...').",
    )


def converted(value: Any, where: str) -> Any:
    """The value in plain lists, dicts, numbers, texts and paths, which may still hold such values; else the same.

    Raises:
        InputError: it is of a package that is known here, but not of a kind that CWL has.
    """
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(value).__mro__}
    for name, convert in _KINDS.items():
        if name in kinds:
            return convert(value, where)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, range):
        return list(value)
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return Path(path) if isinstance(path, str) else value
    return value


def _null(value: Any, where: str) -> None:
    del value, where


def _items(value: Any, where: str) -> list[Any]:
    del where
    return list(value)


def _time(value: Any, where: str) -> Any:
    del where
    return str(value.isot) if value.isscalar else value.isot.tolist()


def _table(value: Any, where: str) -> list[dict[str, Any]]:
    del where
    return [{name: row[name] for name in value.colnames} for row in value]


def _frame(value: Any, where: str) -> list[dict[str, Any]]:
    del where
    names = [str(name) for name in value.columns]
    return [dict(zip(names, row, strict=True)) for row in value.itertuples(index=False, name=None)]


def _quantity(value: Any, where: str) -> Any:
    """A number if it has no unit, else a text of number and unit: a document's numbers have units of their own."""
    if value.dtype.kind == "c":
        raise InputError(f"{where} is the complex quantity {value}, which CWL has no type for")
    if value.unit.physical_type == "dimensionless":
        return value.to_value("").tolist()
    unit = value.unit.to_string()
    return _with_unit(value.value.tolist(), unit)


def _with_unit(value: Any, unit: str) -> Any:
    return [_with_unit(item, unit) for item in value] if isinstance(value, list) else f"{value!r} {unit}"


def _array(value: Any, where: str) -> Any:
    del where
    if value.dtype.names:
        names = value.dtype.names
        records = [{name: record[name] for name in names} for record in value.reshape(-1)]
        return records[0] if value.ndim == 0 else records
    if value.dtype.kind in "mM":
        return value.astype(str).tolist()
    return value.tolist() if value.dtype.kind in "biufUO" else value[()] if value.ndim == 0 else list(value)


def _scalar(value: Any, where: str) -> Any:
    if getattr(value.dtype, "names", None):
        return {name: value[name] for name in value.dtype.names}
    if value.dtype.kind in "mM":
        return str(value)
    plain = value.item()
    if isinstance(plain, complex):
        raise InputError(f"{where} is the complex number {plain}, which CWL has no type for")
    return plain


_KINDS: dict[str, Callable[[Any, str], Any]] = {
    "astropy.Quantity": _quantity,
    "astropy.Time": _time,
    "astropy.Table": _table,
    "pandas.DataFrame": _frame,
    "pandas.Series": _items,
    "pandas.Index": _items,
    "pandas.ExtensionArray": _items,
    "pandas.NAType": _null,
    "pandas.NaTType": _null,
    "numpy.MaskedConstant": _null,
    "numpy.ndarray": _array,
    "numpy.generic": _scalar,
}
"""By package and class, the special ones first."""
