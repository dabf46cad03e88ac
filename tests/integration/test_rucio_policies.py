"""The policies of ESCAPE and CTAO, really installed in servers of their own: names that they allow, places of files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, workflow

from gridcwl.testbed.service import InstallOptions
from gridcwl.testbed.testbed import Testbed

pytestmark = pytest.mark.rucio

NAMES = {"escape": (), "ctao": ("--rucio-name", "/ctao.org/{scope}/{run}/{step}")}


@pytest.fixture(scope="module", params=["escape", "ctao"])
def policed(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="gridcwl-policy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        testbed = Testbed(Path(folder, "testbed"), InstallOptions(services=("rucio",), policy=request.param))
        testbed.up(lambda _text: None)
        try:
            yield request.param, testbed.service("rucio")
        finally:
            testbed.down(lambda _text: None, wipe=True)


@pytest.fixture
def logged_in(policed: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    from rucio.common.config import clean_cached_config

    for name, value in policed[1].clients.exports("runner").items():
        monkeypatch.setenv(name, value)
    clean_cached_config()
    yield policed
    clean_cached_config()


DOCUMENT = workflow(
    {"word": "string"}, {"all": {"type": "File", "outputSource": "join/all"}},
    **{
        "say it": step(
            shell('printf "$0" > "größe #1 (a+b).txt"', inputs={"word": on_command_line("string")},
                  outputs={"said": glob("*.txt")}), "said", word="word",
        ),
        "join": step(
            tool("sh", "-c", 'cat "$0"; basename "$0"', inputs={"file": on_command_line("File")},
                 outputs={"all": "stdout"}, stdout="all.txt"), "all", file="say it/said",
        ),
    },
)  # fmt: skip


def test_a_run_has_names_that_the_policy_allows_and_tools_see_their_own(desk: Desk, logged_in: tuple[str, Any]) -> None:
    policy, _ = logged_in
    path = desk.write("doc.cwl", DOCUMENT)
    given = desk.write("in.json", {"word": "x"})
    words = ("--quiet", "--no-container", "--store", "rucio", *NAMES[policy], "--outdir", str(desk.outdir), path, given)
    result = gridcwl(*words)
    assert result.code == 0, result.stderr
    assert (desk.outdir / "all.txt").read_text() == "xgröße #1 (a+b).txt\n"
    begin = "/ctao.org/user/r/runner/" if policy == "ctao" else ""
    assert result.outputs["all"]["location"].startswith(f"rucio://user.runner/{begin}")


def test_names_that_the_policy_does_not_allow_are_reported_before_any_job_runs(
    desk: Desk, logged_in: tuple[str, Any]
) -> None:
    policy, _ = logged_in
    template = "{run}/{step}" if policy == "ctao" else "/ctao.org/{scope}/{run}/{step}"
    ran = desk.folder / "ran"
    path = desk.write("doc.cwl", shell(f"touch {ran}; printf x > a", outputs={"a": glob("a")}))
    given = desk.write("in.json", {})
    words = ("--quiet", "--no-container", "--store", "rucio", "--rucio-name", template, path, given)
    result = gridcwl(*words)
    assert result.code == 1
    assert not ran.exists()
    assert "does not match '^" in result.stderr
    assert f"--rucio-name; it is '{template}' now" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 2000


def test_a_dataset_for_outputs_that_the_policy_does_not_allow_is_reported_before_any_job_runs(
    desk: Desk, logged_in: tuple[str, Any]
) -> None:
    policy, _ = logged_in
    chosen = "user.runner:results" if policy == "ctao" else "user.runner:/ctao.org/results"
    ran = desk.folder / "ran"
    path = desk.write("doc.cwl", shell(f"touch {ran}; printf x > a", outputs={"a": glob("a")}))
    words = ("--quiet", "--no-container", "--store", "rucio", *NAMES[policy], "--output-dataset", chosen, path)
    result = gridcwl(*words)
    assert result.code == 1
    assert not ran.exists()
    assert f"does not allow the name {chosen}" in result.stderr
    assert "--output-dataset" in result.stderr
