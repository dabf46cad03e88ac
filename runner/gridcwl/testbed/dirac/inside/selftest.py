"""The proof that the testbed's DIRAC works, by DIRAC's own API: a job at each site, one killed, one that cannot run.

    python -m gridcwl.testbed.dirac.inside.selftest SITES.json FOLDER

Prints one JSON object a line: what was tried, whether it did, how long it took in seconds, and why not. All jobs are
submitted first and then waited for, as they take turns on few processors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE_S = 180.0
_PAUSE_S = 0.3
_ENDED = {"Done", "Failed"}
_SCRIPT = """#!/bin/sh
set -e
cat in.txt
echo "$DIRACSITE" > where.txt
test -s "$X509_USER_PROXY"
"""


@dataclass
class Trial:
    """A job, and what is to become of it.

    Attributes:
        goal: what is to be seen of it; the status, minor status and application status are given.
        afterwards: looks at its output; raises AssertionError if that is wrong.
    """

    what: str
    job: int
    began: float
    goal: Callable[[tuple[str, str, str]], bool]
    afterwards: Callable[[int], None]


def main() -> None:
    """Submit, wait, tell."""
    sites: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    from DIRAC.Core.Base.Script import Script

    sys.argv = ["selftest", "-o", "LogLevel=FATAL"]
    Script.parseCommandLine()
    (folder / "in.txt").write_text("there and back\n")
    (folder / "run.sh").write_text(_SCRIPT)
    trials = list(_submitted(sites))
    killed = trials[0]
    _wait_for(killed, lambda state: state[:2] == ("Running", "Application"))
    _kill(killed.job)
    for trial in trials:
        _tell(trial)
    _delete([trial.job for trial in trials])


def _submitted(sites: dict[str, Any]) -> Iterator[Trial]:
    yield _trial("kills a job that runs", _is("Failed", "Received Kill signal"), _nothing, sleep="600")
    for name, site in sites.items():
        if site["banned"]:
            yield _trial(f"holds a job for {name}, which is banned", _says("are inactive"), _nothing, site=name)
        else:
            yield _trial(f"runs a job with its sandboxes at {name}", _is("Done"), _came_back(name), site=name)
    tagged = next(name for name, site in sites.items() if site["tags"])
    tag = sites[tagged]["tags"][0]
    yield _trial(f"sends a job with the tag {tag} to {tagged}", _is("Done"), _came_back(tagged), tags=[tag])
    large = max(sites, key=lambda name: sites[name]["processors"])
    many = sites[large]["processors"]
    yield _trial(f"sends a job for {many} processors to {large}", _is("Done"), _came_back(large), processors=many)


def _trial(
    what: str,
    goal: Callable[[tuple[str, str, str]], bool],
    afterwards: Callable[[int], None],
    *,
    sleep: str = "",
    site: str = "",
    tags: list[str] | None = None,
    processors: int = 0,
) -> Trial:
    from DIRAC.Interfaces.API.Dirac import Dirac
    from DIRAC.Interfaces.API.Job import Job

    began = time.monotonic()
    job = Job()
    job.setName("selftest")
    job.setJobGroup("gridcwl-testbed-selftest")
    job.setCPUTime(1000)
    job.setInputSandbox(["run.sh", "in.txt"])
    job.setOutputSandbox(["std.out", "where.txt"])
    if site:
        job.setDestination(site)
    if tags:
        job.setTag(tags)
    if processors:
        job.setNumberOfProcessors(processors)
    job.setExecutable(*(("/bin/sleep", sleep) if sleep else ("/bin/sh", "run.sh")))
    submitted = Dirac().submitJob(job)
    if not submitted["OK"]:
        raise SystemExit(f"a job could not be submitted: {submitted['Message']}")
    return Trial(what, int(submitted["Value"]), began, goal, afterwards)


def _is(*wanted: str) -> Callable[[tuple[str, str, str]], bool]:
    return lambda state: state[: len(wanted)] == wanted


def _says(words: str) -> Callable[[tuple[str, str, str]], bool]:
    return lambda state: words in state[2]


def _nothing(job: int) -> None:
    del job


def _came_back(site: str) -> Callable[[int], None]:
    def look(job: int) -> None:
        from DIRAC.Interfaces.API.Dirac import Dirac

        fetched = Dirac().getOutputSandbox(job, outputDir=".", noJobDir=False)
        assert fetched["OK"], fetched["Message"]
        where = Path(str(job), "where.txt").read_text().strip()
        assert where == site, f"it ran at {where}"

    return look


def _tell(trial: Trial) -> None:
    detail = ""
    try:
        _wait_for(trial, trial.goal)
        trial.afterwards(trial.job)
    except (AssertionError, OSError) as error:
        detail = f"job {trial.job}: {error}"
    seconds = round(time.monotonic() - trial.began, 2)
    print(json.dumps({"what": trial.what, "passed": not detail, "seconds": seconds, "detail": detail}), flush=True)


def _wait_for(trial: Trial, goal: Callable[[tuple[str, str, str]], bool]) -> None:
    from DIRAC.WorkloadManagementSystem.Client.JobMonitoringClient import JobMonitoringClient

    end = time.monotonic() + _PATIENCE_S
    while True:
        answered = JobMonitoringClient().getJobsStates([trial.job])
        assert answered["OK"], answered["Message"]
        about = answered["Value"][trial.job]
        state = (about["Status"], about["MinorStatus"], about["ApplicationStatus"])
        if goal(state):
            return
        assert state[0] not in _ENDED, f"it is {', '.join(state)}"
        assert time.monotonic() < end, f"it is still {', '.join(state)} after {_PATIENCE_S:g} s"
        time.sleep(_PAUSE_S)


def _kill(job: int) -> None:
    from DIRAC.Interfaces.API.Dirac import Dirac

    Dirac().killJob(job)


def _delete(jobs: list[int]) -> None:
    from DIRAC.Interfaces.API.Dirac import Dirac

    Dirac().deleteJob(jobs)


if __name__ == "__main__":
    main()
