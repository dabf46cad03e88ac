"""Stage out: what a job made goes to a storage element, each file whole and under its final name, or not at all.

First a temporary name, then a look at size and checksum, then the final name. What is there already with the same
content stays; what is there half-written is replaced. Who submitted the job registers the files.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, NamedTuple, Sequence

from gridcwl.worker.engine import Plain
from gridcwl.worker.failure import TEMPORARY, Failure, Unavailable, failure_of, printable
from gridcwl.worker.naming import name_of, place_of, url_of
from gridcwl.worker.storage import Known, Way, path_of, way_to

_AT_ONCE = 4  # uploads of one job, where each waits for a server


class Upload(NamedTuple):
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
    uploads: Dict[str, Upload] = {}
    for entry in result["files"]:
        if entry["kind"] == "file" and mine.has(entry["location"]) and entry["location"] not in uploads:
            path = path_of(entry["location"])
            name = name_of(storage["prefix"], entry["path"])
            uploads[entry["location"]] = Upload(path, name, Known(entry["size"], entry["adler32"], entry["sha1"]))
    if uploads:
        result["element"] = put_files(list(uploads.values()), storage["scope"], storage["elements"], site, check)
    for entry in result["files"]:
        if entry["kind"] == "directory" and mine.has(entry["location"]):
            entry["location"] = url_of(storage["scope"], name_of(storage["prefix"], entry["path"]))
        elif entry["location"] in uploads:
            entry["location"] = url_of(storage["scope"], uploads[entry["location"]].name)
    result["outdir"] = url_of(storage["scope"], storage["prefix"].rstrip("./"))


class _Mine:
    """Whether a location is below the job's working directory."""

    def __init__(self, workdir: str) -> None:
        self._roots = (workdir + "/", os.path.realpath(workdir) + "/")

    def has(self, location: str) -> bool:
        return location.startswith("file://") and path_of(location).startswith(self._roots)


def put_files(
    uploads: List[Upload], scope: str, elements: Sequence[Plain], site: str, check: Callable[[], None]
) -> str:
    """Put files into the first element that takes them all, those of the site before others. Returns its name.

    Raises:
        Failure: none does; it may pass.
    """
    problems = []
    for element in _preferred(elements, site):
        for url in element["urls"]:
            try:
                _put_below(url, uploads, scope, element.get("naming", "hash"), check)
            except Unavailable as error:
                problems.append(f"{element['name']}: {error}")
            except OSError as error:
                problems.append(f"{element['name']}: {failure_of(error, 'writing').reason.rstrip('.')}")
            else:
                name: str = element["name"]
                return name
    raise Failure(
        "The outputs cannot be put into any storage element: " + "; ".join(problems or ["none is given"]) + ".",
        TEMPORARY,
    )


def _preferred(elements: Sequence[Plain], site: str) -> List[Plain]:
    return sorted(elements, key=lambda element: not site or site not in element.get("sites", ()))


def _put_below(url: str, uploads: List[Upload], scope: str, naming: str, check: Callable[[], None]) -> None:
    way = way_to(url)
    way.ready(url)

    def put(upload: Upload) -> None:
        check()
        try:
            place = place_of(scope, upload.name, naming)
        except ValueError:
            raise Unavailable(f"its way of naming files, {naming}, is not known to this worker") from None
        _put_one(way, upload, url + place, check)

    if len(uploads) == 1 or url.startswith("file://"):
        for upload in uploads:
            put(upload)
        return
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(uploads))) as pool:
        for done in [pool.submit(put, upload) for upload in uploads]:
            done.result()


def _put_one(way: Way, upload: Upload, final: str, check: Callable[[], None]) -> None:
    there = way.look(final)
    if there is not None and there.adler32 is not None and not upload.known.mismatch(there):
        return  # an earlier attempt got so far
    temporary = final + ".gridcwl-upload"
    arrived = way.put(upload.path, temporary, check)
    mismatch = upload.known.mismatch(arrived)
    if mismatch:
        way.remove(temporary)
        raise Unavailable(f"what arrived of {printable(upload.name)} {mismatch}")
    way.rename(temporary, final)
