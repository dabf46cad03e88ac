"""Bindings: the values that a step's inputs and outputs had, by parameter, as the journal keeps them.

Of Files and Directories only what identifies them is kept. A large value that many shards share is written once.
Secrets and passwords in URLs are masked.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from gridcwl.model.chunks import chunks
from gridcwl.worker.failure import crossed_out

SHARED = "gridcwl:shared"
"""The only key of an object that stands for a value that is written elsewhere; its value is the number of that."""
_KEPT = ("class", "location", "basename", "size", "checksum", "format", "secondaryFiles", "listing")
_LARGE = 32
"""Items of a value from which on it may be shared."""
_TOGETHER = 250
"""Items of an array that are encoded together."""
_REMEMBERED = 8
"""Large values that are recognized when they come again."""


class Binding(NamedTuple):
    """What one shard of a step got and gave."""

    name: str
    step: str
    kind: Literal["tool", "expression", "workflow"]
    row: int | None
    """Of the job; None where the step needs none."""
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any] | None
    """None if it failed."""
    at: float | None = None
    """When it ended, of steps without a job: seconds since 1970."""


@dataclass(slots=True)
class BindingEncoder:
    """Values as JSON for the journal."""

    mask: Callable[[bytes], bytes]
    share: Callable[[int, int, Iterator[bytes]], None]
    """Writes a large value under its number: how many bytes it has, and the pieces of its text."""
    _seen: OrderedDict[int, tuple[Any, int]] = field(init=False, default_factory=OrderedDict)
    """Large values by their id, which is valid as long as they are held here."""

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """An input or output object as JSON."""
        return self._text({name: self._port(value) for name, value in values.items()})

    def _port(self, value: Any) -> Any:
        if not isinstance(value, list | dict) or len(value) < _LARGE:
            return slim(value)
        known = self._seen.get(id(value))
        if known is None:
            digest, size = hashlib.sha256(), 0
            for piece in self._pieces(value):
                digest.update(piece)
                size += len(piece)
            number = int.from_bytes(digest.digest()[:7])
            self.share(number, size, self._pieces(value))
            known = self._seen[id(value)] = (value, number)
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return {SHARED: known[1]}

    def _pieces(self, value: Any) -> Iterator[bytes]:
        """As :meth:`_text`; of an array some items at a time: of a hundred thousand Files no copy is made."""
        if not isinstance(value, list):
            yield self._text(slim(value))
            return
        for number, part in enumerate(chunks(value, _TOGETHER)):
            yield (b"," if number else b"[") + self._text(slim(part)).strip()[1:-1]
        yield b"]"

    def _text(self, value: Any) -> bytes:
        try:
            text: bytes = msgspec.json.encode(value, enc_hook=_number)
        except (UnicodeEncodeError, TypeError, NotImplementedError):  # file names need not be UTF-8
            text = json.dumps(value, default=_number).encode("ascii")
        text = self.mask(text)
        return crossed_out(text.decode()).encode() if b"@" in text or b"?" in text else text


def slim(value: Any) -> Any:
    """The value with only those fields of Files and Directories that identify them."""
    if isinstance(value, list):
        return [slim(item) if isinstance(item, dict | list) else item for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("class")
    if kind not in ("File", "Directory"):
        return {key: slim(item) for key, item in value.items()}
    made = {key: value[key] for key in _KEPT if key in value}
    for inner in ("secondaryFiles", "listing"):
        if inner in made:
            made[inner] = slim(made[inner])
    if "contents" in value and ("location" not in made or str(made["location"]).startswith("_:")):
        made["contents"] = value["contents"]
    return made


def unshared(values: Any, shared: Callable[[int], Any]) -> dict[str, Any]:
    """The object with shared values put in their places."""
    return {
        name: shared(value[SHARED]) if isinstance(value, dict) and value.keys() == {SHARED} else value
        for name, value in values.items()
    }


def _number(value: Any) -> Any:
    """What JSON does not know: the numbers that ruamel keeps as they were written."""
    if isinstance(value, Mapping):
        return dict(value)
    return float(value) if hasattr(value, "__float__") else str(value)
