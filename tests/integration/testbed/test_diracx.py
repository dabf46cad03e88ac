"""DiracX in front of the testbed's DIRAC: jobs that come in by REST are run by classic pilots."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

import pytest


def ask(diracx, method, path, body=None, token=None):
    headers = {"Authorization": f"Bearer {token or diracx.token()}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{diracx.url}/api{path}", data, headers, method=method)
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            # while DiracX reads its configuration again it answers "Retry-After"
            if error.code != 503 or time.monotonic() > end:
                raise
            time.sleep(1)


def status(diracx, job):
    search = {"parameters": ["JobID", "Status"], "search": [{"parameter": "JobID", "operator": "eq", "value": job}]}
    [found] = ask(diracx, "POST", "/jobs/search", search)
    return found["Status"]


@pytest.mark.timeout(300)
def test_a_job_that_was_submitted_by_rest_is_run_by_a_classic_job_agent(diracx, dirac_clients, tmp_path):
    jdl = (
        'Executable = "/bin/echo"; Arguments = "by rest"; StdOutput = "std.out"; StdError = "std.err"; '
        'OutputSandbox = {"std.out"}; GridCE = "ce.lcg.orsay.fr"; JobName = "rest";'
    )
    [submitted] = ask(diracx, "POST", "/jobs/jdl", [jdl])
    end = time.monotonic() + 180
    while (now := status(diracx, submitted["JobID"])) not in {"Done", "Failed"}:
        assert time.monotonic() < end, f"it is still {now}"
        time.sleep(0.5)
    assert now == "Done"
    fetched = dirac_clients.sandboxes().downloadSandboxForJob(submitted["JobID"], "Output", str(tmp_path))
    assert fetched["OK"], fetched["Message"]
    assert (tmp_path / "std.out").read_text() == "by rest\n"


def test_more_than_twenty_jobs_a_call_are_refused(diracx):
    with pytest.raises(urllib.error.HTTPError, match=r"422|400"):
        ask(diracx, "POST", "/jobs/jdl", ['Executable = "/bin/true";'] * 21)


def test_a_token_that_is_none_is_refused(diracx):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(diracx, "POST", "/jobs/jdl", [], token="none")
