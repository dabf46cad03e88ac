"""DIRAC's jobs by DiracX's REST interface, which takes few jobs at a time and answers for many."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridcwl.backends.dirac.client import DiracClient
from gridcwl.backends.dirac.diracx import sandboxes
from gridcwl.backends.dirac.diracx.rest import Answered, Rest
from gridcwl.backends.dirac.matching import Limits
from gridcwl.backends.dirac.parametric import cut, singles, value
from gridcwl.backends.dirac.problems import DiracRefused, DiracUnreachable
from gridcwl.backends.dirac.results import JobStatus
from gridcwl.backends.dirac.server import Credential, FoundJob, Server, State
from gridcwl.backends.dirac.sites import DiracSite
from gridcwl.errors import ConfigError
from gridcwl.model.chunks import chunks

_LIMIT = re.compile(r"more than (\d+) jobs")
_FIRST = 100
"""Jobs of the first submission: its refusal says how many a submission may have."""
_PAGE = 1000
_AT_A_TIME = 1000
"""Jobs that one question is about."""
_KILL_AGAIN_S = 2.0
"""DiracX 0.7 answers with HTTP 500 where a job is killed twice in one second: the command's key is the second."""
_TRIES = 3
"""Of a submission: DiracX's database may be in a deadlock, and then says so by HTTP 500."""
_WANTED = ["JobID", "JobName", "Status", "MinorStatus", "ApplicationStatus", "Site"]


def from_environment() -> DiracXServer:
    """The DiracX that ``DIRACX_URL`` names, as whom ``dirac login`` has left tokens of.

    Raises:
        ConfigError: none is named.
    """
    url = os.environ.get("DIRACX_URL")
    if not url:
        raise ConfigError("DIRACX_URL is not set", remedy="Set DIRACX_URL, as for dirac login.")
    _check_encrypted(url)
    given = os.environ.get("DIRACX_CREDENTIALS_PATH")
    return DiracXServer(url, Path(given) if given else Path.home() / ".cache" / "diracx" / "credentials.json")


def _check_encrypted(url: str) -> None:
    """Tokens are not sent where others on the way can read them."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return  # no address at all, which is reported when it is used
    loopback = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    if parts.scheme.lower() == "http" and not loopback:
        raise ConfigError(
            f"DIRACX_URL begins with http://, and tokens would be sent to {host} unencrypted",
            remedy="Use its https:// address.",
        )


class DiracXServer:
    """Implements ``gridcwl.backends.dirac.server.Server``. For many threads."""

    survives = True

    def __init__(self, url: str, credentials: Path, *, timeout_s: float = 120.0, classic: Server | None = None) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: where it is, without ``/api``.
            credentials: the file with our tokens.
            timeout_s: for one call.
            classic: the DIRAC behind it, for sandboxes that only its classic store has; made when it is needed.

        Raises:
            ConfigError: what it needs is not installed.
        """
        self._rest = Rest(url, credentials, timeout_s=timeout_s)
        self._classic = classic
        self._most = _FIRST
        self._killed: dict[int, float] = {}
        """When a job was last asked to stop, by our clock."""

    def close(self) -> None:
        """Let the connections go."""
        self._rest.close()

    def most_jobs(self) -> int | None:
        """See ``Server``. Larger submissions are cut here, and share one sandbox."""
        return None

    def limits(self) -> Limits:
        """See ``Server``."""
        answer = self._rest.ask("asking for the configuration", "GET", "/config/").json()
        ours, vo = Limits(), self._rest.tokens.now().claims().get("vo", "")
        jobs = answer.get("Operations", {}).get(vo, {}).get("JobDescription", {})
        platforms = answer.get("Resources", {}).get("Computing", {}).get("OSCompatibility", {})
        return Limits(
            cpu_time_s=(jobs.get("MinCPUTime", ours.cpu_time_s[0]), jobs.get("MaxCPUTime", ours.cpu_time_s[1])),
            priority=(jobs.get("MinPriority", ours.priority[0]), jobs.get("MaxPriority", ours.priority[1])),
            job_types=tuple(jobs.get("AllowedJobTypes", ours.job_types)),
            platforms=tuple(platforms),
        )

    def offers(self) -> Sequence[DiracSite]:
        """See ``Server``. DiracX knows which sites there are and whether they take jobs, not what they have."""
        answer = self._rest.ask("asking which sites are usable", "GET", "/rss/site").json()
        return [
            DiracSite(site, status="Active" if about.get("all", {}).get("allowed", True) else "Banned")
            for site, about in sorted(answer.items())
        ]

    def credential(self) -> Credential:
        """See ``Server``."""
        tokens = self._rest.tokens.now()
        claims = tokens.claims()
        return Credential(
            str(claims.get("preferred_username", claims.get("sub", ""))),
            str(claims.get("dirac_group", "")),
            datetime.fromtimestamp(tokens.last(), UTC),
            "the login at DiracX",
            "dirac login",
        )

    def put_sandbox(self, files: Sequence[Path]) -> str:
        """See ``Server``."""
        return sandboxes.put(self._rest, files)

    def submit(self, jdl: str) -> list[int]:
        """See ``Server``."""
        first, *others = cut(jdl, self._most)
        try:
            submitted = self._submit_one(first)
        except Answered as error:
            limit = _LIMIT.search(error.detail)
            if limit is None or int(limit[1]) >= self._most:
                raise
            self._most = int(limit[1])
            return self.submit(jdl)
        # One after the other: side by side they get into each other's locks in the database.
        for part in others:
            submitted += self._submit_one(part)
        return submitted

    def _submit_one(self, jdl: str) -> list[int]:
        for left in reversed(range(_TRIES)):
            try:
                submitted = self._rest.ask("submitting jobs", "POST", "/jobs/jdl", json=[jdl], once=True).json()
            except DiracUnreachable:
                if not left:
                    raise
                self._forget(jdl)
            else:
                return [int(job["JobID"]) for job in submitted]
        raise AssertionError

    def _forget(self, jdl: str) -> None:
        """Kill what may have been heard of a submission without an answer. It was not confirmed: none of it has run."""
        names = {value(text, "JobName") for text in singles(jdl)}
        heard = [
            found.place.number
            for found in self.find(value(jdl, "JobGroup") or "")
            if found.name in names and found.place.status == "Submitting"
        ]
        if heard:
            self.kill(heard)

    def confirm(self, jobs: Sequence[int]) -> None:
        """See ``Server``. A parametric job waits for its state to be set, as classic clients do it by another call."""
        changed = self._set_status("confirming jobs", jobs, "Received", "Job accepted")
        missing = [job for job in jobs if changed.get(job) != "Received"]
        if missing:
            raise DiracRefused(f"DiracX does not let {len(missing)} jobs start, {missing[0]} among them")

    def states(self, jobs: Collection[int]) -> Mapping[int, State]:
        """See ``Server``."""
        found = self._jobs("asking for the states of jobs", jobs, ["JobID", *_WANTED[2:5]])
        return {
            int(each["JobID"]): (each["Status"], each.get("MinorStatus") or "", each.get("ApplicationStatus") or "")
            for each in found
        }

    def sites(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``."""
        found = self._jobs("asking where jobs run", jobs, ["JobID", "Site"])
        return {int(each["JobID"]): str(each.get("Site") or "") for each in found}

    def find(self, group: str) -> Sequence[FoundJob]:
        """See ``Server``."""
        asked = {"parameter": "JobGroup", "operator": "eq", "value": group}
        return [
            FoundJob(
                JobStatus(
                    int(each["JobID"]),
                    each["Status"],
                    each.get("MinorStatus") or "",
                    each.get("ApplicationStatus") or "",
                    each.get("Site") or "",
                ),
                str(each["JobName"]),
            )
            for each in self._search("looking for jobs", asked, _WANTED)
        ]

    def reports(self, jobs: Collection[int]) -> Mapping[int, str]:
        """See ``Server``. DiracX 0.7 does not give out what jobs report."""
        del jobs
        return {}

    def sandbox(self, job: int) -> bytes | None:
        """See ``Server``. Where classic pilots leave sandboxes in the classic store, they are fetched there."""
        content, elsewhere = sandboxes.of_job(self._rest, job)
        if elsewhere is None:
            return content
        if self._classic is None:
            try:
                self._classic = DiracClient()
            except ConfigError as error:
                raise DiracRefused(
                    f"The output sandbox of job {job} is in the classic sandbox store, which DiracX does not reach",
                    remedy=f"{error.remedy}, and make a proxy: dirac-proxy-init.",
                ) from error
        return self._classic.sandbox(job)

    def kill(self, jobs: Iterable[int]) -> None:
        """See ``Server``."""
        now = time.monotonic()
        wanted = [job for job in jobs if now - self._killed.get(job, -_KILL_AGAIN_S) >= _KILL_AGAIN_S]
        if wanted:
            self._kill(wanted)
            self._killed.update(dict.fromkeys(wanted, now))

    def _kill(self, wanted: Sequence[int]) -> None:
        try:
            self._set_status("killing jobs", wanted, "Killed", "Marked for termination")
        except Answered as error:
            if error.status not in (403, 404):
                raise
            # One that is gone, and none of them is killed.
            there = list(self.states(wanted))
            if error.status == 403 and len(there) == len(wanted):
                raise
            if error.status == 403 and there:
                self._set_status("killing jobs", there, "Killed", "Marked for termination")

    def parameters(self, job: int) -> Mapping[str, str]:
        """See ``Server``. DiracX 0.7 does not give out what jobs report."""
        del job
        return {}

    def _set_status(self, doing: str, jobs: Sequence[int], status: str, minor: str) -> dict[int, str]:
        """Set the state of jobs; returns what it now is, of those that have another one than before."""
        changed: dict[int, str] = {}
        for some in chunks(jobs, _AT_A_TIME):
            # An update that is older than the last one by the server's clock counts for nothing.
            when = datetime.fromtimestamp(self._rest.time(), UTC).isoformat()
            update = {when: {"Status": status, "MinorStatus": minor, "Source": "gridcwl"}}
            asked = {str(job): update for job in some}
            answer = self._rest.ask(doing, "PATCH", "/jobs/status", json=asked).json()
            changed.update((int(job), about.get("Status", "")) for job, about in answer["success"].items())
        return changed

    def _jobs(self, doing: str, jobs: Collection[int], wanted: list[str]) -> Iterator[dict[str, Any]]:
        for some in chunks(list(map(str, jobs)), _AT_A_TIME):
            yield from self._search(doing, {"parameter": "JobID", "operator": "in", "values": some}, wanted)

    def _search(self, doing: str, asked: Mapping[str, Any], wanted: list[str]) -> Iterator[dict[str, Any]]:
        """All jobs of which something holds, page by page, by their numbers."""
        body = {"parameters": wanted, "search": [asked], "sort": [{"parameter": "JobID", "direction": "asc"}]}
        page = 1
        while True:
            answer = self._rest.ask(doing, "POST", "/jobs/search", json=body, page=page, per_page=_PAGE)
            found = answer.json()
            yield from found
            total = answer.headers.get("content-range", "").rpartition("/")[2]
            if not found or not total.isdigit() or page * _PAGE >= int(total):
                return
            page += 1
