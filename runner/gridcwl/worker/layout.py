"""Where a job's directories lie on this machine, and what the tool calls them."""

from __future__ import annotations

import os
import re
import tempfile
from typing import Callable, Dict, List, Mapping, Optional, Set

from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.replace import Prefixes

# Without a container, real paths are put into commands that may have been quoted for a shell already.
_SAFE = re.compile(r"[A-Za-z0-9_./+-]+\Z")
_SAFE_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  only a private link is put there


class Occupied(WorkerFailure):
    """The working directory holds an earlier job; nothing in it may be touched."""


class Layout:
    """The folders below a job's working directory: made by :meth:`make`; :meth:`close` takes away what was temporary.

    Attributes:
        workdir: absolute path of the working directory.
        out, tmp, inputs: the tool's directories, below it.
        bare: the tool sees this machine's paths, through :attr:`real`.
        seen: the same three directories as the tool's description names them.
    """

    def __init__(self, workdir: str, directories: Mapping[str, str], *, bare: bool) -> None:
        self.workdir = os.path.abspath(workdir)
        self.bare = bare
        self.out = self.workdir + "/out"
        self.tmp = self.workdir + "/tmp"  # noqa: S108  not the system's
        self.inputs = self.workdir + "/in"
        self.seen_out = directories["out"].rstrip("/")
        self.seen_tmp = directories["tmp"].rstrip("/")
        self.seen_inputs = directories["inputs"].rstrip("/")
        self.folders: Dict[str, str] = {
            self.seen_out: self.out,
            self.seen_tmp: self.tmp,
            self.seen_inputs: self.inputs,
        }
        self._link: Optional[str] = None
        self._real: Optional[Prefixes] = None

    def make(
        self,
        make_folder: Callable[[str], None],
        inputs: bool = True,
        make_all: Optional[Callable[[str], bool]] = None,
    ) -> None:
        """Make the folders, as ``os.mkdir`` would; that for inputs only if there will be some.

        ``make_all`` may put a working directory there that has the other two; False if it has none.

        Raises:
            Occupied: the working directory holds an earlier job.
            OSError: there is no room, or no permission.
        """
        folders = (self.out, self.tmp, self.inputs)[: 3 if inputs else 2]
        if make_all is not None and make_all(self.workdir):
            folders = folders[2:]
        else:
            try:
                make_folder(self.workdir)
            except FileExistsError:
                pass
            except FileNotFoundError:
                os.makedirs(self.workdir, exist_ok=True)
        try:
            for folder in folders:
                make_folder(folder)
        except FileExistsError:
            raise Occupied(f"{self.workdir} holds an earlier job; give each job a directory of its own.") from None

    def straight(self, path: str) -> str:
        """The real path of a path below the working directory, if no symbolic link is on its way below it."""
        return os.path.realpath(self.workdir) + path[len(self.workdir) :]

    def host(self, seen: str) -> Optional[str]:
        """The path on this machine of a path below one of the three directories; None for any other."""
        for folder, real in self.folders.items():
            if seen.startswith(folder) and (len(seen) == len(folder) or seen[len(folder)] == "/"):
                return real + seen[len(folder) :]
        return None

    def real(self, text: str) -> str:
        """The text as the tool has to get it: without a container, with real paths in place of the promised ones."""
        if not self.bare:
            return text
        if self._real is None:
            root = self._safe_root()
            self._real = Prefixes({seen: root + real[len(self.workdir) :] for seen, real in self.folders.items()})
        return self._real(text)

    def promised(self) -> Prefixes:
        """From any of the real paths that a bare tool may have written, back to the promised ones."""
        return Prefixes(
            {root + real[len(self.workdir) :]: seen for root in self._roots() for seen, real in self.folders.items()}
        )

    def tool_outdirs(self) -> List[str]:
        """The paths by which a bare tool may know its output directory."""
        return sorted(root + self.out[len(self.workdir) :] for root in self._roots())

    def _roots(self) -> Set[str]:
        return {self.workdir, os.path.realpath(self.workdir), self._link or self.workdir}

    def close(self) -> None:
        """Remove the temporary link, if one was needed."""
        if self._link is not None:
            os.unlink(self._link)
            os.rmdir(os.path.dirname(self._link))
            self._link = None

    def _safe_root(self) -> str:
        if _SAFE.match(self.workdir):
            return self.workdir
        for place in (tempfile.gettempdir(), *_SAFE_PLACES):
            if _SAFE.match(place) and os.access(place, os.W_OK):
                self._link = tempfile.mkdtemp(prefix="gridcwl-", dir=place) + "/w"
                os.symlink(self.workdir, self._link)
                return self._link
        raise WorkerFailure(
            f"The path {self.workdir} has characters that a shell would read as its own, "
            "and there is no place for a link to it; choose another working directory."
        )
