"""Rucio's half of the proof: a file goes to each storage element and comes back whole, by Rucio's own client."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from gridcwl.testbed.rucio.service import RucioService
from gridcwl.testbed.selftest import Row, attempts
from gridcwl.testbed.service import Say
from gridcwl.testbed.sites import SITES
from gridcwl.testbed.testbed import Testbed

# Runs in Rucio's own environment: its client is there, and gfal2 for davs where Debian has it for this Python.
_THERE_AND_BACK = """
import logging, os, sys, tempfile
from rucio.client import Client
from rucio.client.downloadclient import DownloadClient
from rucio.client.uploadclient import UploadClient
name, element, scheme = sys.argv[1:]
logging.basicConfig(level=logging.WARNING)
client, data = Client(), os.urandom(100_000)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "file")
    with open(path, "wb") as stream:
        stream.write(data)
    item = {"path": path, "rse": element, "did_scope": "user.runner", "did_name": name, "register_after_upload": True,
            "force_scheme": scheme}
    UploadClient(client, logger=logging.getLogger()).upload([item])
    wanted = {"did": f"user.runner:{name}", "base_dir": folder + "/back", "rse": element, "no_subdir": True,
              "force_scheme": scheme}
    # the client makes base_dir, but not the folders of a name with slashes
    os.makedirs(os.path.dirname(os.path.join(folder, "back", name.lstrip("/"))))
    [back] = DownloadClient(client, logger=logging.getLogger()).download_dids([wanted])
    with open(back["dest_file_paths"][0], "rb") as stream:
        assert stream.read() == data, "what came back is not what was sent"
"""
_WHO = "import sys; from rucio.client import Client; assert Client().whoami()['account'] == sys.argv[1]"


def selftest(testbed: Testbed, _say: Say) -> list[Row]:
    """Every storage element, and every way to log in."""
    rucio = testbed.service("rucio")
    assert isinstance(rucio, RucioService)
    return attempts("rucio", _acts(rucio))


def _acts(rucio: RucioService) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "alice logs in", lambda: rucio.run_client(_WHO, "alice", account="alice")
    for site in SITES:
        if site.protocol == "davs" and not rucio.has_davs:
            continue
        scheme = "file" if site.protocol == "posix" else rucio.davs_scheme
        name = rucio.valid_name(f"selftest-{uuid.uuid4().hex}")
        yield (
            f"a file to {site.storage} and back, by {scheme}",
            lambda name=name, element=site.storage, scheme=scheme: rucio.run_client(  # type: ignore[misc]
                _THERE_AND_BACK, name, element, scheme
            ),
        )
