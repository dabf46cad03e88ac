"""The document of a run as one file: as it was when the run read it, whatever has been edited since."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
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


def selected(packed: Mapping[str, Any], options: Options, inputs: Collection[str]) -> dict[str, Any]:
    """The part of a packed document that ran, as a packed document of its own; all of it without such options.

    Args:
        packed: the whole document.
        options: of the run.
        inputs: the names of its inputs.

    Raises:
        DocumentError: it has no such part.
    """
    chosen = options.cwltool
    if chosen.single_process:
        return part_of(packed, chosen.single_process)
    if chosen.single_step or chosen.targets:
        return _subgraph(packed, options, inputs)
    return dict(packed)


def _subgraph(packed: Mapping[str, Any], options: Options, inputs: Collection[str]) -> dict[str, Any]:
    """The workflow of ``--single-step`` or ``--target``, as cwltool takes it out of the document."""
    from gridcwl.cwl.selection import select
    from gridcwl.runs.from_options import selection

    how = replace(evaluation(options), only_check=True)
    with tempfile.TemporaryDirectory(prefix="gridcwl-document-") as folder, _quiet():
        path = Path(folder).resolve() / "packed.cwl"
        path.write_text(json.dumps(packed), encoding="utf-8")
        document = uri(path)
        tool = dict(select(document, how, selection(options), update=False).process.tool)
        text = json.dumps(tool).replace(f'"{document}#', '"#')
    main = json.loads(text)
    main["id"] = "#main"
    new: dict[str, str] = {}
    """Ids of inputs and outputs that cwltool has made, which are not below that of the workflow."""
    for one in (*main["inputs"], *main["outputs"]):
        id_ = str(one["id"])
        if not id_.startswith("#main/"):
            name = id_.lstrip("#")
            # what came from a step that did not run, in a document that was not packed when it ran
            name = name if name in inputs else name.removeprefix("main_")
            new[id_] = one["id"] = f"#main/{name}"
    for step in main["steps"]:
        if options.cwltool.single_step:
            _add_types(main, step)
        for made in ("inputs", "outputs"):  # cwltool's own, with types
            step.pop(made, None)
    for port in (port for step in main["steps"] for port in step["in"] if "source" in port):
        source = port["source"]
        port["source"] = [new.get(one, one) for one in source] if isinstance(source, list) else new.get(source, source)
    parts = {str(part.get("id", "#main")): part for part in packed.get("$graph") or [packed]}
    return _with_used(packed, parts, main, "#main")


def _add_types(main: Mapping[str, Any], step: Mapping[str, Any]) -> None:
    """The types of a single step's inputs and outputs, where cwltool writes Any."""
    computed = {_last(port["id"]) for port in step["in"] if "valueFrom" in port}
    for kind in ("inputs", "outputs"):
        types = {_last(one["id"]): one["type"] for one in step.get(kind) or ()}
        for one in main[kind]:
            name = _last(one["id"])
            if name in types and not (kind == "inputs" and name in computed):
                one["type"] = ["null", types[name]] if kind == "outputs" and "when" in step else types[name]


def _last(id_: str) -> str:
    return id_.rpartition("/")[2].lstrip("#")


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
    own = json.dumps(id_)[1:-1]
    main = json.loads(text.replace(f'"{own}/', '"#main/').replace(f'"{own}"', '"#main"'))
    return _with_used(packed, parts, main, id_)


def _with_used(
    packed: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], main: Mapping[str, Any], id_: str
) -> dict[str, Any]:
    """A packed document of ``main``, whose id was ``id_``, and of the parts that it uses."""
    used: dict[str, None] = {}
    waiting = [json.dumps(main)]
    while waiting:
        at = waiting.pop()
        for other, part in parts.items():
            if other not in used and other != id_ and f'"run": {json.dumps(other)}' in at:
                used[other] = None
                waiting.append(json.dumps(part))
    graph = [parts[other] for other in used]
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
