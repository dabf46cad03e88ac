"""Files and directories that are not on this machine, as cwltool looks at them while a job is resolved.

A file elsewhere is its URL. A directory elsewhere is a list of its entries that is kept here: cwltool sees each entry
below the directory's own URL, and what is staged, and what comes out, is the file that the entry stands for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import IO, Any
from urllib.parse import quote, unquote

from gridcwl.model.objects import entries
from gridcwl.stores.base import RemoteFiles

CwlObject = dict[str, Any]

_LIMIT = 64 * 1024
"""Bytes that ``loadContents`` reads; one more shows that there are more."""


class Remote:
    """What a run knows of files and directories elsewhere."""

    def __init__(self, files: RemoteFiles) -> None:
        self.files = files
        self._directories: dict[str, dict[str, CwlObject]] = {}
        self._absent: set[str] = set()

    def enter(self, location: str, children: Sequence[CwlObject]) -> None:
        """Remember what is in a directory; that of the directories in it, too."""
        known: dict[str, CwlObject] = {}
        for child in children:
            entry = dict(child)
            if entry["class"] == "Directory":
                listing = entry.pop("listing", None)
                if listing is not None:
                    self.enter(entry["location"], listing)
            known[entry["basename"]] = entry
        self._directories[location] = known

    def knows(self, url: str) -> bool:
        """Whether a location is a directory or file elsewhere."""
        return url in self._directories or self.entry(url) is not None or self.files.understands(url)

    def entry(self, url: str) -> CwlObject | None:
        """The entry that a URL below a directory's stands for; None if it is none."""
        folder, _, name = url.rpartition("/")
        children = self._children(folder) if folder else None
        return None if children is None else children.get(unquote(name))

    def listing(self, url: str) -> list[CwlObject] | None:
        """The entries of a directory, each under the directory's URL; None if it is none."""
        children = self._children(url.rstrip("/"))
        if children is None:
            return None
        return [{**child, "location": f"{url.rstrip('/')}/{quote(name)}"} for name, child in children.items()]

    def real(self, url: str) -> str:
        """The URL of the file or directory that an entry stands for; the URL itself if it is none."""
        entry = self.entry(url)
        return url if entry is None else str(entry["location"])

    def settle(self, value: Any) -> None:
        """Put what they stand for in place of entries of directories, in place."""
        for one in entries(value):
            entry = self.entry(str(one.get("location", "")))
            if entry is not None and entry["class"] == one["class"]:
                one.update({key: item for key, item in entry.items() if key != "basename"})

    def open(self, url: str, mode: str) -> IO[Any]:
        """The beginning of a file, as much as ``loadContents`` wants to see."""
        data = self.files.first_bytes(self.real(url), _LIMIT + 1)
        return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode("utf-8"))

    def exists(self, url: str) -> bool:
        """Whether a file or directory is there."""
        if url in self._directories or self.entry(url) is not None:
            return True
        if url in self._absent:
            return False
        there = bool(self.files.present([url]))
        if not there:
            self._absent.add(url)
        return there

    def isdir(self, url: str) -> bool:
        """Whether it is a directory."""
        entry = self.entry(url)
        return url in self._directories or (entry is not None and entry["class"] == "Directory")

    def beside(self, urls: Sequence[str]) -> Mapping[str, CwlObject]:
        """Those of the files that are there, asked for together; of the others that is remembered."""
        found = self.files.present(urls)
        self._absent.update(url for url in urls if url not in found)
        return found

    def _children(self, url: str) -> dict[str, CwlObject] | None:
        children = self._directories.get(url)
        if children is not None:
            return children
        folder, _, name = url.rpartition("/")
        if not folder or folder.endswith(("/", ":")):
            return None
        above = self._children(folder)
        entry = above.get(unquote(name)) if above is not None else None
        return self._directories.get(entry["location"]) if entry is not None else None
