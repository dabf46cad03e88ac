"""Rucio's daemons in one process, once or again and again, with a transfer tool that really copies.

    python daemons.py [--loop SECONDS]      (RUCIO_CONFIG names the server's configuration)

In production the transfers are FTS's. Rucio's own ``mock`` tool declares them done without moving a byte; the tool here
moves them between folders and XRootD, and compares the checksum of what arrived with what Rucio knows.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import ssl
import sys
import time
import traceback
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPSConnection
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import rucio.core.transfer
from rucio.common import constants
from rucio.db.sqla.constants import RequestState
from rucio.transfertool.mock import MockTransferStatusReport, MockTransfertool

TOOL = "testbed"
_CHUNK = 1 << 20

# name -> what it is called with; in the order in which one's work is the next one's
_DAEMONS: dict[str, dict[str, Any]] = {
    "judge.evaluator": {},
    "conveyor.submitter": {"group_bulk": 100, "bulk": 1000},
    "conveyor.poller": {"older_than": 0},
    "conveyor.finisher": {},
    "judge.repairer": {},
    "undertaker.undertaker": {"total_workers": 1},
    "judge.cleaner": {},
    "abacus.rse": {},
    "abacus.account": {},
    "reaper.reaper": {"greedy": True},
}


class CopyingTransfertool(MockTransfertool):  # type: ignore[misc]
    """Copies between storage elements of this machine: folders and XRootD."""

    external_name = TOOL
    supported_schemes = frozenset({"file", "davs", "https"})
    _done: dict[str, Any] = {}  # noqa: RUF012 - shared by all instances: one submits, another is asked

    def submit(self, transfers: Iterable[Any], job_params: Any, timeout: int | None = None) -> str:  # noqa: ARG002
        """Copy, at once; the poller asks for the outcome."""
        for transfer in transfers:
            try:
                copy(transfer.source_url(transfer.sources[0]), transfer.dest_url, transfer.rws.adler32)
                state = RequestState.DONE
            except (OSError, ValueError) as error:
                logging.warning("%s was not copied: %s", transfer.rws.name, error)
                state = RequestState.FAILED
            self._done[transfer.rws.request_id] = state
        return str(uuid.uuid4())

    def bulk_query(
        self,
        requests_by_eid: Mapping[str, Mapping[str, Any]],
        timeout: int | None = None,  # noqa: ARG002
    ) -> dict[str, dict[str, Any]]:
        """How transfers stand; one that an earlier process was at has failed, so that it is tried again."""
        reports: dict[str, dict[str, Any]] = {}
        for job, requests in requests_by_eid.items():
            for request in requests:
                report = MockTransferStatusReport(request, job)
                report.state = self._done.pop(request, RequestState.FAILED)
                reports.setdefault(job, {})[request] = report
        return reports


def copy(source: str, target: str, adler32: str | None) -> None:
    """Copy a file from one URL to another, and see that it arrived whole.

    Raises:
        OSError: it could not be read or written, or another checksum came out.
    """
    with reading(source) as stream:
        scratch = Path(f"{os.environ['RUCIO_HOME']}/transfers/{uuid.uuid4().hex}")
        scratch.parent.mkdir(exist_ok=True)
        try:
            found = 1
            with scratch.open("wb") as kept:
                while chunk := stream.read(_CHUNK):
                    found = zlib.adler32(chunk, found)
                    kept.write(chunk)
            if adler32 and found != int(adler32, 16):
                raise OSError(f"{source} has the checksum {found:08x}, but Rucio knows {adler32}")
            write(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)


def reading(url: str) -> Any:
    """A stream of a file's bytes."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(parts.path).open("rb")
    return urllib.request.urlopen(parts._replace(scheme="https").geturl(), context=tls())  # noqa: S310 - https


def write(source: Path, url: str) -> None:
    """Put a file there whole."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(parts.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".transfer")
        shutil.copyfile(source, beside)
        beside.replace(path)
        return
    connection = HTTPSConnection(parts.netloc, context=tls(), timeout=300)
    try:
        with source.open("rb") as stream:
            put(connection, parts.path, stream, source.stat().st_size)
    finally:
        connection.close()


def put(connection: HTTPSConnection, path: str, stream: BinaryIO, size: int) -> None:
    """PUT a stream."""
    connection.request("PUT", path, stream, {"Content-Length": str(size)})
    answer = connection.getresponse()
    answer.read()
    if answer.status not in (200, 201):
        raise OSError(f"PUT {path}: {answer.status} {answer.reason}")


def tls() -> ssl.SSLContext:
    """The testbed's authority is trusted, and the testbed's certificate is shown."""
    context = ssl.create_default_context(capath=os.environ["X509_CERT_DIR"])
    context.load_cert_chain(os.environ["X509_USER_CERT"], os.environ["X509_USER_KEY"])
    return context


def prepare() -> dict[str, Callable[[], None]]:
    """The daemons, ready to be run once each."""
    rucio.core.transfer.TRANSFERTOOL_CLASSES_BY_NAME[TOOL] = CopyingTransfertool
    # Upstream pairs no network protocol with file (rucio/common/constants.py, SCHEME_MAP): nobody else's transfer tool
    # runs where the folders are.
    for scheme in ("davs", "https", "file"):
        constants.SCHEME_MAP[scheme] = list({*constants.SCHEME_MAP.get(scheme, []), "davs", "https", "file"})
    modules = {name: import_module(f"rucio.daemons.{name}") for name in _DAEMONS}
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("rucio.daemons."):
            for name in ("graceful_stop", "GRACEFUL_STOP"):
                event = getattr(module, name, None)
                # A daemon that is run once waits ten seconds, to see whether it has colleagues: it has none.
                if event is not None and hasattr(event, "wait"):
                    event.wait = lambda timeout=None: False  # noqa: ARG005
    return {name: runner(modules[name], given) for name, given in _DAEMONS.items()}


def runner(module: Any, given: dict[str, Any]) -> Callable[[], None]:
    """One run of one daemon."""
    return lambda: module.run(once=True, **given)


def main() -> int:
    """Run them all, in order; returns how many failed in the last round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", type=float, metavar="SECONDS", help="again and again, with so long a pause")
    pause = parser.parse_args().loop
    daemons = prepare()
    while True:
        failed = 0
        for name, run in daemons.items():
            began = time.monotonic()
            try:
                run()
                print(f"{name}: {time.monotonic() - began:.2f} s", flush=True)
            except Exception:  # noqa: BLE001 - whatever it was, the other daemons are to run
                failed += 1
                print(f"{name}: failed", flush=True)
                traceback.print_exc()
        if pause is None:
            return failed
        time.sleep(pause)


if __name__ == "__main__":
    sys.exit(main())
