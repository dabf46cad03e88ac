"""Archives to and from DiracX's sandbox store; it gives presigned addresses, and an S3 storage has the bytes."""

from __future__ import annotations

import bz2
import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from gridcwl.backends.dirac.diracx.rest import Rest

_AT_DIRACX = "/S3/"


def put(rest: Rest, files: Sequence[Path]) -> str:
    """Leave an input sandbox; returns what job descriptions call it. The same files are kept once.

    Raises:
        BackendError: it cannot be left; see ``Rest.ask``.
    """
    content = packed(files)
    about = {
        "checksum_algorithm": "sha256",
        "checksum": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "format": "tar.bz2",
    }
    answer = rest.ask("leaving an input sandbox", "POST", "/jobs/sandbox", json=about).json()
    if answer.get("url"):
        rest.put("leaving an input sandbox", answer["url"], answer["fields"], content)
    return str(answer["pfn"])


def packed(files: Sequence[Path]) -> bytes:
    """An archive of the files, the same bytes whenever it is made: its digest is its name."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = archive.gettarinfo(file, file.name)
            member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
            with file.open("rb") as stream:
                archive.addfile(member, stream)
    return bz2.compress(made.getvalue(), 1)  # nearly all of it is compressed already


def of_job(rest: Rest, job: int) -> tuple[bytes | None, str | None]:
    """A job's output sandbox; or, where DiracX has only the name of one that a classic store holds, that name.

    Raises:
        BackendError: it is unavailable; see ``Rest.ask``.
    """
    doing = f"fetching the output sandbox of job {job}"
    names = [str(name) for name in rest.ask(doing, "GET", f"/jobs/{job}/sandbox/output").json()]
    if not names:
        return None, None
    path = names[-1].rpartition("|")[2]
    if not path.startswith(_AT_DIRACX):
        return None, names[-1]
    answer = rest.ask(doing, "GET", "/jobs/sandbox", pfn=path).json()
    return rest.get(doing, answer["url"]), None
