"""Documents that were uploaded to be run, until their inputs are filled in."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridcwl.errors import UnsafePath
from gridcwl.model import limits, paths
from gridcwl.service.db import StoredRun
from gridcwl.service.folders import ServiceFolder, SubmittedFolder
from gridcwl.service.problems import BadRequest, NotFound, TooLarge
from gridcwl.service.submission import Upload, save_attachments

_KEPT_S = 24 * 3600.0
_MOST = 20
"""Drafts of one user."""
_ID = re.compile(r"[0-9a-f]{32}")
_DOCUMENT = re.compile(rb"^\s*[\"']?cwlVersion[\"']?\s*:", re.MULTILINE)
_CLASS = re.compile(rb"[\"']?class[\"']?\s*:\s*[\"']?Workflow\b")
_ENDINGS = (".cwl", ".yml", ".yaml", ".json")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document with its attachments, and what is known of its inputs."""

    id: str
    """Empty for a run that is to run again: it becomes a draft when something is sent."""
    folder: SubmittedFolder
    owner: str
    document: str = ""
    """As in WES's ``workflow_url``; empty until it is chosen."""
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Engine parameters."""
    origin: str = ""
    """The run that it was made from."""

    @property
    def link(self) -> str:
        """Of its page."""
        return f"/submit/{self.id}" if self.id else f"/runs/{self.origin}/again"


class Drafts:
    """All drafts of a service's folder."""

    def __init__(self, folder: ServiceFolder, most_bytes: int) -> None:
        self._root = folder.path / "drafts"
        self._most_bytes = most_bytes

    def new(self, owner: str, document: str = "") -> Draft:
        """An empty draft. Old ones are removed."""
        self._clean(owner)
        draft = Draft(secrets.token_hex(16), SubmittedFolder(self._root), owner, document)
        draft = replace(draft, folder=SubmittedFolder(self._root / draft.id))
        draft.folder.files.mkdir(parents=True, mode=0o700)
        self.save(draft)
        return draft

    def save(self, draft: Draft) -> None:
        """Write what is known of a draft."""
        plain = {name: getattr(draft, name) for name in ("owner", "document", "params", "tags", "parameters", "origin")}
        (draft.folder.path / "draft.json").write_text(json.dumps(plain), "utf-8")

    def get(self, draft: str, owner: str) -> Draft:
        """A draft of a user.

        Raises:
            NotFound: there is none, or it is somebody else's.
        """
        if _ID.fullmatch(draft):
            with suppress(OSError, ValueError, TypeError):
                known = json.loads((self._root / draft / "draft.json").read_text("utf-8"))
                found = Draft(draft, SubmittedFolder(self._root / draft), **known)
                if found.owner == owner:
                    return found
        raise NotFound("There is no such draft: it has been submitted, or is older than a day")

    def of_run(self, run: StoredRun, folder: SubmittedFolder, owner: str) -> Draft:
        """What a run was started with; nothing is written."""
        request = run.request
        params, tags = request.get("workflow_params"), request.get("tags")
        parameters = request.get("workflow_engine_parameters")
        return Draft(
            "",
            folder,
            owner,
            str(request.get("workflow_url") or ""),
            params if isinstance(params, dict) else {},
            tags if isinstance(tags, dict) else {},
            parameters if isinstance(parameters, dict) else {},
            run.id,
        )

    def kept(self, draft: Draft) -> Draft:
        """A draft in a folder of its own: of a run, its attachments are copied."""
        if draft.id:
            return draft
        made = self.new(draft.owner)
        files = made.folder.files
        if draft.folder.files.is_dir():
            files.rmdir()
            shutil.copytree(draft.folder.files, files, symlinks=True)
        made = replace(draft, id=made.id, folder=made.folder)
        self.save(made)
        return made

    def add(self, draft: Draft, uploads: Sequence[Upload], below: str = "") -> list[str]:
        """Save uploads among the attachments; returns their paths there.

        Raises:
            BadRequest: a name is not acceptable.
            TooLarge: there would be more than the service accepts.
        """
        if not uploads:
            return []
        folder = draft.folder.files / below if below else draft.folder.files
        used = sum(path.stat().st_size for path in draft.folder.files.rglob("*") if path.is_file())
        if used + sum(_size(upload) for upload in uploads) > self._most_bytes:
            raise TooLarge(f"All files together have more than {self._most_bytes >> 20} MiB")
        save_attachments(uploads, folder)
        names = [str(upload.filename or "").removeprefix("./") for upload in uploads]
        return [f"{below}/{name}" if below else name for name in names]

    def remove(self, draft: Draft) -> None:
        """Remove a draft."""
        if draft.id:
            shutil.rmtree(draft.folder.path, ignore_errors=True)

    def _clean(self, owner: str) -> None:
        """Remove drafts that nobody fills in any more."""
        if not self._root.is_dir():
            return
        known = sorted(self._root.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        own = 0
        for path in known:
            with suppress(OSError, ValueError):
                about = json.loads((path / "draft.json").read_text("utf-8"))
                own += about.get("owner") == owner
                if time.time() - path.stat().st_mtime < _KEPT_S and not (about.get("owner") == owner and own >= _MOST):
                    continue
            shutil.rmtree(path, ignore_errors=True)


def _size(upload: Upload) -> int:
    upload.file.seek(0, os.SEEK_END)
    size = upload.file.tell()
    upload.file.seek(0)
    return size


def documents_in(folder: Path) -> list[str]:
    """The CWL documents among attachments, those that look like the main one first; a ``$graph`` as its processes."""
    from gridcwl.cwl.load import processes_of
    from gridcwl.errors import GridCWLError

    found: list[tuple[tuple[bool, bool, str], list[str]]] = []
    texts: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and path.is_file() and path.stat().st_size <= limits.TEXT_BYTES:
            data = path.read_bytes()
            if _DOCUMENT.search(data) or b'"cwlVersion"' in data:
                texts[path.relative_to(folder).as_posix()] = data
    for name, data in texts.items():
        base = name.rpartition("/")[2].encode()
        used = any(base in other for one, other in texts.items() if one != name)
        try:
            parts = [f"{name}#{one.rpartition('#')[2]}" for one in processes_of(str(folder / name))]
        except GridCWLError:
            parts = []
        found.append(((used, not _CLASS.search(data), name), parts or [name]))
    return [one for _, parts in sorted(found) for one in parts]


def checked_document(text: str, files: Path) -> str:
    """The name of a document among attachments.

    Raises:
        BadRequest: there is no such document.
    """
    name = text.partition("#")[0]
    try:
        found = paths.inside(files, paths.relative(name, "The document"), "The document")
    except UnsafePath as error:
        raise BadRequest(error.message) from None
    if not found.is_file():
        raise BadRequest(f"The document {paths.quoted(name)} is not among the files")
    return text
