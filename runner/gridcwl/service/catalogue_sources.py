"""Where the catalogue's workflows come from: folders, RO-Crates, and commits of git repositories.

The operator names them; their authors are not trusted. A repository is fetched without a work tree: no hook, filter,
submodule or link of it is ever used, and its files are written here one by one, with limits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gridcwl.config import private_folder
from gridcwl.errors import ConfigError, GridCWLError, UnsafePath
from gridcwl.model import paths
from gridcwl.model.confinement import Confinement
from gridcwl.runs.provenance.reading import Crate, is_crate, open_crate
from gridcwl.runs.units import amount

GIT = "git+"
OWN = "gridcwl"
"""The source that is gridcwl's own workflows."""
_PACKAGE = Path(__file__).resolve().parents[1]
OWN_WORKFLOWS = next(
    (path for path in (_PACKAGE / "own_workflows" / "workflows",) if path.is_dir()),
    _PACKAGE.parents[1] / "cwl" / "workflows",
)
"""Where they are: in an installed package, which hatch_build.py puts them into, or in a checkout."""
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_FILES = 5000
_MOST_BYTES = 256 << 20
"""Of the files of a source that is fetched or unpacked; and of a repository's pack."""
_MOST_MEMORY = 4 << 30
_PATIENCE_S = 300
_PLAIN = ("100644", "100755")
_PASSED = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class GitSource:
    """A commit of a repository."""

    url: str
    commit: str
    below: str = ""
    """A folder or a document in it; empty for its top."""


@dataclass(frozen=True, slots=True)
class CatalogueWorkflow:
    """A workflow of the catalogue."""

    name: str
    path: Path
    label: str = ""
    """Of its crate, for documents without one."""
    doc: str = ""
    source: str = ""
    """For people: where it comes from, if that is not a folder of the operator."""

    @property
    def url(self) -> str:
        """The document, as WES's ``workflow_url`` names it."""
        return self.path.as_uri()


def git_source(text: str) -> GitSource:
    """What ``git+https://HOST/PATH@COMMIT#BELOW`` names.

    Raises:
        ConfigError: it is written otherwise, or pins no commit.
    """
    place, _, below = text.removeprefix(GIT).partition("#")
    url, _, commit = place.rpartition("@")
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    if scheme not in ("http", "https") or not host or "@" in host or not url.isascii() or not url.isprintable():
        raise ConfigError(
            f"catalogue has {text!r}, which is not the URL of a git repository without a user's name",
            remedy="Write it as git+https://HOST/PATH@COMMIT#FOLDER.",
        )
    if not _COMMIT.fullmatch(commit):
        raise ConfigError(
            f"catalogue has {text!r}, which pins no commit: a branch or a tag may be moved",
            remedy="Write all 40 digits of the commit behind '@'; git ls-remote prints them.",
        )
    try:
        below = paths.relative(below, "A folder of a repository") if below else ""
    except UnsafePath as error:
        raise ConfigError(f"catalogue has {text!r}: {error.message}") from None
    return GitSource(url, commit, below)


@dataclass(slots=True)
class CatalogueSources:
    """The operator's sources. Repositories are fetched by :meth:`fetch`; all else is looked at whenever it is asked."""

    places: Sequence[str]
    folder: Path
    """Of this module's own: what is fetched and unpacked."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a source is not offered, by its text."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _unpacked: dict[tuple[str, int, int], Crate] = field(default_factory=dict)
    _running: subprocess.Popen[bytes] | None = None
    _ended: bool = False

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders that documents of the catalogue, and what they refer to, are in."""
        return roots_of(self.places, self.folder)

    def offers(self) -> list[CatalogueWorkflow]:
        """All workflows by name; of two with one name, that of the earlier source."""
        found: dict[str, CatalogueWorkflow] = {}
        for place in self.places:
            for offer in self._of(place):
                found.setdefault(offer.name, offer)
        return [found[name] for name in sorted(found)]

    def _of(self, place: str) -> Iterator[CatalogueWorkflow]:
        if place.startswith(GIT):
            source = git_source(place)
            folder = self._checkout(source)
            if folder.is_dir():
                yield from _documents(folder / source.below, f"{source.url} at {source.commit[:12]}")
            else:
                self.problems.setdefault(place, "It has not been fetched yet.")
            return
        path = Path(place)
        if path.is_dir() and not is_crate(path):
            yield from _documents(path)
            return
        try:
            crate = self._crate(path)
            document = crate.path(str(crate.workflow["@id"]))
            if not document.is_file():
                raise ConfigError(f"The crate does not have its workflow {document.name}")
        except (GridCWLError, OSError) as error:
            self.problems[place] = str(error)
            return
        self.problems.pop(place, None)
        name = path.stem if path.is_file() else path.name
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", name.removesuffix(".crate")).strip("-.") or "workflow"
        about = [str(crate.root.get(key) or crate.workflow.get(key) or "") for key in ("name", "description")]
        yield CatalogueWorkflow(name, document, about[0][:500], about[1][:20_000], f"the RO-Crate {path.name}")

    def _crate(self, path: Path) -> Crate:
        if path.is_dir():
            return open_crate(path, self.folder)
        about = path.stat()
        key = str(path), about.st_mtime_ns, about.st_size
        with self._lock:
            if key not in self._unpacked:
                _check_archive(path)
                private_folder(self.folder)
                self._unpacked[key] = open_crate(path, self.folder)
            return self._unpacked[key]

    def _checkout(self, source: GitSource) -> Path:
        digest = hashlib.sha256(f"{source.url}@{source.commit}".encode()).hexdigest()
        return self.folder / "git" / digest[:32]

    # -- repositories --------------------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Fetch all repositories that are not here. Blocks; why one could not be fetched is in ``problems``."""
        for place in self.places:
            if not place.startswith(GIT) or self._ended:
                continue
            source = git_source(place)
            with self._lock:
                target = self._checkout(source)
                try:
                    if not target.is_dir():
                        self._fetch_one(source, target)
                    if source.below and not (target / source.below).exists():
                        raise ConfigError(f"The commit has no {source.below}.")
                except (GridCWLError, OSError) as error:
                    self.problems[place] = str(error)
                else:
                    self.problems.pop(place, None)

    def close(self) -> None:
        """Fetch no more; what is being fetched is stopped."""
        self._ended = True
        if (running := self._running) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)

    def _fetch_one(self, source: GitSource, target: Path) -> None:
        private_folder(target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="unfinished-") as unfinished:
            repository, files = Path(unfinished) / "repository", Path(unfinished) / "files"
            self._git(["init", "--quiet", "--bare", "--template=", str(repository)], Path(unfinished))
            options = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]
            self._git(["fetch", *options, "--", source.url, source.commit], repository)
            listing = self._git(["ls-tree", "-r", "-l", "-z", "--full-tree", source.commit], repository)
            entries = list(_entries(listing))
            if len(entries) > _MOST_FILES or sum(size for _, size, _ in entries) > _MOST_BYTES:
                raise ConfigError(
                    f"The repository has more than {_MOST_FILES} files or {amount(_MOST_BYTES)}, the most of a source."
                )
            files.mkdir(mode=0o700)
            self._write(entries, repository, files)
            files.rename(target)

    def _write(self, entries: Sequence[tuple[str, int, str]], repository: Path, files: Path) -> None:
        asked = "".join(f"{blob}\n" for blob, _, _ in entries).encode()
        with tempfile.TemporaryFile(dir=files.parent) as answer:
            self._git(["cat-file", "--batch"], repository, asked, answer)
            answer.seek(0)
            for blob, size, name in entries:
                head = answer.readline(200).split()
                if head != [blob.encode(), b"blob", str(size).encode()]:
                    raise ConfigError(f"The repository does not have its file {paths.quoted(name)}.")
                path = paths.inside(files, paths.relative(name, "A file of a repository"), "A file of a repository")
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(answer.read(size))
                answer.read(1)

    def _git(self, words: Sequence[str], folder: Path, asked: bytes = b"", answer: IO[bytes] | None = None) -> bytes:
        """The output of git, which knows nothing of this user's or this machine's configuration."""
        # the pack is one file, so that a limit on files is one on the repository
        options = {
            "core.hooksPath": os.devnull, "protocol.allow": "never", "http.followRedirects": "false",
            "protocol.https.allow": "always", "protocol.http.allow": "always", "fetch.fsckObjects": "true",
            "fetch.unpackLimit": "1", "gc.auto": "0", "core.fsmonitor": "false", "credential.helper": "",
        }  # fmt: skip
        written = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        limits = f'ulimit -f {2 * _MOST_BYTES // 512}; ulimit -v {_MOST_MEMORY >> 10}; ulimit -c 0; exec git "$@"'
        command = ["sh", "-c", limits, "git", *written, *words]
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            self._running = process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=answer or output, stderr=errors, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
            try:
                process.communicate(asked, timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                raise ConfigError(f"git took more than {_PATIENCE_S} s.") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self._running = None
            errors.seek(0)
            if process.returncode:
                raise ConfigError(_reason(errors.read(10_000).decode("utf-8", "replace"), process.returncode))
            output.seek(0)
            return b"" if answer is not None else output.read(_MOST_BYTES)


def roots_of(places: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The folders that documents of the catalogue may be in.

    Args:
        places: the operator's setting.
        folder: for what is fetched and unpacked.
    """
    own = [Path(place) for place in places if not place.startswith(GIT) and Path(place).is_dir()]
    own = [path.parent if path == OWN_WORKFLOWS else path for path in own]  # with the tools that they refer to
    made = [Path(os.path.realpath(folder))] if len(own) < len(places) else []
    return (*own, *made)


def check(places: Sequence[str], allowed: Sequence[str]) -> None:
    """See that sources may be used.

    Args:
        places: the operator's setting.
        allowed: beginnings of URLs of repositories.

    Raises:
        ConfigError: a repository is not below one of these, or pins no commit; a file is no crate.
    """
    for place in places:
        if place.startswith(GIT):
            source = git_source(place)
            if not Confinement(urls=tuple(allowed)).allows_url(source.url):
                raise ConfigError(
                    f"catalogue has {place!r}, which is not below one of catalogue_urls",
                    remedy='Add the beginning of its URL, as in catalogue_urls = ["https://github.com/ORGANIZATION/"].',
                )
        elif not place.endswith(".zip") and Path(place).is_file():
            raise ConfigError(
                f"catalogue has {place}, which is neither a folder nor an RO-Crate", remedy="Name its folder."
            )


def _documents(place: Path, source: str = "") -> Iterator[CatalogueWorkflow]:
    """The documents in a folder; or the one document."""
    for path in sorted(place.glob("*.cwl")) if place.is_dir() else [place]:
        if _NAME.fullmatch(path.stem) and path.is_file():
            yield CatalogueWorkflow(path.stem, path, source=source)


def _check_archive(path: Path) -> None:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError):
        return  # whoever reads it says why
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
        raise ConfigError(
            f"The crate has more than {_MOST_FILES} files or {amount(_MOST_BYTES)}, the most of a source."
        )


def _entries(listing: bytes) -> Iterator[tuple[str, int, str]]:
    """The plain files of ``git ls-tree -l -z``: their objects, sizes and names. Links and submodules are left out."""
    for line in listing.split(b"\0"):
        about, _, name = line.partition(b"\t")
        words = about.decode("ascii", "replace").split()
        if len(words) == 4 and words[0] in _PLAIN and words[1] == "blob":
            yield words[2], int(words[3]), name.decode("utf-8", "replace")


def _environment() -> Mapping[str, str]:
    """git's: no configuration, no credentials, no questions."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {
        **passed, "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false", "GIT_NO_LAZY_FETCH": "1",
    }  # fmt: skip


def _reason(errors: str, status: int) -> str:
    lines = [line.removeprefix("fatal: ").removeprefix("error: ") for line in errors.splitlines() if line.strip()]
    if shutil.which("git") is None:
        return "git is not installed on the service's machine."
    if status in (128 + signal.SIGXFSZ, -signal.SIGXFSZ) or "File too large" in errors:
        return f"The repository has more than {amount(_MOST_BYTES)}, the most of a source."
    return f"git could not fetch it: {lines[-1] if lines else f'it ended with status {status}'}"
