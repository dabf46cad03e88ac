"""Files and directories of an input object that are elsewhere: looked up all at once, and put in place.

A dataset is a ``File[]`` or a Directory, a container an array of arrays or a Directory of directories.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cwltool.builder import substitute
from cwltool.process import shortname

from gridcwl.cwl.remote import Remote
from gridcwl.errors import InputError
from gridcwl.model.objects import entries

if TYPE_CHECKING:
    from cwltool.process import Process

CwlObject = dict[str, Any]

_GIVEN = ("basename", "format", "secondaryFiles", "streamable")
"""What a user may say of a file; the rest is known better."""


def put_in_place(process: Process, values: Any, remote: Remote) -> None:
    """Replace, in place, what is elsewhere by what it is.

    Raises:
        InputError: it is not there, or is not what the document's input takes.
    """
    locations = [str(entry["location"]) for entry in _entries(values, remote) if not _has_listing(entry)]
    for entry in _entries(values, remote):
        if _has_listing(entry):  # as an earlier run gave it out
            locations += [
                str(file["location"]) for file in _entries(entry["listing"], remote) if file["class"] == "File"
            ]
    if not locations:
        return
    found = dict(remote.files.find(locations))
    lookup = _Lookup(found, remote)
    for parameter in process.tool["inputs"]:
        name = shortname(parameter["id"])
        if values.get(name) is not None:
            values[name] = lookup.replaced(values[name], parameter["type"], name)
            _find_beside(values[name], parameter.get("secondaryFiles"), remote)


class _Lookup:
    """Puts answers in the place of questions."""

    def __init__(self, found: CwlObject, remote: Remote) -> None:
        self._found = found
        self._remote = remote

    def replaced(self, value: Any, kind: Any, name: str) -> Any:
        if isinstance(value, list):
            return self._list(value, _items(kind), name)
        if not isinstance(value, dict):
            return value
        if value.get("class") in ("File", "Directory"):
            return self._one(value, kind, name)
        for key, item in value.items():
            if isinstance(item, dict | list):
                value[key] = self.replaced(item, "Any", name)
        return value

    def _list(self, values: Any, kind: Any, name: str) -> Any:
        """In a list of files, one that is a dataset stands for its files."""
        whole: list[Any] = []
        for value in values:
            many = kind == "Any" or not _takes_list(kind)
            made = self.replaced(value, {"type": "array", "items": kind} if many else kind, name)
            if many and isinstance(made, list) and not isinstance(value, list):
                whole += made
            else:
                whole.append(made)
        values[:] = whole
        return values

    def _one(self, value: Any, kind: Any, name: str) -> Any:
        location = str(value.get("location", ""))
        if not self._remote.files.understands(location):
            return value
        if _has_listing(value):
            self._remote.enter(location, value.pop("listing"))
            return value
        found = self._found[location]
        if value["class"] == "Directory":
            return self._directory(value, found, kind, name)
        if found["class"] == "File":
            _check_size(value, found, name)
            kept = {key: value[key] for key in _GIVEN if key in value}
            if str(value.get("checksum", "")).startswith("sha1$"):
                kept["checksum"] = value["checksum"]
            return {**found, **kept}
        return self._files(found, kind, name)

    def _files(self, found: CwlObject, kind: Any, name: str) -> Any:
        if kind != "Any" and not _takes_list(kind):
            count = len(list(_all_files(found)))
            raise InputError(
                f"The input '{name}' takes one File, and {found['location']} holds {count}",
                remedy="Name one of its files, or scatter over an input of type File[].",
            )
        if found["collections"] and _takes_list(_items(kind)):
            return [self._files(one, _items(kind), name) for one in found["collections"]]
        return [_plain(file) for file in _all_files(found)]

    def _directory(self, value: Any, found: CwlObject, kind: Any, name: str) -> Any:
        if found["class"] == "File":
            raise InputError(f"The input '{name}' takes a Directory, and {found['location']} is a file")
        if found["collections"] and kind != "Any" and _takes_list(kind) and not _takes(kind, "Directory"):
            return [self._made(one, one["basename"]) for one in found["collections"]]
        made = self._made(found, str(value.get("basename") or found["basename"]))
        return [made] if _takes_list(kind) and not _takes(kind, "Directory") else made

    def _made(self, found: CwlObject, basename: str) -> CwlObject:
        location = str(found["location"]).partition("?")[0]
        self._remote.enter(location, directory_listing(found))
        return {"class": "Directory", "location": location, "basename": basename}


def directory_listing(found: CwlObject) -> list[CwlObject]:
    """What a dataset or container is as a Directory. Names that are there twice get a number."""
    root = _Folder(str(found["location"]).partition("?")[0])
    for file in found["files"]:
        above, _, name = str(file.get("path", file["basename"])).rpartition("/")
        children = root.below(above).children
        free = _free(name, children)
        children[free] = {**_plain(file), "basename": free}
    for path in found.get("folders", ()):
        root.below(path)
    for one in found["collections"]:
        name = _free(str(one["basename"]), root.children)
        listing = directory_listing(one)
        root.children[name] = {
            "class": "Directory", "location": one["location"], "basename": name, "listing": listing,
        }  # fmt: skip
    return root.listing()


@dataclass(slots=True)
class _Folder:
    """A Directory while its listing is put together."""

    location: str
    children: dict[str, CwlObject] = field(default_factory=dict)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def below(self, path: str) -> _Folder:
        """The folder of this path, which is made if it is not there."""
        folder = self
        for part in filter(None, path.split("/")):
            if part not in folder.folders:
                folder.folders[part] = _Folder(f"{folder.location}/{quote(part)}")
            folder = folder.folders[part]
        return folder

    def listing(self) -> list[CwlObject]:
        """What is in it, files first."""
        within = [
            {"class": "Directory", "location": folder.location, "basename": name, "listing": folder.listing()}
            for name, folder in self.folders.items()
        ]
        return [*self.children.values(), *within]


def _plain(file: CwlObject) -> CwlObject:
    """A File without its place in a Directory."""
    return {name: value for name, value in file.items() if name != "path"}


def _free(name: str, taken: CwlObject) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _find_beside(value: Any, wanted: Any, remote: Remote) -> None:
    """Secondary files, for all files at once; what an expression names is looked for when the job is resolved."""
    patterns = [
        entry if isinstance(entry, str) else entry["pattern"]
        for entry in (wanted if isinstance(wanted, list) else [wanted] if wanted else [])
    ]
    simple = [
        pattern for pattern in patterns if isinstance(pattern, str) and "$(" not in pattern and "${" not in pattern
    ]
    asked: dict[str, list[tuple[CwlObject, str]]] = {}
    for file in _entries(value, remote):
        if file["class"] == "File" and not file.get("secondaryFiles"):
            for pattern in simple:
                name = substitute(file["basename"], pattern.removesuffix("?"))
                # Behind the marks of gridcwl's own names, and after whatever comes before the name in a foreign one.
                url = f"{str(file['location']).removesuffix(file['basename'])}{name}"
                asked.setdefault(url, []).append((file, name))
    if asked:
        for url, entry in remote.beside(list(asked)).items():
            for file, name in asked[url]:
                file.setdefault("secondaryFiles", []).append({**entry, "basename": name})


def _check_size(value: Any, found: CwlObject, name: str) -> None:
    if value.get("size") not in (None, found["size"]):
        raise InputError(
            f"The input '{name}' gives {found['location']} a size of {value['size']} bytes, but it has {found['size']}",
            remedy="Take the size out of the input object, or see whether this is the right file.",
        )


def _entries(value: Any, remote: Remote) -> Iterator[Any]:
    """Files and Directories elsewhere; what is in a Directory that has a location is left to it."""
    for entry in entries(value, into=_is_looked_into):
        if remote.files.understands(str(entry.get("location", ""))):
            yield entry


def _is_looked_into(entry: CwlObject) -> bool:
    return entry["class"] == "File" or str(entry.get("location", "_:")).startswith("_:")


def _has_listing(entry: Any) -> bool:
    return entry["class"] == "Directory" and entry.get("listing") is not None


def _all_files(found: CwlObject) -> Iterator[CwlObject]:
    yield from found["files"]
    for one in found["collections"]:
        yield from _all_files(one)


def _takes_list(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(_takes_list(one) for one in kind)
    return isinstance(kind, dict) and kind.get("type") == "array"


def _takes(kind: Any, name: str) -> bool:
    if isinstance(kind, list):
        return any(_takes(one, name) for one in kind)
    return bool(kind == name)


def _items(kind: Any) -> Any:
    if isinstance(kind, list):
        kind = next((one for one in kind if _takes_list(one)), "Any")
    return kind["items"] if isinstance(kind, dict) and kind.get("type") == "array" else "Any"
