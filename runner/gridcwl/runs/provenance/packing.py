"""The document of a run as one file: as it was when the run read it, whatever has been edited since."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gridcwl.errors import DocumentError, GridCWLError
from gridcwl.runs.from_options import evaluation
from gridcwl.runs.options import Options, from_plain
from gridcwl.runs.record.history import History
from gridcwl.stores.local import uri


def packed_document(history: History) -> dict[str, Any]:
    """The packed document.

    Raises:
        DocumentError: a part of it is gone, or cannot be read.
    """
    from gridcwl.cwl import load
    from gridcwl.cwl.problems import adopt_logging
    from gridcwl.cwl.show import packed

    adopt_logging()
    options: Options = from_plain(history.meta("options"))
    cwd = Path(str(history.meta("cwd")))
    with _as_recorded(history) as moved:
        document = _placed(options.document, cwd, moved)
        how = replace(evaluation(options), only_check=True)
        try:
            with _quiet():  # it has been read before, with its warnings
                found, _ = load.locate(document, how.registries)
                text = packed(load.read_with(found, how, [], [], preprocess_only=True, update=False))
        except GridCWLError as error:
            raise DocumentError(
                f"The document of the run cannot be packed: {error.message}", remedy=error.remedy
            ) from error
        if moved is not None:
            text = text.replace(uri(moved), "file://").replace(quote(str(moved)), "").replace(str(moved), "")
    read: dict[str, Any] = json.loads(text)
    return read


def part_of(packed: Mapping[str, Any], process: str) -> dict[str, Any]:
    """What a step runs, as a packed document of its own, with the requirements that it has from the workflow.

    Args:
        packed: the whole document.
        process: the step, ``align/sort`` for one in a sub-workflow.
    """
    parts = {str(part.get("id", "#main")): part for part in packed.get("$graph") or [packed]}
    id_ = "#main" if "#main" in parts else next(reversed(parts))
    found: Mapping[str, Any] = parts[id_]
    inherited: dict[str, dict[str, Any]] = {"requirements": {}, "hints": {}}
    for name in process.split("/"):
        step = next((one for one in found.get("steps", ()) if str(one["id"]).rpartition("/")[2] == name), None)
        if step is None:
            return dict(packed)
        for kind, known in inherited.items():
            known |= {one["class"]: one for above in (found, step) for one in above.get(kind) or ()}
        run = step["run"]
        id_, found = (run, parts[run]) if isinstance(run, str) else (str(run.get("id") or f"{step['id']}/run"), run)
    made = dict(found)
    for kind, known in inherited.items():
        if merged := known | {one["class"]: one for one in found.get(kind) or ()}:
            made[kind] = list(merged.values())
    text = json.dumps({**made, "id": id_})
    used: dict[str, None] = {}
    waiting = [text]
    while waiting:
        at = waiting.pop()
        for other, part in parts.items():
            if other not in used and other != id_ and f'"run": {json.dumps(other)}' in at:
                used[other] = None
                waiting.append(json.dumps(part))
    graph = [parts[other] for other in used]
    own = json.dumps(id_)[1:-1]
    main = json.loads(text.replace(f'"{own}/', '"#main/').replace(f'"{own}"', '"#main"'))
    return {name: value for name, value in packed.items() if name.startswith("$")} | {
        "cwlVersion": packed.get("cwlVersion") or parts.get("#main", {}).get("cwlVersion") or "v1.2",
        "$graph": [*graph, main],
    }


def _placed(document: str, cwd: Path, moved: Path | None) -> str:
    """The document's name, in the folder of recorded texts if it is there."""
    if "://" in document:
        if moved is None or not document.startswith("file://"):
            return document
        return document.replace("file://", f"file://{moved}", 1)
    name, mark, fragment = document.partition("#")
    path = cwd / name
    if moved is not None and (moved / str(path.resolve()).lstrip("/")).exists():
        path = moved / str(path.resolve()).lstrip("/")
    elif not path.exists():
        return document
    return f"{path}{mark}{fragment}"


def is_unchanged(history: History) -> bool:
    """Whether the files of the document are still what the run read."""
    return all(_is_same(path, digest) for path, digest in history.documents())


@contextmanager
def _as_recorded(history: History) -> Iterator[Path | None]:
    """A folder with the files that the document consisted of; None if they are still what they were."""
    if is_unchanged(history):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="gridcwl-document-") as folder:
        for path, text in history.document_texts():
            place = Path(folder).resolve() / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
        yield Path(folder).resolve()


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("cwltool", "salad", "cwl_utils")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _is_same(path: str, digest: str) -> bool:
    try:
        return sha256(Path(path).read_bytes()).hexdigest() == digest
    except OSError:
        return False
