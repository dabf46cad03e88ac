"""Where files in Rucio came from, by their metadata; their replicas checked, and copied to this machine.

A file says which run, step, tool, image and inputs made it, so that anybody who can read Rucio's metadata can follow it
back through the runs of all users, also when the datasets of those runs are gone. The metadata are not trusted: whoever
owns a DID may have written them. They are read within limits, and nothing is done with them but to show them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gridcwl.errors import StoreError
from gridcwl.model.chunks import chunks
from gridcwl.stores.reports import Origin, ReplicaCheck
from gridcwl.stores.rucio.client import CHUNK, RucioClient, RucioProblem
from gridcwl.stores.rucio.descriptions import DIGEST, INPUTS, KEY, UNLISTED
from gridcwl.stores.rucio.names import Did, did_of, maker_of
from gridcwl.stores.rucio.replicas import Replicas, find_replicas
from gridcwl.worker.credentials import Trusted
from gridcwl.worker.failure import WorkerFailure
from gridcwl.worker.fetch import FetchRequest, fetch
from gridcwl.worker.paths import file_url
from gridcwl.worker.storage import Known, sums

LONGEST = 16_000
"""Characters of a list of inputs in a file's metadata."""
_LONGEST_TEXT = 4_000
_MOST = 200_000
"""Inputs that are read from one list."""
_NAME = re.compile(
    r"(?P<head>.*(?:^|[./])j)(?P<session>\d+)-(?P<number>\d+)-(?P<attempt>\d+)(?P<tail>[./].*)", re.DOTALL
)
_MANY = re.compile(r"(?P<head>.*?)\{(?P<numbers>[\d,-]+)\}(?P<tail>.*)")


def listed(dids: Iterable[Did]) -> tuple[str, int]:
    """DIDs as one text, and how many had no room.

    Those that jobs of one step made are written together: ``scope:run.step.j1-{3-9,12}-1.out.txt``.
    """
    groups: dict[tuple[str, str, str], list[int]] = {}
    for did in dict.fromkeys(dids):
        found = _NAME.fullmatch(did.name)
        if found is None:
            groups[str(did), "", ""] = []
        else:
            begin = f"{did.scope}:{found['head']}{found['session']}-"
            groups.setdefault((begin, f"-{found['attempt']}{found['tail']}", "j"), []).append(int(found["number"]))
    words: list[str] = []
    room, unlisted = LONGEST, 0
    for (begin, end, _), numbers in groups.items():
        word = f"{begin}{_spans(numbers)}{end}"
        if len(word) < room:
            words.append(word)
            room -= len(word) + 1
        else:
            unlisted += max(1, len(numbers))
    return " ".join(words), unlisted


def _spans(numbers: Sequence[int]) -> str:
    """Numbers in braces, with ranges; one alone as it is."""
    if len(numbers) <= 1:
        return str(numbers[0]) if numbers else ""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return "{" + ",".join(f"{a}-{b}" if b > a else str(a) for a, b in spans) + "}"


def read_list(text: str) -> list[Did]:
    """The DIDs in a text that :func:`listed` made; what is none is left out."""
    found: list[Did] = []
    for word in text.split():
        scope, colon, name = word.partition(":")
        if colon and scope and name:
            found += [Did(scope, one) for one in _names(name, _MOST - len(found))]
    return found[:_MOST]


def _names(name: str, most: int) -> Iterator[str]:
    many = _MANY.fullmatch(name)
    if many is None:
        yield name
        return
    for span in many["numbers"].split(","):
        first, _, last = span.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            continue
        for number in range(int(first), min(int(last or first), int(first) + most) + 1):
            yield f"{many['head']}{number}{many['tail']}"
            most -= 1
            if most <= 0:
                return


async def origins(urls: Sequence[str]) -> dict[str, Origin]:
    """What the metadata of files say of where they came from; files that Rucio does not know are left out.

    Raises:
        RucioProblem: Rucio does not answer.
    """
    dids = list(dict.fromkeys(map(did_of, urls)))
    with closing(RucioClient()) as client:
        own = {Did(one["scope"], one["name"]): one for one in await _metadata(client, dids, "DID_COLUMN")}
        more = {Did(one["scope"], one["name"]): one for one in await _metadata(client, dids, "JSON")}
    return {did.url: _origin(did, own[did], more.get(did, {})) for did in dids if did in own}


async def _metadata(client: RucioClient, dids: Sequence[Did], plugin: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for part in chunks(dids, CHUNK):
        asked = [{"scope": did.scope, "name": did.name} for did in part]
        try:
            found += await client.call("get_metadata_bulk", asked, plugin=plugin)
        except RucioProblem as problem:
            if plugin != "JSON" or problem.kind in ("ServerConnectionException", "DatabaseException"):
                raise
            return []  # the server keeps no metadata of ours
    return found


def _origin(did: Did, own: Mapping[str, Any], more: Mapping[str, Any]) -> Origin:
    def text(name: str) -> str:
        value = more.get(name)
        return value[:_LONGEST_TEXT] if isinstance(value, str) else ""

    maker = maker_of(did.name)
    inputs = more.get(INPUTS)
    size, unlisted = own.get("bytes"), more.get(UNLISTED)
    return Origin(
        did.url,
        int(size) if isinstance(size, int) else None,
        f"adler32${own['adler32']}" if own.get("adler32") else "",
        str(own.get("account") or ""),
        str(own.get("created_at") or ""),
        text("gridcwl_run"),
        text("gridcwl_document"),
        f"{maker.session}-{maker.number}" if maker is not None else "",
        text("gridcwl_step"),
        text("gridcwl_tool"),
        text("gridcwl_image"),
        text(DIGEST),
        text(KEY),
        tuple(one.url for one in read_list(inputs)) if isinstance(inputs, str) else (),
        int(unlisted) if isinstance(unlisted, int | str) and str(unlisted).isdecimal() else 0,
    )


async def check_files(files: Mapping[str, Mapping[str, Any]]) -> dict[str, list[ReplicaCheck]]:
    """Read every replica of files, and compare it with what is known of the file.

    Args:
        files: ``size``, ``sha1`` and ``adler32``, as far as they are known, by URL.

    Raises:
        RucioProblem: Rucio does not answer.
    """
    with closing(RucioClient()) as client:
        found = await find_replicas(client, [did_of(url) for url in files])
    return await asyncio.to_thread(_all_checked, files, found)


def _all_checked(
    files: Mapping[str, Mapping[str, Any]], found: Mapping[Did, Replicas]
) -> dict[str, list[ReplicaCheck]]:
    return {url: list(_replicas(url, known, found.get(did_of(url)))) for url, known in files.items()}


def _replicas(url: str, known: Mapping[str, Any], about: Replicas | None) -> Iterator[ReplicaCheck]:
    if about is None:
        yield ReplicaCheck("", "Rucio knows no replica of it")
        return
    claimed = Known(known.get("size"), known.get("adler32"), known.get("sha1"))
    if problem := claimed.mismatch(Known(about.size, about.adler32)):
        yield ReplicaCheck("Rucio", f"what Rucio knows of it {problem}")
    whole = Known(about.size if claimed.size is None else claimed.size, claimed.adler32 or about.adler32, claimed.sha1)
    for replica in about.pfns:
        yield ReplicaCheck(replica, _problem(url, replica, whole))


def _problem(url: str, replica: str, known: Known) -> str:
    """What is wrong with a replica, which is read; empty if nothing is."""
    with TemporaryDirectory(prefix="gridcwl-verify-") as folder:
        try:
            got = fetch(FetchRequest((replica,), Known(), url, Trusted((replica,))), "", folder, lambda: None)
            problem = known.mismatch(sums(got.path, lambda: None))
        except (WorkerFailure, OSError) as error:
            return f"it cannot be read: {error}"
    return f"it {problem}" if problem else ""


async def copy_files(urls: Sequence[str], folder: Path) -> dict[str, str]:
    """Copy files to this machine; returns the URLs of the copies.

    Raises:
        StoreError: one cannot be read.
    """
    with closing(RucioClient()) as client:
        found = await find_replicas(client, [did_of(url) for url in urls])
    return await asyncio.to_thread(_all_copied, urls, found, folder)


def _all_copied(urls: Sequence[str], found: Mapping[Did, Replicas], folder: Path) -> dict[str, str]:
    copies = {}
    for number, url in enumerate(urls):
        about = found.get(did_of(url))
        if about is None:
            continue
        place = folder / str(number)
        place.mkdir(parents=True)
        wanted = FetchRequest(about.pfns, Known(about.size, about.adler32), url, Trusted(about.pfns))
        try:
            copies[url] = file_url(fetch(wanted, "", str(place), lambda: None).path)
        except WorkerFailure as failure:
            raise StoreError(failure.reason.rstrip("."), remedy="Use --data reference.") from None
    return copies
