"""What a tool left in its output directory: which entries are kept, and their sizes and checksums."""

from __future__ import annotations

import base64
import itertools
import os
import stat
from typing import Callable, Dict, List, NamedTuple, Set

from gridcwl.worker import checksum
from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import WorkerFailure, failure_of, printable
from gridcwl.worker.globs import parse
from gridcwl.worker.layout import Layout
from gridcwl.worker.limits import OUTPUT_OBJECT, OUTPUT_OBJECT_BYTES, RESULT_FILES
from gridcwl.worker.paths import file_url, quote_path
from gridcwl.worker.replace import in_json
from gridcwl.worker.stage import Staging
from gridcwl.worker.tree import ROOT, Tree, TreeEntry

_MOST_LEFT = 20
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID


class Collection(NamedTuple):
    """What was found."""

    files: List[Plain]
    """JSON forms of ``gridcwl.model.ProducedFile``, sorted by path."""
    escaped: List[str]
    """Paths of the symbolic links that lead out of what is the job's."""
    left: List[str]
    """The names at the top, if a pattern matched nothing; at most 20, and ``...`` for more."""


def collect(job: Plain, layout: Layout, staging: Staging, check: Callable[[], None]) -> Collection:
    """List what the job's rules keep.

    ``cwl.output.json`` at the top is always kept, its contents whole, with the promised paths in place of real ones.
    Where it is there, everything is kept, as it may speak of any file. ``check`` is called again and again, and may
    raise to stop.

    Raises:
        Failure: something cannot be read.
    """
    tree = Tree(layout, staging)
    try:
        nodes = _kept(job["outputs"], tree, layout)
    except OSError as error:
        raise failure_of(error, "listing the output directory") from error
    if len(nodes) > RESULT_FILES:
        raise WorkerFailure(f"The tool left more than {RESULT_FILES} outputs, files and directories together.")
    wanted = _wanted(job["outputs"], tree, layout)
    url = file_url(layout.out)
    files = []
    for node in sorted(nodes):
        check()
        try:
            files.append(_entry(node, tree.host(node), url, node.path in wanted, check))
        except OSError as error:
            raise failure_of(error, f"collecting {printable(node.path)}") from error
        if node.path == OUTPUT_OBJECT and not node.directory:
            files[-1]["contents"] = _output_object(tree.host(node), layout)
    return Collection(files, sorted(tree.escaped), _left(job["outputs"], tree, layout))


def _kept(rules: Plain, tree: Tree, layout: Layout) -> List[TreeEntry]:
    if rules["globs"] is None or tree.child(ROOT, OUTPUT_OBJECT) is not None:
        return list(itertools.islice(tree.below(ROOT), RESULT_FILES + 1))
    nodes: Dict[str, TreeEntry] = {}
    for glob in rules["globs"]:
        for node in tree.matched(parse(glob, layout.seen_out)):
            nodes[node.path] = node
            if len(nodes) > RESULT_FILES:
                return list(nodes.values())
    return list(nodes.values())


def _left(rules: Plain, tree: Tree, layout: Layout) -> List[str]:
    """What is there, for whoever looks in vain for what was promised."""
    if rules["globs"] is None or all(tree.expand(parse(glob, layout.seen_out)) for glob in rules["globs"]):
        return []
    names = tree.names()
    return [*names[:_MOST_LEFT], *(["..."] if len(names) > _MOST_LEFT else [])]


def _wanted(rules: Plain, tree: Tree, layout: Layout) -> Set[str]:
    """Paths of the files whose first bytes were asked for."""
    return {node.path for glob in rules["contents"] for node in tree.expand(parse(glob, layout.seen_out))}


def _entry(node: TreeEntry, host: str, url: str, wanted: bool, check: Callable[[], None]) -> Plain:
    original = node.original
    entry: Plain = {
        "path": node.path,
        "kind": "directory" if node.directory else "file",
        "location": f"{url}/{quote_path(node.real)}" if original is None else original.location,
        "size": 0,
        "sha1": None,
        "adler32": None,
        "contents": None,
    }
    if node.directory:
        return entry
    if original is not None and not original.in_place:
        # Its checksums are known where it came from, and it may be large: no need to read it.
        entry["size"] = os.stat(host).st_size
        if wanted:
            with open(host, "rb") as file:
                entry["contents"] = _base64(file.read(checksum.FIRST))
        return entry
    sums = checksum.take(host, check)
    entry["size"], entry["sha1"], entry["adler32"] = sums.size, sums.sha1, sums.adler32
    if wanted:
        entry["contents"] = _base64(sums.first)
    if original is None and sums.mode & _SPECIAL_BITS:
        _strip(host, sums.mode, node.path)
    return entry


def _strip(host: str, mode: int, path: str) -> None:
    """Take the setuid and setgid bits from a file that is kept: whoever publishes it must not give rights away."""
    try:
        os.chmod(host, stat.S_IMODE(mode) & 0o777)
    except PermissionError:
        raise WorkerFailure(
            f"The output {printable(path)} has belongs to another user, so its setuid or setgid bits cannot be removed."
        ) from None


def _output_object(host: str, layout: Layout) -> str:
    with open(host, "rb") as file:
        data = file.read(OUTPUT_OBJECT_BYTES + 1)
    if len(data) > OUTPUT_OBJECT_BYTES:
        raise WorkerFailure(
            f"The tool's {OUTPUT_OBJECT} is larger than {OUTPUT_OBJECT_BYTES >> 20} MiB, the most that is read."
        )
    if layout.bare:
        text = data.decode("utf-8", "surrogateescape")
        try:
            data = in_json(text, layout.promised()).encode("utf-8", "surrogateescape")
        except RecursionError:
            raise WorkerFailure(f"The tool's {OUTPUT_OBJECT} is nested too deeply.") from None
    return _base64(data)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
