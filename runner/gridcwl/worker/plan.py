"""In which order inputs are put in place, and which of their folders have to be taken apart. Pure functions."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Sequence, Set

from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.paths import RefusedPath, absolute, quote_path


class StagingPlan(NamedTuple):
    """What to stage."""

    items: List[Plain]
    """Outer directories first."""
    ancestors: Set[str]
    """Every directory that has a target somewhere below it."""


def plan(staged: Sequence[Plain]) -> StagingPlan:
    """Sort the staged entries out.

    Raises:
        Failure: two different ones want the same place, or a target is not an absolute path.
    """
    by_target: Dict[str, Plain] = {}
    for entry in staged:
        target = _checked(entry["target"])
        other = by_target.get(target)
        by_target[target] = {**entry, "target": target} if other is None else _merged(other, entry)
    folders = {target: item for target, item in by_target.items() if item["kind"] == "directory" and item["sources"]}
    if not folders or len(by_target) == 1:
        return StagingPlan(sorted(by_target.values(), key=_depth), set())
    items = [item for item in by_target.values() if not _comes_with_folder(item, folders)]
    ancestors: Set[str] = set()
    for item in items:
        for folder in above(item["target"]):
            if folder in ancestors:
                break
            ancestors.add(folder)
    return StagingPlan(sorted(items, key=_depth), ancestors)


def above(path: str) -> Iterable[str]:
    """The folders above an absolute path, the nearest first, without the root."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _depth(item: Plain) -> int:
    depth: int = item["target"].count("/")
    return depth


def _checked(target: str) -> str:
    try:
        return absolute(target)
    except RefusedPath as refused:
        raise WorkerFailure(f"The input's place {refused}.") from None


def _merged(one: Plain, other: Plain) -> Plain:
    """One entry for two that name the same place: the same thing, or two directories made empty."""
    if any(one[key] != other[key] for key in ("kind", "sources", "contents")):
        raise WorkerFailure(f"Two different inputs have the same path, {one['target']}.")
    return {**one, "writable": one["writable"] or other["writable"]}


def _comes_with_folder(item: Plain, folders: Dict[str, Plain]) -> bool:
    """Whether the entry is a part of a staged folder that brings it along anyway."""
    if not item["sources"]:
        return False
    for outer in above(item["target"]):
        folder = folders.get(outer)
        if folder is not None and (folder["writable"] or not item["writable"]):
            root = folder["sources"][0].rstrip("/")
            rest = item["target"][len(outer) :]
            source = item["sources"][0].rstrip("/")
            return bool(source in {root + rest, root + quote_path(rest)})
    return False
