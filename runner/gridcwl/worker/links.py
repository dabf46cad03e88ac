"""Where a symbolic link that a tool left leads to: into its output directory, to an input, or out of what is the job's.

A link's text was written by the tool, so it is read with the tool's eyes: in a container, ``/gridcwl/in/x`` is a path
that this machine does not have.
"""

from __future__ import annotations

import os
from typing import Dict, NamedTuple, Optional

from gridcwl.worker.layout import Layout
from gridcwl.worker.paths import file_url
from gridcwl.worker.plan import above
from gridcwl.worker.stage import StagedInput, Staging

_MAX_HOPS = 40  # as the kernel's own limit


class Leads(NamedTuple):
    """Where a link leads: exactly one of the two."""

    inside: Optional[str] = None
    """A path relative to the output directory; empty for the directory itself."""
    original: Optional[StagedInput] = None


class Escape(Exception):
    """The link leads out of what is the job's."""


class Links:
    """Follows links as the tool would have."""

    def __init__(self, layout: Layout, staging: Staging) -> None:
        self._layout = layout
        self._staging = staging
        self._root = os.path.realpath(layout.out) if layout.bare else layout.seen_out
        self._inputs_root = os.path.realpath(layout.inputs) if layout.bare else layout.seen_inputs
        self._originals = self._bare_originals() if layout.bare else staging.inputs

    def follow(self, parent: str, text: str) -> Optional[Leads]:
        """Where a link with this text, in the folder ``parent`` of the output directory, leads; None if nowhere.

        Raises:
            Escape: it leads out.
        """
        start = text if text.startswith("/") else f"{self._root}/{parent}/{text}"
        end = self._resolve(start)
        return None if end is None else self._classify(end)

    def _resolve(self, path: str) -> Optional[str]:
        """The path without links, one part after the other; None for a loop. Stops at originals."""
        ahead = path.split("/")[::-1]
        here = ""
        hops = 0
        while ahead:
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                here = here[: here.rfind("/")] if here else ""
                continue
            here = f"{here}/{part}"
            if here in self._originals:
                continue
            text = self._link_at(here)
            if text is not None:
                hops += 1
                if hops > _MAX_HOPS:
                    return None
                ahead.extend(text.split("/")[::-1])
                here = "" if text.startswith("/") else here[: here.rfind("/")]
        return here

    def _link_at(self, path: str) -> Optional[str]:
        if any(folder in self._originals for folder in above(path)):
            return None  # inside an input: how its owner arranged it is not ours to follow
        host = path if self._layout.bare else self._staging.host(path)
        if host is None:
            return None
        try:
            return os.readlink(host)
        except OSError:
            return None

    def _classify(self, path: str) -> Optional[Leads]:
        for folder in (path, *above(path)):
            original = self._originals.get(folder)
            if original is not None:
                child = path[len(folder) + 1 :]
                return _existing(original.child(child, contained=not self._layout.bare) if child else original)
        inside = _relative(path, self._root)
        if inside is not None:
            return Leads(inside=inside) if os.path.lexists(f"{self._layout.out}/{inside}") else None
        rest = _relative(path, self._inputs_root)
        if rest is not None:  # a literal: it has no other source than the file that the worker wrote
            host = f"{self._layout.inputs}/{rest}"
            return _existing(StagedInput(file_url(host), host))
        raise Escape

    def _bare_originals(self) -> Dict[str, StagedInput]:
        """Without a container the tool sees links to the originals, and may have made links to where those lead."""
        originals: Dict[str, StagedInput] = {}
        for seen, original in self._staging.inputs.items():
            originals[os.path.realpath(original.host)] = original
            place = self._layout.host(os.path.dirname(seen))
            if place is not None:
                originals[f"{os.path.realpath(place)}/{os.path.basename(seen)}"] = original
        return originals


def _existing(original: StagedInput) -> Optional[Leads]:
    if original.leads_out():
        raise Escape
    return Leads(original=original) if os.path.exists(original.host) else None


def _relative(path: str, root: str) -> Optional[str]:
    if path == root:
        return ""
    return path[len(root) + 1 :] if path.startswith(root + "/") else None
