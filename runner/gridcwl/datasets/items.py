"""Items of a basket, whatever archive they come from: plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ZOONIVERSE = "zooniverse"
_NAMES = ("name", "title", "dataset", "obs_publisher_did", "obs_id", "PID", "datasetID", "id")


@dataclass(frozen=True, slots=True)
class Item:
    """One item: a file, a dataset, an observation, a set of classifications.

    Attributes:
        archive: where it was found: ``rucio``, ``apertif``, ``astron_vo``, ``vo_reg``, ``samp``, ``zooniverse`` ...
        record: what the archive says of it.
        number: its place in the basket, from 1 on.
    """

    archive: str
    record: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def name(self) -> str:
        """What people know it by."""
        record = self.record
        if self.archive == "rucio":
            return f"{record.get('scope', '?')}:{record.get('name', '?')}"
        if self.archive == ZOONIVERSE:
            kind = record.get("catalog", "project")
            return f"{record.get('category', 'classifications')} of {kind} {record.get(f'{kind}_id', '?')}"
        return next((str(record[name]) for name in _NAMES if record.get(name)), f"item {self.number}")


def item_of(written: Any, number: int) -> Item | str:
    """An item as ESAP writes it; or why it is none.

    Args:
        written: ``{"archive": A, "record": {...}}``, the same as a JSON text in ``item_data``, or Zooniverse's shape.
        number: its place in the basket.
    """
    if isinstance(written, Mapping) and "item_data" in written:
        written = written["item_data"]
    if isinstance(written, str):
        try:
            written = json.loads(written)
        except ValueError:
            return "it is not JSON"
    if not isinstance(written, Mapping) or not isinstance(written.get("archive"), str):
        return "it names no archive"
    archive = str(written["archive"])
    if archive == ZOONIVERSE and "record" not in written:
        return Item(archive, {str(key): value for key, value in written.items() if key != "archive"}, number)
    record = written.get("record")
    if isinstance(record, list):  # SAMP sends the fields of a row in order
        record = {f"field{index}": value for index, value in enumerate(record, 1)}
    if not isinstance(record, Mapping):
        return "it has no record"
    return Item(archive, {str(key): value for key, value in record.items()}, number)


def as_written(item: Item) -> dict[str, Any]:
    """The item as ESAP keeps it."""
    if item.archive == ZOONIVERSE:
        return {"archive": item.archive, **item.record}
    return {"archive": item.archive, "record": dict(item.record)}
