"""Stage in: put every input where the tool expects it, copying nothing that need not be copied."""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Set

from gridcwl.worker import hard_links
from gridcwl.worker.control import Control
from gridcwl.worker.copies import copy_writable
from gridcwl.worker.credentials import NOBODY, Trusted
from gridcwl.worker.engine import Mount, Plain
from gridcwl.worker.failure import WorkerFailure, failure_of, printable
from gridcwl.worker.fetch import Fetched, FetchRequest, fetch, known_of, nearest_first
from gridcwl.worker.layout import Layout
from gridcwl.worker.options import WorkerOptions
from gridcwl.worker.paths import below, quote_path
from gridcwl.worker.plan import above, plan
from gridcwl.worker.web import shown_url

MOUNTS = 1000
"""The most mounts of a container."""


class StagedInput(NamedTuple):
    """A staged original that the tool sees: nothing was copied, so its bytes are known by where they came from."""

    location: str
    host: str
    """Absolute path on this machine."""
    link: Optional[str] = None
    """The text of the symbolic link at the target; None for a mount or a hard link."""
    in_place: bool = False
    """The tool may have changed it."""
    root: Optional[str] = None
    """In a container: the folder that symbolic links may not lead out of, as the tool could not have followed them."""

    def child(self, path: str, *, contained: bool) -> "StagedInput":
        """What lies below this directory, at a relative path."""
        root = (self.root or os.path.realpath(self.host)) if contained else None
        return self._replace(location=f"{self.location}/{quote_path(path)}", host=f"{self.host}/{path}", root=root)

    def leads_out(self) -> bool:
        """Whether it lies behind a symbolic link that leads out of its root."""
        return self.root is not None and not below(os.path.realpath(self.host), self.root)


class Staging:
    """Stages one job's inputs.

    Attributes:
        mounts: what a container has to be given, outer ones first.
        inputs: originals by the path at which the tool sees them.
        folders: folders of this machine by the path at which the tool sees them.
        fetched: the URLs that were read, of inputs for which there was a choice or a transfer.
        fetched_bytes: how many were transferred to the job's own directory.
        may_hold_links: folders were copied or taken apart, with links that lead out of them.
    """

    def __init__(self, job: Plain, layout: Layout, options: WorkerOptions, control: Control) -> None:
        self.mounts: List[Mount] = []
        self.inputs: Dict[str, StagedInput] = {}
        self.folders: Dict[str, str] = dict(layout.folders)
        self.fetched: List[str] = []
        self.fetched_bytes = 0
        self._job = job
        self._layout = layout
        self._options = options
        self._control = control
        self._made = {layout.out, layout.tmp, layout.inputs}
        self.may_hold_links = False
        self._extras = 0
        self._sides = 0
        self._originals: Dict[str, Fetched] = {}
        self._shared: Set[str] = set()

    def run(self) -> None:
        """Stage everything in.

        Raises:
            Failure: an input is unavailable, differs from its checksum or size, or has no place.
        """
        layout = self._layout
        if not layout.bare:
            self.mounts += [
                Mount(layout.out, layout.seen_out, writable=True),
                Mount(layout.tmp, layout.seen_tmp, writable=True),
                Mount(layout.inputs, layout.seen_inputs),
            ]
        if self._job["folders"]:
            self._share_folders()
        if not self._job["staged"]:
            return
        self._plan = plan(self._job["staged"])
        self._targets = {item["target"] for item in self._plan.items}
        for item in self._plan.items:
            self._control.check()
            try:
                self._stage(item)
            except OSError as error:
                raise failure_of(error, f"staging in {printable(item['target'])}") from error
        if self._originals:
            self._show_originals()
        self.mounts.sort(key=lambda mount: mount.target.count("/"))

    def _share_folders(self) -> None:
        """Folders that the job's processes share; what else is in the output directory is not theirs."""
        layout = self._layout
        self.mounts = [mount for mount in self.mounts if mount.source != layout.out]
        copied = {item["target"] for item in self._job["staged"] if item["kind"] == "directory"}
        for number, folder in enumerate(self._job["folders"]):
            target, host = folder.rstrip("/"), f"{layout.out}/folders/{number}"
            os.makedirs(os.path.dirname(host) if target in copied else host, exist_ok=True)
            self._shared.add(target)
            self.folders[target] = host
            self.mounts.append(Mount(host, target, writable=True))

    def host(self, seen: str) -> Optional[str]:
        """The path on this machine of what the tool sees at ``seen``; None for what is not ours."""
        for folder in (seen, *above(seen)):
            original = self.inputs.get(folder)
            root = self.folders.get(folder) if original is None else original.host
            if root is not None:
                return root + seen[len(folder) :]
        return None

    def _stage(self, item: Plain) -> None:
        target, writable = item["target"], item["writable"]
        if target in self._layout.folders:
            raise WorkerFailure(f"An input's place is {target}, which is one of the job's own directories.")
        if item["kind"] == "literal":
            _write(self._place(target, writable=writable), self._layout.real(item["contents"]), writable)
        elif not item["sources"]:
            _make_folder(self._place(target, writable=writable, folder=True))
        else:
            self._stage_original(item, self._fetched(item))

    def _fetched(self, item: Plain) -> Fetched:
        elements = (self._job["storage"] or {}).get("elements", ())
        sources = nearest_first(item["sources"], elements, self._options.site)
        wanted = FetchRequest(sources, known_of(item), item["location"], self._trusted(item, elements))
        downloads = self._layout.workdir + "/fetched"
        got = fetch(wanted, self._options.base, downloads, self._control.check)
        if got.source:
            self.fetched.append(shown_url(got.source))
        if got.path.startswith(downloads + "/"):
            self.fetched_bytes += got.size
        name = printable(shown_url(got.location))
        if got.directory != (item["kind"] == "directory"):
            raise WorkerFailure(f"The input {name} was to be a {item['kind']}, and is not.")
        if item["size"] is not None and not got.directory and got.size != item["size"]:
            raise WorkerFailure(f"The input {name} has {got.size} bytes, and not {item['size']} as it should.")
        return got

    def _trusted(self, item: Plain, elements: Sequence[Plain]) -> Trusted:
        """Where credentials may be sent: the job's storage elements, and the replicas that its store named."""
        if all(source.startswith("file://") for source in item["sources"]):
            return NOBODY
        storage = self._job["storage"]
        in_store = storage is not None and item["location"].startswith(storage["scheme"] + "://")
        named = item["sources"] if in_store else ()
        return Trusted([*named, *self._job["trusted"], *(url for element in elements for url in element["urls"])])

    def _stage_original(self, item: Plain, got: Fetched) -> None:
        target, writable = item["target"], item["writable"]
        # What came from elsewhere cannot be changed there: then the tool changes a copy.
        if writable and (got.source or not self._job["in_place"]):
            place = self._place(target, writable=True, folder=got.directory)
            copy_writable(got.path, place, self._control, contained=not self._layout.bare)
            self.may_hold_links |= got.directory
        elif target not in self._plan.ancestors:
            self._show(target, got, writable)
        elif writable:
            raise WorkerFailure(f"{target} is changed in place, so nothing else can be put into it.")
        else:
            self._take_apart(target, got, os.path.realpath(got.path))

    def _take_apart(self, target: str, got: Fetched, root: str) -> None:
        """Stage a folder by its entries, because others are to be put into it and the original stays untouched."""
        if not self._layout.bare and not below(os.path.realpath(got.path), root):
            raise WorkerFailure(
                f"{printable(target)} is a symbolic link that leads out of its folder: nothing is put there."
            )
        _make_folder(self._place(target, writable=False, folder=True))
        self.may_hold_links = True
        with os.scandir(got.path) as entries:
            for entry in entries:
                child, place = got.child(entry.name, entry.is_dir()), f"{target}/{entry.name}"
                if place in self._targets:
                    continue
                if entry.is_symlink() and not self._layout.bare and place not in self._plan.ancestors:
                    # As in a mount: it leads where it leads in there. Followed here, it could lead to any file.
                    os.symlink(os.readlink(entry.path), self._place(place, writable=False))
                elif place in self._plan.ancestors:
                    self._take_apart(place, child, root)
                else:
                    self._show(place, child, writable=False)

    def _show(self, target: str, got: Fetched, writable: bool) -> None:
        """Let the tool see the original."""
        if self._layout.bare:
            os.symlink(got.path, self._place(target, writable=writable))
            self.inputs[target] = StagedInput(got.location, got.path, link=got.path, in_place=writable)
        elif writable:
            self._mount(target, got, writable=True)
        else:
            self._originals[target] = got

    def _show_originals(self) -> None:
        """Read-only originals: each by its own mount or, where they are more than ``max_mounts``, by hard links.

        Every mount costs about a millisecond, and the engine's requests and command lines have a limit. So the links
        are made in the folder for inputs, which is mounted read-only as a whole; elsewhere a symbolic link leads there.
        What cannot be linked is mounted all the same, and copied if that would be more than ``MOUNTS``. A folder that
        holds an original is never mounted: the tool would see the original's neighbours.
        """
        many = len(self._originals) > self._options.max_mounts
        for target, got in self._originals.items():
            if not many or not self._linked(target, got):
                self._mount(target, got, writable=False)

    def _linked(self, target: str, got: Fetched) -> bool:
        """Make the original visible without a mount of its own; False if it has to be mounted."""
        inside = self._inside(target)
        if inside is None:
            return False
        host, inputs = os.path.realpath(got.path), self._layout.inputs
        place, text = inside, None
        if not inside.startswith(inputs + "/"):  # where the tool may write, it would write to the original
            self._sides += 1
            side = f"/.linked/{self._sides}/{os.path.basename(target)}"
            place, text = inputs + side, self._layout.seen_inputs + side
        self._made_parents(place)
        if not hard_links.link(host, place, directory=got.directory):
            if len(self.mounts) < MOUNTS:
                return False
            hard_links.copy(host, place, self._control, directory=got.directory)
        if text is not None:
            os.symlink(text, self._made_parents(inside))
            self.inputs[text] = StagedInput(got.location, host)
        self.inputs[target] = StagedInput(got.location, host, link=text)
        return True

    def _mount(self, target: str, got: Fetched, writable: bool) -> None:
        host = os.path.realpath(got.path)
        inside = self._inside(target)
        if inside is not None:
            # The mount point is made here: in a read-only mount the engine cannot, and elsewhere it would be root's.
            self._made_parents(inside)
            if got.directory:
                os.mkdir(inside)
            else:
                _write(inside, "", writable=True)
        self.mounts.append(Mount(host, target, writable))
        self.inputs[target] = StagedInput(got.location, host, in_place=writable)

    def _inside(self, target: str) -> Optional[str]:
        if target in self._shared:  # a directory that the tool may change
            return self.folders[target]
        for folder in above(target):
            if folder in self.folders:
                return self.folders[folder] + target[len(folder) :]
        return None

    def _place(self, target: str, *, writable: bool, folder: bool = False) -> str:
        """The path on this machine where something of our own has to lie, its parents made."""
        inside = self._inside(target)
        if inside is not None:
            if writable and not self._layout.bare and inside.startswith(self._layout.inputs + "/"):
                self.mounts.append(Mount(inside, target, writable=True))
            return self._made_parents(inside)
        if self._layout.bare:
            raise WorkerFailure(
                f"An input's place is {target}, which exists only in a container, and this job runs without one."
            )
        self._extras += 1
        extra = self._made_parents(f"{self._layout.workdir}/extra/{self._extras}")
        self.mounts.append(Mount(extra, target, writable))
        if folder:
            self.folders[target] = extra
        return extra

    def _made_parents(self, path: str) -> str:
        if self.may_hold_links and os.path.realpath(path) != self._layout.straight(path):
            where = printable(path[len(self._layout.workdir) + 1 :])
            raise WorkerFailure(f"{where} is reached through a symbolic link of an input: nothing is written there.")
        parent = path[: path.rindex("/")]
        if parent not in self._made:
            os.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        return path


def _make_folder(path: str) -> None:
    os.makedirs(path, exist_ok=True)


def _write(path: str, text: str, writable: bool) -> None:
    # Readable by all: in a container the tool may run as another user.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644 if writable else 0o444)
    with open(descriptor, "wb", buffering=0) as file:
        data = memoryview(text.encode("utf-8", "surrogateescape"))
        while data:
            data = data[file.write(data) :]


__all__: Sequence[str] = ("StagedInput", "Staging")
