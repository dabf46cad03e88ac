"""DIRAC's half of the proof: jobs with sandboxes at every site, one that is killed, by DIRAC's own API."""

from __future__ import annotations

import json
import subprocess

from gridcwl.testbed.dirac.service import DiracService
from gridcwl.testbed.selftest import Row
from gridcwl.testbed.service import Say
from gridcwl.testbed.sites import SITES
from gridcwl.testbed.testbed import Testbed

_WITHIN_S = 600


def selftest(testbed: Testbed, say: Say) -> list[Row]:
    """Submit to every site, kill, and look at what came back."""
    dirac = testbed.service("dirac")
    assert isinstance(dirac, DiracService)
    dirac.install(say)
    folder = testbed.place.folder("work", "dirac-selftest")
    sites = folder / "sites.json"
    about = {site.name: {"banned": site.banned, "processors": site.processors, "tags": site.tags} for site in SITES}
    sites.write_text(json.dumps(about))
    ended = subprocess.run(
        dirac.surroundings.module("selftest", str(sites), str(folder)),
        env=dirac.surroundings.of_server() | dirac.exports(),
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith('{"what"')]
    rows = [Row("dirac", **json.loads(line)) for line in lines]
    if ended.returncode:
        why = (ended.stdout + ended.stderr).strip()[-2000:]
        rows.append(Row("dirac", "tries all of it", False, 0.0, why))
    return rows
