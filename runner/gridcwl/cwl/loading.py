"""Loading a document with what changes it: overrides, requirements of the input object, a choice of its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cwltool.workflow import Workflow

from gridcwl.cwl.load import Document, load, shown_uri
from gridcwl.cwl.selection import Selection, select
from gridcwl.errors import InputError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

    from gridcwl.cwl.context import EvaluationOptions

_MOST_NAMES = 20


@dataclass(slots=True)
class Loading:
    """One document, loaded once for each set of changes."""

    uri: str
    file_uri: str
    options: EvaluationOptions
    selection: Selection = field(default_factory=Selection)
    known: dict[str, Document] = field(default_factory=dict)

    def load(self, overrides: Sequence[Any] = (), requirements: Sequence[Any] = ()) -> Document:
        """The document.

        Args:
            overrides: resolved ``cwltool:overrides``; a later one goes before an earlier one.
            requirements: the input object's ``cwl:requirements``.

        Raises:
            DocumentError, UnsupportedError: as ``gridcwl.cwl.load.load``.
            InputError: an override names no process and no step of the document.
        """
        if not overrides:
            return self._loaded(overrides, requirements)
        whole = load(self.uri, self.options, overrides=list(overrides), run_requirements=list(requirements))
        aimed = _aimed(overrides, whole.process, self.file_uri)
        if aimed == list(overrides) and not self.selection:
            return whole
        return self._loaded(aimed, requirements)

    def _loaded(self, overrides: Sequence[Any], requirements: Sequence[Any]) -> Document:
        key = json.dumps([overrides, requirements], default=str, sort_keys=True)
        if key not in self.known:
            if self.selection:
                self.known[key] = select(
                    self.uri, self.options, self.selection, overrides=overrides, run_requirements=requirements
                )
            else:
                self.known[key] = load(
                    self.uri, self.options, overrides=list(overrides), run_requirements=list(requirements)
                )
        return self.known[key]


def _aimed(overrides: Sequence[Any], process: Process, file_uri: str) -> list[Any]:
    """The overrides with the URIs of processes and steps in place of plain step names.

    Raises:
        InputError: one names nothing.
    """
    names = _Names(file_uri)
    names.add(process)
    return [{**override, "overrideTarget": names.target(str(override["overrideTarget"]))} for override in overrides]


class _Names:
    """What overrides may be for, by URI and by the names that people write."""

    def __init__(self, file_uri: str) -> None:
        self._folder = file_uri.rpartition("/")[0] + "/"
        self._file = file_uri
        self._targets: set[str] = set()
        self._steps: dict[str, str] = {}
        """The URIs of steps by their path: ``align/sort``."""

    def add(self, process: Process, path: str = "") -> None:
        """Add a process and all that it runs."""
        self._targets.add(str(process.tool.get("id", "")))
        for step in process.steps if isinstance(process, Workflow) else ():
            name = path + str(step.id).rpartition("#")[2].rpartition("/")[2]
            self._targets.add(str(step.id))
            self._steps.setdefault(name, str(step.id))
            self.add(step.embedded_tool, f"{name}/")

    def target(self, written: str) -> str:
        """The URI that cwltool knows a key by.

        Raises:
            InputError: it names nothing.
        """
        if written in self._targets:
            return written
        name = written.removeprefix(self._folder).removeprefix(self._file.removeprefix(self._folder))
        step = self._steps.get(name.removeprefix("#").removeprefix("main/"))
        if step is not None:
            return step
        inside = [uri for uri in self._targets if uri.startswith(f"{written}#") and "/" not in uri.rpartition("#")[2]]
        if "#" not in written and len(inside) == 1:  # a file with a single process, which has an id of its own
            return inside[0]
        known = list(dict.fromkeys([*self._steps, *self._shown()]))
        listed = ", ".join(known[:_MOST_NAMES]) + (" ..." if len(known) > _MOST_NAMES else "")
        raise InputError(
            f"The overrides are for {name}, which is no process and no step of {shown_uri(self._file)}",
            remedy=f"{did_you_mean(name.removeprefix('#'), known)} There are: {listed}.".lstrip(),
        )

    def _shown(self) -> Iterator[str]:
        for uri in sorted(self._targets):
            short = uri.removeprefix(self._folder)
            if short and not short.startswith("_:"):
                yield short.removeprefix(self._file.removeprefix(self._folder)) if "#" in short else short
