"""Output objects that a tool or an expression made, checked before they are used.

https://www.commonwl.org/v1.2/CommandLineTool.html#Output_binding
"""

from __future__ import annotations

import json
import math
from typing import Any

from gridcwl.errors import LimitExceeded, OutputError
from gridcwl.model import limits, paths


def read_output_object(text: str | bytes, what: str) -> None:
    """Find out whether ``cwl.output.json`` may be read at all.

    Raises:
        LimitExceeded: it is too large or nested too deeply.
        OutputError: it has a number that JSON does not have.
        json.JSONDecodeError: it is not JSON.
    """
    try:
        limits.read_json(text, limits.OUTPUT_OBJECT_BYTES, what)
    except json.JSONDecodeError:
        raise
    except limits.NotJSON as error:
        raise OutputError(f"{what} {error}") from None


def check_outputs(outputs: Any, name: str) -> None:
    """Check everything in an output object.

    Args:
        outputs: with locations as they are believed from now on.
        name: of the job, for people.

    Raises:
        UnsafePath: a base name is none, or a location is not acceptable.
        LimitExceeded: literals, listings or nesting have no end.
        OutputError: a value cannot be written as JSON.
    """
    _Check(name).value(outputs, 0)


class _Check:
    def __init__(self, name: str) -> None:
        self._name = name
        self._entries = 0

    def value(self, value: Any, depth: int) -> None:
        if isinstance(value, str):
            if not value.isascii():
                self._check_text(value)
        elif isinstance(value, dict):
            self._check_depth(depth)
            if value.get("class") in ("File", "Directory"):
                self._check_entry(value)
            for key, item in value.items():
                if not isinstance(key, str):
                    raise OutputError(f"An output of {self._name} has a key that is not text")
                if not key.isascii():
                    self._check_text(key)
                if item is not None:
                    self.value(item, depth + 1)
        elif isinstance(value, list):
            self._check_depth(depth)
            for item in value:
                self.value(item, depth + 1)
        elif isinstance(value, float) and not math.isfinite(value):
            raise OutputError(f"An output of {self._name} is {value}, which JSON does not have")

    def _check_depth(self, depth: int) -> None:
        if depth > limits.JSON_DEPTH:
            raise LimitExceeded(f"The output object of {self._name}", limits.JSON_DEPTH, "levels of nesting")

    def _check_text(self, text: str) -> None:
        try:
            text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise OutputError(
                f"An output of {self._name} has text that is not Unicode (a lone surrogate): {paths.quoted(text)}"
            ) from None

    def _check_entry(self, entry: dict[str, Any]) -> None:
        self._entries += 1
        if self._entries > limits.LISTING_ENTRIES:
            raise LimitExceeded(f"The output object of {self._name}", limits.LISTING_ENTRIES, "Files and Directories")
        if entry.get("basename"):
            paths.basename(entry["basename"], f"The base name of an output of {self._name}")
        location = entry.get("location")
        if location:
            paths.location(location, f"The location of an output of {self._name}")
        for key in ("listing", "secondaryFiles"):
            inner = entry.get(key)
            if inner is not None and not (isinstance(inner, list) and all(map(_is_entry, inner))):
                raise OutputError(f"An output of {self._name} has a {key} that is not a list of Files and Directories")
        contents = entry.get("contents")
        if contents is not None:
            if not isinstance(contents, str):
                raise OutputError(f"An output of {self._name} has contents that are not text")
            limits.check(len(contents), limits.LITERAL_BYTES, f"The contents of an output of {self._name}")


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class") in ("File", "Directory")
