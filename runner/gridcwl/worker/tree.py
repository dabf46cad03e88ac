"""The output directory as a tree whose symbolic links are resolved by the rules of :mod:`gridcwl.worker.links`."""

from __future__ import annotations

import itertools
import os
import stat
from typing import Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from gridcwl.worker.failure import WorkerFailure, printable
from gridcwl.worker.globs import Glob, GlobPart
from gridcwl.worker.layout import Layout
from gridcwl.worker.limits import RESULT_FILES
from gridcwl.worker.links import Escape, Links
from gridcwl.worker.paths import LEADS_NOWHERE
from gridcwl.worker.stage import StagedInput, Staging

_MAX_LINKED = 100_000  # entries that are only reached through links to folders: those can multiply without end

_Identity = Tuple[int, int]

_FILE, _FOLDER, _LINK, _SPECIAL = range(4)


class TreeEntry(NamedTuple):
    """A file or directory below the output directory."""

    path: str
    """Relative to the output directory, as found; empty for the directory itself."""
    real: str
    """The same without symbolic links; means nothing for an input."""
    directory: bool
    original: Optional[StagedInput] = None
    """The input that this is."""


ROOT = TreeEntry("", "", directory=True)


class Tree:
    """Reads the output directory. Special files are not there; neither are links that lead out or nowhere.

    Attributes:
        escaped: the links that lead out, of those that were met.
    """

    def __init__(self, layout: Layout, staging: Staging) -> None:
        self.escaped: Set[str] = set()
        self._layout = layout
        self._staging = staging
        self._links: Optional[Links] = None
        self._linked = 0

    def host(self, node: TreeEntry) -> str:
        """The node's path on this machine."""
        return f"{self._layout.out}/{node.real}" if node.original is None else node.original.host

    def matched(self, glob: Glob) -> Iterator[TreeEntry]:
        """What a pattern matches, directories with all that is below them."""
        for node in self.expand(glob):
            if node.directory:
                if node.path:
                    yield node
                yield from self.below(node)
            else:
                yield node

    def expand(self, glob: Glob) -> List[TreeEntry]:
        """What a pattern matches, without what is below."""
        nodes = [ROOT]
        for part in glob.parts:
            nodes = [child for node in nodes if node.directory for child in self._matching(node, part)]
        return [node for node in nodes if node.directory] if glob.only_directories else nodes

    def below(self, top: TreeEntry) -> Iterator[TreeEntry]:
        """Everything below a directory. A link to a directory around itself is left out, as it would never end."""
        ahead: List[Tuple[TreeEntry, Tuple[_Identity, ...]]] = [(top, (self._identity(top),))]
        while ahead:
            folder, around = ahead.pop()
            for child in self._children(folder):
                if child.directory:
                    identity = self._identity(child)
                    if identity in around:
                        continue
                    ahead.append((child, (*around, identity)))
                if child.path != child.real and child.original is None:
                    self._count_linked()
                yield child

    def names(self) -> List[str]:
        """What is at the top, sorted; folders end in ``/``."""
        return sorted(f"{name}/" if kind == _FOLDER else name for name, kind in self._listed(ROOT))

    def child(self, folder: TreeEntry, name: str) -> Optional[TreeEntry]:
        """The entry of that name; None if it is not there."""
        try:
            mode = os.lstat(f"{self.host(folder)}/{name}").st_mode
        except OSError:
            return None
        return self._node(folder, name, _kind_of_mode(mode))

    def _matching(self, folder: TreeEntry, part: GlobPart) -> Sequence[TreeEntry]:
        if part.pattern is None:
            child = self.child(folder, part.literal)
            return () if child is None else (child,)
        nodes = (self._node(folder, name, kind) for name, kind in self._listed(folder) if part.matches(name))
        return [node for node in nodes if node is not None]

    def _children(self, folder: TreeEntry) -> Iterator[TreeEntry]:
        for name, kind in self._listed(folder):
            node = self._node(folder, name, kind)
            if node is not None:
                yield node

    def _listed(self, folder: TreeEntry) -> List[Tuple[str, int]]:
        host = self.host(folder)
        try:
            entries = os.scandir(host)
        except PermissionError:
            if folder.original is not None:
                raise
            os.chmod(host, 0o700)  # a tool may leave folders that nobody may read, and they are ours
            entries = os.scandir(host)
        with entries:
            listed = [(entry.name, _kind_of_entry(entry)) for entry in itertools.islice(entries, RESULT_FILES + 1)]
        if len(listed) > RESULT_FILES:
            where = printable(folder.path) or "The output directory"
            raise WorkerFailure(f"{where} has more than {RESULT_FILES} entries.")
        return listed

    def _node(self, folder: TreeEntry, name: str, kind: int) -> Optional[TreeEntry]:
        path = f"{folder.path}/{name}" if folder.path else name
        if folder.original is not None:
            return _of_original(path, folder.original.child(name, contained=not self._layout.bare))
        real = f"{folder.real}/{name}" if folder.real else name
        staged = self._staged(real, kind)
        if staged is not None:
            return _of_original(path, staged)
        if kind == _LINK:
            return self._through_link(path, real)
        return None if kind == _SPECIAL else TreeEntry(path, real, kind == _FOLDER)

    def _staged(self, real: str, kind: int) -> Optional[StagedInput]:
        """The input that lies at this place of the output directory, unless the tool replaced it."""
        if not self._staging.inputs:
            return None
        staged = self._staging.inputs.get(f"{self._layout.seen_out}/{real}")
        if staged is None or staged.link is None:
            return staged  # a mount cannot be replaced; what lies here is the empty mount point
        still = kind == _LINK and os.readlink(f"{self._layout.out}/{real}") == staged.link
        return staged if still else None

    def _through_link(self, path: str, real: str) -> Optional[TreeEntry]:
        if self._links is None:
            self._links = Links(self._layout, self._staging)
        try:
            leads = self._links.follow(os.path.dirname(real), os.readlink(f"{self._layout.out}/{real}"))
        except Escape:
            self.escaped.add(path)
            if len(self.escaped) > _MAX_LINKED:
                raise WorkerFailure(
                    f"More than {_MAX_LINKED} symbolic links lead out of the output directory."
                ) from None
            return None
        if leads is None:
            return None
        if leads.original is not None:
            return _of_original(path, leads.original)
        inside = leads.inside or ""
        kind = _kind_of_mode(os.lstat(f"{self._layout.out}/{inside}").st_mode)
        return TreeEntry(path, inside, kind == _FOLDER) if kind in (_FILE, _FOLDER) else None

    def _identity(self, folder: TreeEntry) -> _Identity:
        status = os.stat(self.host(folder))
        return status.st_dev, status.st_ino

    def _count_linked(self) -> None:
        self._linked += 1
        if self._linked > _MAX_LINKED:
            raise WorkerFailure(
                "The symbolic links between the output directory's folders multiply its entries without end."
            )


def _of_original(path: str, original: StagedInput) -> Optional[TreeEntry]:
    if original.leads_out():
        return None
    try:
        kind = _kind_of_mode(os.stat(original.host).st_mode)
    except OSError as error:
        if error.errno in LEADS_NOWHERE:
            return None
        raise WorkerFailure(f"{printable(path)} cannot be looked at: {error.strerror}.") from error
    return TreeEntry(path, "", kind == _FOLDER, original) if kind in (_FILE, _FOLDER) else None


def _kind_of_entry(entry: "os.DirEntry[str]") -> int:
    if entry.is_symlink():
        return _LINK
    if entry.is_file(follow_symlinks=False):
        return _FILE
    return _FOLDER if entry.is_dir(follow_symlinks=False) else _SPECIAL


def _kind_of_mode(mode: int) -> int:
    if stat.S_ISREG(mode):
        return _FILE
    if stat.S_ISDIR(mode):
        return _FOLDER
    return _LINK if stat.S_ISLNK(mode) else _SPECIAL
