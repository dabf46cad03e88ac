"""The CWL v1.2 conformance cases through the service: sent by Toil's WES client, run in containers.

``make test`` takes a few of them, ``make conformance-wes`` all: several clients at a time at one service, as the client
does little but start programs and wait.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cwltest.compare
import pytest
from wes import process, program

from .cases import expected_failures, load_cases, suite_folder

ALL = load_cases()
SAMPLE = ("stdinout_redirect", "expression_parseint")
CLIENTS = int(os.environ.get("GRIDCWL_WES_CLIENTS", "4"))
CASES = ALL if os.environ.get("GRIDCWL_ALL_CASES") else [case for case in ALL if case["id"] in SAMPLE]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service that runs what the command line runs; documents and inputs are attached."""
    folder = tmp_path_factory.mktemp("wes")
    # some tools that name no image unpack archives, and as root tar gives files the owner that the archive names
    runs = {"default_container": "debian:stable-slim", "cap_add": ["CHOWN", "FOWNER"]}
    with process(folder, in_place=True, network=True, runs=runs) as (wes, _):
        yield str(wes.http.base_url).rstrip("/")


@pytest.fixture(scope="module")
def found(
    endpoint: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[dict[str, Any]], str]]:
    """What is wrong with the result of a case; of all cases, several run at a time."""

    def run(case: dict[str, Any]) -> str:
        return problem_of(case, endpoint, tmp_path_factory.mktemp("case"))

    if CASES is not ALL:
        yield run
        return
    chosen = [item.callspec.params["case"] for item in request.session.items if item.path == Path(__file__)]  # type: ignore[attr-defined]
    with ThreadPoolExecutor(CLIENTS) as pool:
        begun = {case["id"]: pool.submit(run, case) for case in chosen}
        yield lambda case: begun[case["id"]].result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.conformance
@pytest.mark.docker
@pytest.mark.node
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_through_wes(case: dict[str, Any], found: Callable[[dict[str, Any]], str]) -> None:
    reason = {**expected_failures("docker"), **expected_failures("wes")}.get(case["id"])
    problem = found(case)
    if reason is None:
        assert not problem, problem
    elif problem:
        pytest.xfail(f"{reason} ({problem.splitlines()[0]})")
    else:
        pytest.fail(f"{case['id']} passes now: take it off expected.yaml")


def problem_of(case: dict[str, Any], endpoint: str, folder: Path) -> str:
    """What is wrong with the result of a case; empty if nothing is."""
    client = program("toil", "toil-wes-cwl-runner")
    job = [case["job"]] if case.get("job") else []
    command = [client, f"--wes_endpoint={endpoint}", f"--outdir={folder}", "--quiet", case["tool"], *job]
    environment = os.environ | {"PATH": f"{Path(client).parent}:{os.environ['PATH']}"}  # it calls cwltool
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=suite_folder(), env=environment, timeout=500
    )
    if case.get("should_fail"):
        return "" if done.returncode else "it should fail, but does not"
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr}"
    try:
        cwltest.compare.compare(case.get("output"), json.loads(done.stdout))
    except cwltest.compare.CompareFail as error:
        return f"{error}\n{done.stderr}"
    return ""
