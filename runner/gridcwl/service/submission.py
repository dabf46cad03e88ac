"""A request to run a document: checked, its attachments saved. Nothing of the document is read here.

What a client sends is not trusted: names of attachments pass the one validator of paths, input files may only be
attachments, files below the operator's roots, URLs below the operator's prefixes, or files that the store knows.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from gridcwl import __version__
from gridcwl.errors import GridCWLError, UnsafePath
from gridcwl.model import paths
from gridcwl.model.confinement import Confinement
from gridcwl.model.objects import entries
from gridcwl.runs.record.folder import checked_run_name
from gridcwl.service.engine_parameters import settings_of
from gridcwl.service.folders import SubmittedFolder
from gridcwl.service.problems import BadRequest, TooLarge

WORKFLOW_TYPE = "CWL"
TYPE_VERSIONS = ("v1.0", "v1.1", "v1.2")
ENGINE = "gridcwl"
ENGINE_VERSIONS = (__version__,)
FIELDS = (
    *("workflow_params", "workflow_type", "workflow_type_version", "tags", "workflow_engine"),
    *("workflow_engine_version", "workflow_engine_parameters", "workflow_url"),
)
ATTACHMENTS = ("workflow_attachment", "workflow_attachment[]")
"""Some clients write names of lists as PHP does."""
ITSELF = "document.cwl"
"""The name of an attachment that a client calls ``.``: Toil names files from their common folder, and of a single file
takes the file itself for that. Then ``workflow_url`` is ``.``, or with a process in it ``../NAME#PROCESS``."""
MOST_FIELD_BYTES = 32 << 20
"""Of one field that is no attachment."""
_BESIDE = re.compile(r"\.\./[^/]+")
_MOST_TAGS = 100
_LONGEST_TAG = 1000
_NAME_TAG = "name"


class Upload(Protocol):
    """An attachment as the form's parser gives it."""

    filename: str | None
    file: BinaryIO


@dataclass(frozen=True, slots=True)
class Submission:
    """A request that is acceptable as far as that can be known without reading the document."""

    request: Mapping[str, Any]
    """WES's RunRequest, as the client sent it."""
    document: str
    """``file`` URLs as absolute paths; relative ones counted from the attachments; with the fragment."""
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


def checked_submission(
    form: Mapping[str, str], folder: SubmittedFolder, confinement: Confinement, schemes: Sequence[str]
) -> Submission:
    """Check a request whose attachments have been saved.

    Args:
        form: the fields that are no attachments.
        folder: of the new run.
        confinement: which files and URLs the operator allows.
        schemes: of files that the store knows: ``rucio``.

    Raises:
        BadRequest: naming the field, what is wrong with it, and what it takes.
    """
    _check_kind(form)
    _check_engine(form)
    tags = _tags(form.get("tags"))
    parameters = json_object(form.get("workflow_engine_parameters"), "workflow_engine_parameters")
    settings = settings_of(parameters)
    if name := tags.get(_NAME_TAG):
        with contextlib.suppress(GridCWLError):  # a tag may be any text; it names the run only if it can
            settings["name"] = checked_run_name(name)
    written = json_object(form.get("workflow_params"), "workflow_params")
    params = copy.deepcopy(written)
    check_places(params, folder.files, confinement, schemes)
    document = document_place(form.get("workflow_url") or "", folder.files, confinement)
    request: dict[str, Any] = {name: form[name] for name in FIELDS if form.get(name) is not None}
    request |= {"workflow_params": written}
    if "tags" in form:
        request["tags"] = tags
    if "workflow_engine_parameters" in form:
        request["workflow_engine_parameters"] = {
            name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
            for name, value in parameters.items()
        }
    return Submission(request, document, params, tags, settings)


def save_attachments(uploads: Sequence[Upload], folder: Path) -> None:
    """Write the attachments of a request below a folder.

    Raises:
        BadRequest: a name is missing or not acceptable, or two attachments want one place.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for upload in uploads:
        name = upload.filename or ""
        name = ITSELF if name == "." else name
        try:
            target = paths.inside(
                folder,
                paths.relative(name.removeprefix("./"), "The file name of an attachment"),
                "The file name of an attachment",
            )
        except UnsafePath as error:
            raise BadRequest(error.message) from None
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with target.open("wb") as stream:  # clients send a file twice that two documents name
                shutil.copyfileobj(upload.file, stream, 1 << 20)
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise BadRequest(f"The attachment {paths.quoted(name)} is a file and a directory at once") from None


def _check_kind(form: Mapping[str, str]) -> None:
    kind, version = form.get("workflow_type") or "", form.get("workflow_type_version") or ""
    for name in ("workflow_type", "workflow_type_version", "workflow_url"):
        if not form.get(name):
            raise BadRequest(f"The field {name} is missing")
    if kind.upper() != WORKFLOW_TYPE:
        raise BadRequest(f"workflow_type is {kind[:80]!r}, but this service runs {WORKFLOW_TYPE}")
    if version not in TYPE_VERSIONS and f"v{version}" not in TYPE_VERSIONS and not version.startswith("v1.2.0-dev"):
        raise BadRequest(f"workflow_type_version is {version[:80]!r}, but this service runs {', '.join(TYPE_VERSIONS)}")


def _check_engine(form: Mapping[str, str]) -> None:
    engine, version = form.get("workflow_engine") or "", form.get("workflow_engine_version") or ""
    if version and not engine:
        raise BadRequest("workflow_engine_version is given without workflow_engine")
    if engine and engine.lower() != ENGINE:
        raise BadRequest(f"workflow_engine is {engine[:80]!r}, but this service has {ENGINE}")
    if version and version not in ENGINE_VERSIONS:
        raise BadRequest(
            f"workflow_engine_version is {version[:80]!r}, but this service has {', '.join(ENGINE_VERSIONS)}"
        )


def json_object(text: str | None, name: str) -> dict[str, Any]:
    """The JSON object in a field; an empty one if the field is missing or empty.

    Raises:
        BadRequest: it holds something else.
    """
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is not a JSON object: {_why(error)}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{name} is not a JSON object")
    return value


def _why(error: ValueError | RecursionError) -> str:
    """What is wrong with a JSON text, without words of Python's."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return f"it contains {error.object[error.start]!a}, half a surrogate pair, which is no character"
    if isinstance(error, json.JSONDecodeError) or "JSON" in str(error):
        return str(error)
    return "it has a number with too many digits"


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _tags(text: str | None) -> dict[str, str]:
    tags = json_object(text, "tags")
    if len(tags) > _MOST_TAGS:
        raise BadRequest(f"tags has {len(tags)} entries; at most {_MOST_TAGS} are accepted")
    for name, value in tags.items():
        if not isinstance(value, str):
            raise BadRequest(f"The tag {name[:80]!r} is not a text")
        if len(name) + len(value) > _LONGEST_TAG:
            raise BadRequest(f"The tag {name[:80]!r} has more than {_LONGEST_TAG} characters")
    return tags


def document_place(url: str, files: Path, confinement: Confinement) -> str:
    """Where the document is, for gridcwl.

    Raises:
        BadRequest: it is no attachment, and not what the operator allows.
    """
    file, hash_, fragment = url.partition("#")
    scheme = urlsplit(file).scheme.lower() if "://" in file or file.startswith("file:") else ""
    if scheme in ("http", "https", "trs"):
        if not confinement.allows_url(file):
            raise BadRequest(
                f"workflow_url {paths.quoted(file)} is not below a URL that this service fetches documents from"
            )
        return url
    if scheme == "file":
        return f"{_allowed_file(file, 'workflow_url', confinement)}{hash_}{fragment}"
    if scheme:
        raise BadRequest(f"workflow_url {paths.quoted(file)} is neither an attachment nor an http(s), trs or file URL")
    if (file == "." or _BESIDE.fullmatch(file)) and (files / ITSELF).is_file():
        file = ITSELF
    found = _attachment(file, files, "workflow_url")
    if not found.is_file():
        raise BadRequest(f"workflow_url is {paths.quoted(file)}, which is a folder of the attachments, not a document")
    return f"{found}{hash_}{fragment}"


def check_places(params: Any, files: Path, confinement: Confinement, schemes: Sequence[str]) -> None:
    """See that all Files and Directories of an input object may be read; locations of attachments are put in place.

    Raises:
        BadRequest: one is not an attachment, and not what the operator allows.
    """
    for entry in _all_entries(params):
        key = "location" if entry.get("location") is not None else "path"
        place = entry.get(key)
        if place is None:
            continue
        what = f"The {entry['class']} in workflow_params"
        if not isinstance(place, str) or not place:
            raise BadRequest(f"{what} has a {key} that is not a text")
        scheme = place.partition(":")[0].lower() if ":" in place.partition("/")[0] else ""
        if place.startswith("_:"):
            continue
        if scheme in ("http", "https"):
            if not confinement.allows_url(place):
                raise BadRequest(
                    f"{what} is {paths.quoted(place)}, which is not below a URL that this service fetches from"
                )
        elif scheme == "file" or place.startswith("/"):
            _find_file(entry, key, place, what, files, confinement)
        elif scheme and scheme in schemes:
            continue
        elif scheme and "://" in place:
            raise BadRequest(f"{what} is {paths.quoted(place)}, a kind of URL that this service does not read")
        else:
            _attachment(place, files, what)


def _find_file(entry: dict[str, Any], key: str, place: str, what: str, files: Path, confinement: Confinement) -> None:
    """See that a file of this machine may be read; one of the client's machine may be attached under its name."""
    try:
        _allowed_file(place, what, confinement)
    except BadRequest:
        attached = _attached_as(place, files)
        if attached is None:
            raise
        del entry[key]
        entry["location"] = attached.as_uri()


def _attached_as(place: str, files: Path) -> Path | None:
    """The attachment whose name is the end of a path; the one that most of the path names."""
    try:
        path = paths.file_path(place, "A file") if place[:5].lower() == "file:" else paths.absolute(place, "A file")
    except UnsafePath:
        return None
    parts = path.strip("/").split("/")
    for begin in range(len(parts)):
        found = paths.inside(files, "/".join(parts[begin:]), "A file")
        if found.exists():
            return found
    return None


def _all_entries(params: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from entries(params)
    except RecursionError:
        raise BadRequest("workflow_params is nested too deeply") from None


def _allowed_file(place: str, what: str, confinement: Confinement) -> str:
    try:
        path = paths.file_path(place, what) if place[:5].lower() == "file:" else paths.absolute(place, what)
    except UnsafePath as error:
        raise BadRequest(error.message) from None
    if not confinement.allows_file(path):
        # the same sentence whether it is there or not
        raise BadRequest(
            f"{what} is {paths.quoted(place)}, which is not below a folder that this service reads; attach it instead"
        )
    return path


def _attachment(place: str, files: Path, what: str) -> Path:
    relative = place.removeprefix("./").rstrip("/")
    for name in dict.fromkeys((relative, unquote(relative))):
        try:
            found = paths.inside(files, name, what)
        except UnsafePath as error:
            raise BadRequest(error.message) from None
        if found.exists():
            return found
    raise BadRequest(f"{what} is {paths.quoted(place)}, which is not among the attachments")


def check_size(files: int, most_files: int) -> None:
    """Refuse too many attachments.

    Raises:
        TooLarge: there are more.
    """
    if files > most_files:
        raise TooLarge(f"The request has more than {most_files} attachments")
