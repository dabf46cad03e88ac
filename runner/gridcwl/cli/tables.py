"""Tables for people: drawn on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from gridcwl import imports
from gridcwl.cli.terminal import escaped, raw

_BETWEEN = 2
_NARROWEST = 6
_STYLES = {"success": "green", "running": "cyan", "failed": "red", "killed": "yellow", "cancelled": "yellow"}


def show(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    cut: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> None:
    """Print a table on stdout.

    Args:
        columns: their titles.
        rows: their cells.
        right: columns of numbers.
        cut: columns that are cut on a narrow terminal rather than wrapped.
        optional: columns that are left out where nothing is in them, or only zeros.
    """
    listed = [["" if cell is None else escaped(str(cell)).replace("\n", " ") for cell in row] for row in rows]
    empty = {
        number for number, column in enumerate(columns)
        if column in optional and all(row[number] in ("", "0") for row in listed)
    }  # fmt: skip
    columns = [column for number, column in enumerate(columns) if number not in empty]
    listed = [[cell for number, cell in enumerate(row) if number not in empty] for row in listed]
    if sys.stdout.isatty():
        _drawn(columns, listed, right, cut)
        return
    widths = [max(len(row[number]) for row in [list(columns), *listed]) for number in range(len(columns))]
    for row in [list(columns), *listed]:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _drawn(columns: Sequence[str], rows: list[list[str]], right: Sequence[str], cut: Sequence[str]) -> None:
    imports.load("rich")
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    console = Console(file=raw(sys.stdout))
    widths = fitted(columns, rows, cut, console.width)
    too_wide = sum(widths) + _BETWEEN * (len(widths) - 1) > console.width
    for column, width in zip(columns, widths, strict=True):
        wraps = too_wide and column != columns[0] and column not in (*right, *cut)
        table.add_column(
            column,
            justify="right" if column in right else "left",
            width=None if wraps else width,
            min_width=min(len(column), width),
            no_wrap=not wraps,
            overflow="ellipsis" if column in cut else "fold",
        )
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], cut: Sequence[str], width: int) -> list[int]:
    """How wide each column is: as its widest cell, but those that may be cut, the widest first, as far as they must."""
    widths = [max(len(row[number]) for row in [list(columns), *rows]) for number in range(len(columns))]
    for _ in range(sum(widths) + _BETWEEN * (len(widths) - 1) - width):
        wide = [number for number, column in enumerate(columns) if column in cut and widths[number] > _NARROWEST]
        if not wide:
            break
        widths[max(wide, key=lambda number: widths[number])] -= 1
    return widths
