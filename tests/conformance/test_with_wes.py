"""The CWL v1.2 conformance cases through the service: sent by Toil's WES client, run in containers.

``make test`` takes a few of them, each with the program as it comes; ``make conformance-wes`` all: several clients at a
time at one service, and each client imports its modules once (``toil_client.py``).
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

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

    if CASES is not ALL:
        yield lambda case: problem_of(case, endpoint, tmp_path_factory.mktemp("case"), run_program)
        return
    chosen = [item.callspec.params["case"] for item in request.session.items if item.path == Path(__file__)]  # type: ignore[attr-defined]
    waiting: queue.SimpleQueue[Client] = queue.SimpleQueue()
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(CLIENTS):
            waiting.put(stack.enter_context(Client()))

        def run(case: dict[str, Any]) -> str:
            client = waiting.get()
            try:
                return problem_of(case, endpoint, tmp_path_factory.mktemp("case"), client)
            finally:
                waiting.put(client)

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


class Client:
    """Toil's client in a process that runs it again and again."""

    def __init__(self) -> None:
        python = program("toil", "python")
        script = str(Path(__file__).with_name("toil_client.py"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen([python, script], text=True, env=environment(), **pipes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with self._process:
            self._process.kill()

    def __call__(self, arguments: list[str], folder: Path) -> tuple[int, str, str]:
        """Run it: its exit code, and what it has written."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = folder / "stdout", folder / "stderr"
        files = {"stdout": str(out), "stderr": str(err)}
        line = json.dumps({"arguments": arguments, "folder": str(suite_folder()), **files})
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline()), out.read_text(), err.read_text()


def environment() -> dict[str, str]:
    """Of the client: it calls cwltool, which calls node."""
    return os.environ | {"PATH": f"{Path(program('toil', 'python')).parent}:{os.environ['PATH']}"}


def run_program(arguments: list[str], _folder: Path) -> tuple[int, str, str]:
    """Run the client as it comes: its exit code, and what it has written."""
    client = program("toil", "toil-wes-cwl-runner")
    where = {"cwd": suite_folder(), "env": environment()}
    done = subprocess.run([client, *arguments], capture_output=True, text=True, check=False, timeout=500, **where)  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


def problem_of(
    case: dict[str, Any], endpoint: str, folder: Path, run: Callable[[list[str], Path], tuple[int, str, str]]
) -> str:
    """What is wrong with the result of a case; empty if nothing is."""
    job = [case["job"]] if case.get("job") else []
    arguments = [f"--wes_endpoint={endpoint}", f"--outdir={folder}", "--quiet", case["tool"], *job]
    code, output, errors = run(arguments, folder)
    if case.get("should_fail"):
        return "" if code else "it should fail, but does not"
    if code:
        return f"exit code {code}: {errors}"
    try:
        cwltest.compare.compare(case.get("output"), json.loads(output))
    except cwltest.compare.CompareFail as error:
        return f"{error}\n{errors}"
    return ""
