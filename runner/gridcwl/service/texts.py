"""What texts of a database can have: requests name runs, and search, with whatever their senders like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def _storable(value: Any) -> Any:
    """A value without what texts of databases cannot have: NUL in PostgreSQL's, half characters in any."""
    if isinstance(value, str):
        plain = value if value.isascii() else value.encode("utf-8", "replace").decode()
        return plain.replace("\0", "\ufffd") if "\0" in plain else plain
    if isinstance(value, Mapping):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list | tuple) else value


def dumped(value: Any) -> str:
    """JSON for a column."""
    return json.dumps(_storable(value))


def with_storable(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool
) -> tuple[str, Any]:
    """A listener of SQLAlchemy's: no text of a request is an error of the database."""
    return statement, [_row(one) for one in parameters] if executemany else _row(parameters)


def _row(parameters: Any) -> Any:
    if isinstance(parameters, Mapping):
        return {name: _storable(value) if isinstance(value, str) else value for name, value in parameters.items()}
    return tuple(_storable(value) if isinstance(value, str) else value for value in parameters)
