"""Rows of Virtual Observatory results as items: TAP, SIA 2, DataLink, and VOTables that are there already. By pyvo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl.datasets.items import Item
from gridcwl.errors import ConfigError, GridCWLError, StoreError

MOST_ROWS = 10_000


def tap(url: str, query: str, *, most: int = MOST_ROWS, session: Any = None) -> list[Item]:
    """The rows that an ADQL query gives.

    Raises:
        ConfigError: pyvo is not installed, or the URL is none.
        StoreError: the service refuses the query, or does not answer.
    """
    pyvo = _pyvo(url)
    return _items(
        "tap", _answered(url, lambda: pyvo.dal.TAPService(url, session=session).search(query, maxrec=most)), most
    )


def sia(
    url: str, position: Sequence[float], radius: float, *, most: int = MOST_ROWS, session: Any = None
) -> list[Item]:
    """The images around a position, by SIA 2.

    Args:
        url: of the service.
        position: right ascension and declination, in degrees.
        radius: in degrees.
        most: rows.
        session: of requests, if not a new one.

    Raises:
        ConfigError, StoreError: as :func:`tap`.
    """
    pyvo = _pyvo(url)

    def search() -> Any:
        return pyvo.dal.SIA2Service(url, session=session).search(pos=(position[0], position[1], radius), maxrec=most)

    return _items("sia", _answered(url, search), most)


def datalink(url: str, *, semantics: str = "#this", most: int = MOST_ROWS, session: Any = None) -> list[Item]:
    """The links of a DataLink document.

    Args:
        url: of the document.
        semantics: those links only; empty for all.
        most: rows.
        session: of requests, if not a new one.

    Raises:
        ConfigError, StoreError: as :func:`tap`.
    """
    pyvo = _pyvo(url)
    found = _items(
        "datalink", _answered(url, lambda: pyvo.dal.adhoc.DatalinkResults.from_result_url(url, session=session)), most
    )
    links = [item for item in found if not semantics or item.record.get("semantics") == semantics]
    return [Item(item.archive, item.record, number) for number, item in enumerate(links, 1)]


def votable(path: Path, *, most: int = MOST_ROWS) -> list[Item]:
    """The rows of the first table of a VOTable file.

    Raises:
        ConfigError: astropy is not installed, or it is no VOTable.
    """
    _require("astropy")
    from astropy.io.votable import parse_single_table

    try:
        table = parse_single_table(path)
    except Exception as error:
        raise ConfigError(f"{path} cannot be read as a VOTable: {_first(error)}") from error
    names = [str(column.name) for column in table.fields]
    return _items("votable", (dict(zip(names, row, strict=True)) for row in table.array), most)


def _items(archive: str, rows: Iterable[Any], most: int) -> list[Item]:
    made: list[Item] = []
    for number, row in enumerate(rows, 1):
        if number > most:
            break
        made.append(Item(archive, {str(name): plain(row[name]) for name in row.keys()}, number))  # noqa: SIM118
    return made


def plain(value: Any) -> Any:
    """A cell without numpy: None where it is masked or not a number."""
    if type(value).__name__ == "MaskedConstant":
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value != value:  # noqa: PLR0124  not a number
        return None
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _pyvo(url: str) -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{url} is not the URL of a service", remedy="Write it as https://HOST/PATH.")
    _require("pyvo")
    import pyvo
    import pyvo.dal.adhoc

    return pyvo


def _require(package: str) -> None:
    from gridcwl import imports

    if not imports.installed(package):
        raise imports.missing(package)


def _answered(url: str, ask: Any) -> Any:
    import pyvo

    try:
        return ask()
    except GridCWLError as error:  # of a session that reads not everything
        raise StoreError(f"The service {url} is not read: {error.message}", remedy=error.remedy) from None
    except pyvo.dal.exceptions.DALQueryError as error:
        raise StoreError(f"The service {url} refuses the query: {_first(error)}", remedy="Check the query.") from error
    except Exception as error:
        raise StoreError(f"The service {url} does not answer: {_first(error)}", remedy="Check the URL.") from error


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason is given"
