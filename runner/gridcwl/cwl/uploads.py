"""What of a document and its input object is on this machine, and has to be uploaded where it runs elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml.comments import CommentedMap
from schema_salad.ref_resolver import uri_file_path

from gridcwl.cwl.access import InputFs
from gridcwl.cwl.grouped import shortname, takes_list, type_of
from gridcwl.cwl.input_files import find_files
from gridcwl.cwl.inputs import plain, with_options
from gridcwl.cwl.no_javascript import processes
from gridcwl.cwl.patches.command_line_tool import init_job
from gridcwl.cwl.problems import problems
from gridcwl.errors import InputError
from gridcwl.model.objects import entries

if TYPE_CHECKING:
    from gridcwl.cwl.session import CwlSession

_DOCUMENTS, _INPUTS = "document", "inputs"


@dataclass(slots=True)
class Uploads:
    """Files to upload, by the names that they get; and the input object with these names."""

    document: str
    """The document's name among the files; its URL if it is on the web."""
    params: dict[str, Any]
    files: dict[str, Path] = field(default_factory=dict)


def uploads_of(session: CwlSession, grouped: str = "", *, check: bool = True) -> Uploads:
    """What has to be uploaded.

    Args:
        session: of the document with its input object.
        grouped: the input whose values are grouped: it may have several where the document takes one.
        check: whether the input object is complete; with templates in it, it is not.

    Raises:
        InputError: an input is missing, of the wrong type, or a file that is not there.
    """
    files: dict[str, Path] = {}
    params = _unchecked(session) if not check else _of_groups(session, grouped) if grouped else _inputs(session)
    document = session.document.uri
    if document.startswith("file://"):
        parts = [Path(path) for path in session.document.files]
        parts += [Path(path) for path in _named_by_documents(session)]
        file, hash_, fragment = document.partition("#")
        main = Path(uri_file_path(file))
        root = Path(os.path.commonpath([path.parent for path in (main, *parts)]))
        for part in (main, *parts):
            for path in _files_in(part):
                files[f"{_DOCUMENTS}/{path.relative_to(root)}"] = path
        document = f"{_DOCUMENTS}/{main.relative_to(root)}{hash_}{fragment}"
    for number, entry in enumerate(_outermost(params)):
        _take(entry, f"{_INPUTS}/{number}", files)
    return Uploads(document, params, files)


def _written(session: CwlSession) -> dict[str, Any]:
    """The input object as it was written, with absolute locations."""
    written = session.written
    values = with_options(CommentedMap() if written.values is None else written.values, written)
    find_files(values, written.base)
    made: dict[str, Any] = plain(values)
    return made


def _unchecked(session: CwlSession) -> dict[str, Any]:
    """As :func:`_written`, without what cwltool adds while it reads."""
    known = {shortname(parameter["id"]) for parameter in session.document.process.tool["inputs"]}
    made = _written(session)
    return {name: value for name, value in made.items() if name in known or name not in ("id", "__id")}


def _of_groups(session: CwlSession, name: str) -> dict[str, Any]:
    """As :func:`_inputs`; of an input with one value, each of the values that are given is checked."""
    if takes_list(type_of(session.document.process, name)):
        return _inputs(session)
    written = session.written
    kept = written.values, written.options
    values = next((held[name] for held in reversed(kept) if held and isinstance(held.get(name), list)), None)
    if not values:
        return _inputs(session)
    made: list[dict[str, Any]] = []
    for value in values:
        written.values = None if kept[0] is None else _with(kept[0], name, value)
        written.options = _with(kept[1], name, value)
        made.append(_inputs(session))
    written.values, written.options = kept
    return {**made[0], name: [one[name] for one in made]}


def _with(values: CommentedMap, name: str, value: Any) -> CommentedMap:
    return CommentedMap({**values, name: value} if name in values else values)


def _inputs(session: CwlSession) -> dict[str, Any]:
    """The input object with absolute locations and secondary files; one with files of a store is not checked here."""
    made = _written(session)
    if any(_is_elsewhere(str(entry.get("location", ""))) for entry in entries(made)):
        return made
    whole = session.inputs()
    process = session.document.process
    own = session.context.copy()
    own.toplevel = True
    own.make_fs_access = partial(InputFs, inputs=whole)
    with problems(InputError, "The input object is not valid"):
        job: dict[str, Any] = plain(init_job(process, whole, own).job)
    known = {parameter["id"].rpartition("#")[2].rpartition("/")[2] for parameter in process.tool["inputs"]}
    return {name: value for name, value in job.items() if name in known}


def _is_elsewhere(location: str) -> bool:
    return not location.startswith(("file:", "_:", "/")) and ":" in location


def _named_by_documents(session: CwlSession) -> list[str]:
    """Files of this machine that documents name as defaults, or put into working directories."""
    found: list[str] = []
    for process in processes(session.document.process):
        parameters = [*process.tool["inputs"]]
        parameters += [one for step in getattr(process, "steps", ()) for one in step.tool["inputs"]]
        values = [parameter.get("default") for parameter in parameters]
        values += [one.get("listing") for one in process.requirements if "listing" in one]
        for entry in entries(values):
            location = str(entry.get("location") or "")
            if location.startswith("file://"):
                found.append(str(uri_file_path(location)))
    return found


def _files_in(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(found for found in path.rglob("*") if found.is_file())
    return [path]


def _outermost(params: Any) -> list[dict[str, Any]]:
    from gridcwl.model.objects import outermost

    return list(outermost(params))


def _take(entry: dict[str, Any], folder: str, files: dict[str, Path]) -> None:
    """Have a File or Directory uploaded below a folder, and name it by what it is called there. In place."""
    location = str(entry.get("location") or entry.get("path") or "")
    for key in ("path", "dirname", "nameroot", "nameext"):
        entry.pop(key, None)
    if location.startswith("_:"):
        del entry["location"]
    if location.startswith(("file://", "/")):
        path = Path(location if location.startswith("/") else uri_file_path(location))
        entry.setdefault("basename", path.name)
        if entry["class"] == "File":
            name = f"{folder}/{path.name}"
            files[name] = path
            entry["location"] = name
        else:
            entry.pop("location", None)
            entry["listing"] = [_entry(child) for child in sorted(path.iterdir())]
    for key in ("secondaryFiles", "listing"):
        for number, other in enumerate(entry.get(key) or ()):
            inner = f"{folder}/{entry.get('basename', number)}" if key == "listing" else folder
            _take(other, inner, files)


def _entry(path: Path) -> dict[str, Any]:
    kind = "Directory" if path.is_dir() else "File"
    return {"class": kind, "location": path.as_uri(), "basename": path.name}
