"""Stage out: what a job made goes to a storage element, each file whole and under its final name, or not at all.

First a temporary name, then a look at size and checksum, then the final name. What is there already with the same
content stays; what is there half-written is replaced. Who submitted the job registers the files. What a job has put
there that fails after all is removed again; for one that is killed meanwhile a list of it is left in its folder.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from gridcwl.worker.credentials import Trusted
from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import TEMPORARY, SourceUnavailable, WorkerFailure, failure_of, printable
from gridcwl.worker.naming import name_of, place_of, url_of
from gridcwl.worker.storage import Known, Way, path_of, way_to

_AT_ONCE = 4  # uploads of one job, where each waits for a server
_UNFINISHED = ".gridcwl-upload"
INTENTIONS = "uploads.json"


class FileToPut(NamedTuple):
    """One file to be put."""

    path: str
    """Absolute, on this machine."""
    name: str
    """Of the DID."""
    known: Known


def put_away(result: Plain, job: Plain, workdir: str, site: str, check: Callable[[], None]) -> None:
    """Put the job's own files into a storage element, and write into the result where they are.

    What lies elsewhere, as an input that was passed through, stays what it is.

    Raises:
        Failure: no element takes them; it may pass.
    """
    storage = job["storage"]
    mine = _Mine(workdir)
    intentions = Intentions(f"{workdir}/{INTENTIONS}")
    uploads: Dict[str, FileToPut] = {}
    for entry in result["files"]:
        if entry["kind"] == "file" and mine.has(entry["location"]) and entry["location"] not in uploads:
            path = path_of(entry["location"])
            name = name_of(storage["prefix"], entry["path"])
            uploads[entry["location"]] = FileToPut(path, name, Known(entry["size"], entry["adler32"], entry["sha1"]))
    if uploads:
        result["element"] = put_files(
            list(uploads.values()), storage["scope"], storage["elements"], site, check, intentions
        )
    for entry in result["files"]:
        if entry["kind"] == "directory" and mine.has(entry["location"]):
            entry["location"] = url_of(storage["scheme"], storage["scope"], name_of(storage["prefix"], entry["path"]))
        elif entry["location"] in uploads:
            entry["location"] = url_of(storage["scheme"], storage["scope"], uploads[entry["location"]].name)
    result["outdir"] = url_of(storage["scheme"], storage["scope"], storage["prefix"].rstrip("./"))


class Intentions:
    """What is being put somewhere, written down before it is begun, so that it can be undone."""

    def __init__(self, path: str) -> None:
        """Write it to this file."""
        self._path = path
        self._begun: List[str] = []

    def mean(self, urls: Sequence[str]) -> None:
        """These are the places that files are to be put at; nothing of an earlier list is there any more."""
        self._begun = []
        with open(self._path + ".part", "w", encoding="ascii") as file:
            json.dump(list(urls), file)
        os.replace(self._path + ".part", self._path)

    def begin(self, url: str) -> None:
        """A file is on its way there now, where none with its content was."""
        self._begun.append(url)

    def undo(self) -> None:
        """Remove what was begun."""
        remove(self._begun)
        self._begun = []


def remove(urls: Sequence[str]) -> int:
    """Remove what has been put at these places, whole or in part; returns how many places may hold something still.

    Ends at the first that cannot be reached: the others are at the same element.
    """
    for number, url in enumerate(urls):
        try:
            way = way_to(url, Trusted([url]))  # a place that we have put something at
            way.remove(url + _UNFINISHED)
            way.remove(url)
        except (SourceUnavailable, OSError):
            return len(urls) - number
    return 0


def left_behind(workdir: str) -> List[str]:
    """The places at which a job that was killed in this folder may have put files."""
    try:
        with open(f"{workdir}/{INTENTIONS}", encoding="ascii") as file:
            return [str(url) for url in json.load(file)]
    except (OSError, ValueError, TypeError):
        return []


class _Mine:
    """Whether a location is below the job's working directory."""

    def __init__(self, workdir: str) -> None:
        self._roots = (workdir + "/", os.path.realpath(workdir) + "/")

    def has(self, location: str) -> bool:
        return location.startswith("file://") and path_of(location).startswith(self._roots)


def put_files(
    uploads: List[FileToPut],
    scope: str,
    elements: Sequence[Plain],
    site: str,
    check: Callable[[], None],
    intentions: Optional[Intentions] = None,
) -> str:
    """Put files into the first element that takes them all, those of the site before others. Returns its name.

    With ``intentions`` what was put before something failed is removed; without, it stays, for others may have put it.

    Raises:
        Failure: none does; it may pass.
    """
    problems = []
    for element in _preferred(elements, site):
        for url in element["urls"]:
            try:
                _put_below(url, uploads, scope, element.get("naming", "hash"), check, intentions)
            except SourceUnavailable as error:
                problems.append(f"{element['name']}: {error}")
            except OSError as error:
                problems.append(f"{element['name']}: {failure_of(error, 'writing').reason.rstrip('.')}")
            else:
                name: str = element["name"]
                return name
    raise WorkerFailure(
        "The outputs cannot be put into any storage element: " + "; ".join(problems or ["none is given"]) + ".",
        TEMPORARY,
    )


def _preferred(elements: Sequence[Plain], site: str) -> List[Plain]:
    return sorted(elements, key=lambda element: not site or site not in element.get("sites", ()))


def _put_below(
    url: str,
    uploads: List[FileToPut],
    scope: str,
    naming: str,
    check: Callable[[], None],
    intentions: Optional[Intentions],
) -> None:
    way = way_to(url, Trusted([url]))
    way.ready(url)
    try:
        placed = [(upload, url + place_of(scope, upload.name, naming)) for upload in uploads]
    except ValueError:
        raise SourceUnavailable(f"its algorithm for paths, {naming}, is not supported by this worker") from None
    if intentions is None:
        _put_all(way, placed, check, lambda _url: None)
        return
    intentions.mean([place for _, place in placed])
    try:
        _put_all(way, placed, check, intentions.begin)
    except BaseException:
        intentions.undo()
        raise


def _put_all(
    way: Way, placed: List[Tuple[FileToPut, str]], check: Callable[[], None], begin: Callable[[str], None]
) -> None:
    def put(upload: FileToPut, place: str) -> None:
        check()
        _put_one(way, upload, place, check, begin)

    if len(placed) == 1 or placed[0][1].startswith("file://"):
        for upload, place in placed:
            put(upload, place)
        return
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(placed))) as pool:
        for done in [pool.submit(copy_context().run, put, upload, place) for upload, place in placed]:
            done.result()


def _put_one(way: Way, upload: FileToPut, final: str, check: Callable[[], None], begin: Callable[[str], None]) -> None:
    there = way.look(final)
    if there is not None and there.adler32 is not None and not upload.known.mismatch(there):
        return  # an earlier attempt got so far
    begin(final)
    temporary = final + _UNFINISHED
    arrived = way.put(upload.path, temporary, check)
    mismatch = upload.known.mismatch(arrived)
    if mismatch:
        way.remove(temporary)
        raise SourceUnavailable(f"what arrived of {printable(upload.name)} {mismatch}")
    way.rename(temporary, final)
