"""Another distribution's backend and store: installed into a fresh environment, they are found, configured and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from documents import on_command_line, step, tool, workflow
from waiting import until

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "plugin"
TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [echo, hello]
inputs: []
stdout: out.txt
outputs: {out: stdout}
"""
COPY = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [cat]
inputs: {file: {type: File, inputBinding: {}}}
stdout: copy.txt
outputs: {out: stdout, same: {type: File, outputBinding: {outputEval: $(inputs.file)}}}
"""


GATED = workflow(
    {"folder": "string", "numbers": "int[]"},
    {"said": {"type": "File[]", "outputSource": "shard/said"}},
    shard=step(
        tool(
            *("sh", "-c", 'printf x >> "$0/starts-$1"; until [ -e "$0/open-$1" ]; do sleep 0.05; done; echo "$1"'),
            inputs={"folder": on_command_line("string"), "number": on_command_line("int", position=2)},
            outputs={"said": "stdout"},
            stdout="said.txt",
        ),
        "said", scatter="number", folder="folder", number="numbers",
    ),
)  # fmt: skip
"""A shard ends when a file of its number is there."""


class Environment:
    """A fresh environment with the wheels of gridcwl and of the plugin."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bin = folder / "venv" / "bin"
        hidden = ("GRIDCWL", "VIRTUAL_ENV", "PYTHON", "UV_")
        own = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
        self._variables = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | own

    def install(self) -> None:
        uv = Path(sys.executable).with_name("uv")
        cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
        settings = {
            "UV_CACHE_DIR": cache,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_SYSTEM_CERTS": "1",
            "UV_NO_PROGRESS": "1",
        }
        locked = ["--constraints", ROOT / "requirements.lock", "--build-constraints", ROOT / "requirements.lock"]
        environment = self._folder / "venv"
        self._call([uv, "venv", "--quiet", "--python", sys.executable, environment], settings)
        install = [uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python", *locked]
        self._call([*install, ROOT, PLUGIN, "pytest"], settings)

    def run(self, *words: str | Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        return self._call([self._bin / words[0], *words[1:]], variables, code)

    def _call(
        self, command: list[str | Path], variables: dict[str, str], code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self._folder, env=self._variables | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("plugin"))
    made.install()
    return made


def test_a_plugin_appears_in_the_help_with_its_settings(environment: Environment) -> None:
    text = " ".join(environment.run("gridcwl", "--help").stdout.split())
    assert "--backend {local,dask,dirac,diracx,pool,toy}" in text
    assert "toy: worker processes of this machine" in text
    assert "--toy-workers N toy jobs that run at a time (default: 2)" in text
    assert "--store {local,rucio,toy}" in text
    assert "--toy-folder DIR folder of the store's files" in text


def test_a_plugin_s_backend_runs_a_document(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "tool.cwl").write_text(TOOL)
    (tmp_path / "config.toml").write_text('backend = "toy"\n[toy]\nworkers = 1\n')
    words = ["--no-container", "--outdir", tmp_path / "out", tmp_path / "tool.cwl"]
    done = environment.run("gridcwl", *words, GRIDCWL_CONFIG=str(tmp_path / "config.toml"), GRIDCWL_TOY_WORKERS="3")
    assert Path(json.loads(done.stdout)["out"]["path"]).read_text() == "hello\n"


def test_a_plugin_s_sites_are_listed(environment: Environment) -> None:
    listed = environment.run("gridcwl", "sites", "--backend", "toy").stdout
    assert listed.splitlines()[-1].split()[:4] == ["toy", "box", "Active", "worker"]


def test_a_run_reads_its_inputs_from_a_plugin_s_store_and_keeps_its_outputs_there(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "hello.cwl").write_text(TOOL)
    (tmp_path / "copy.cwl").write_text(COPY)
    words = ["gridcwl", "--store", "toy", "--toy-folder", tmp_path / "toy", "--no-container"]
    first = environment.run(*words, "--outdir", tmp_path / "first", tmp_path / "hello.cwl")
    made = json.loads(first.stdout)["out"]
    assert made["location"].startswith("toy:///")
    assert Path(made["path"]).read_text() == "hello\n"
    second = environment.run(*words, "--outdir", tmp_path / "second", tmp_path / "copy.cwl", "--file", made["location"])
    copied = json.loads(second.stdout)
    assert "WARNING" not in second.stderr
    assert Path(copied["out"]["path"]).read_text() == "hello\n"
    assert copied["out"]["location"] != made["location"]
    assert copied["same"]["location"] == made["location"]
    assert Path(copied["same"]["path"]).read_text() == "hello\n"
    kept = [path.read_text() for path in (tmp_path / "toy").rglob("*") if path.is_file()]
    assert kept == ["hello\n", "hello\n"]


@pytest.mark.parametrize("backend", ["local", "toy"])
def test_a_run_with_a_plugin_s_store_is_cancelled_and_resumed(
    environment: Environment, tmp_path: Path, backend: str
) -> None:
    (tmp_path / "gated.cwl").write_text(json.dumps(GATED))
    (tmp_path / "in.json").write_text(json.dumps({"folder": str(tmp_path), "numbers": [1, 2]}))
    (tmp_path / "open-1").touch()
    words = ["--no-container", "--backend", backend, "--store", "toy", "--toy-folder", tmp_path / "toy"]
    documents = [tmp_path / "gated.cwl", tmp_path / "in.json"]
    started = environment.run("gridcwl", "--detach", *words, "--outdir", tmp_path / "out", *documents)
    run = started.stdout.strip()

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(environment.run("gridcwl", "status", "--json", run).stdout)
        return found

    until(lambda: sum(step["done"] for step in status()["steps"]) == 1)
    environment.run("gridcwl", "cancel", run)
    assert status()["state"] == "cancelled"
    assert not (tmp_path / "toy").exists()
    (tmp_path / "open-2").touch()
    outputs = json.loads(environment.run("gridcwl", "resume", run).stdout)["said"]
    assert [Path(file["path"]).read_text() for file in outputs] == ["1\n", "2\n"]
    assert all(file["location"].startswith("toy:///") for file in outputs)
    assert (tmp_path / "starts-1").read_text() == "x", "what had ended does not run again"
    again = json.loads(environment.run("gridcwl", "resume", run).stdout)["said"]
    assert [file["location"] for file in again] == [file["location"] for file in outputs]
    kept = sorted(path.read_text() for path in (tmp_path / "toy").rglob("*") if path.is_file())
    assert kept == ["1\n", "2\n"]


def test_a_document_that_needs_containers_is_refused_by_a_backend_without(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "tool.cwl").write_text(TOOL + "requirements: {DockerRequirement: {dockerPull: debian}}\n")
    done = environment.run("gridcwl", "--backend", "toy", "--outdir", tmp_path / "out", tmp_path / "tool.cwl", code=1)
    assert "needs a container (DockerRequirement), and the backend toy has none" in done.stderr
    assert "Add --no-container" in done.stderr


def test_an_input_that_a_plugin_s_store_does_not_have_is_an_error(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "copy.cwl").write_text(COPY)
    words = ["--store", "toy", "--toy-folder", tmp_path / "toy", "--no-container", tmp_path / "copy.cwl"]
    done = environment.run("gridcwl", *words, "--file", "toy:///run/gone.txt", code=1)
    assert "gone.txt cannot be read: No such file or directory" in done.stderr


def test_an_input_of_a_plugin_s_store_that_was_not_chosen_names_the_option(
    environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "copy.cwl").write_text(COPY)
    done = environment.run("gridcwl", "--no-container", tmp_path / "copy.cwl", "--file", "toy:///run/x.txt", code=1)
    assert "is not on this machine, but in toy" in done.stderr
    assert "Give --store toy" in done.stderr


def test_the_plugin_s_backend_and_store_pass_the_contract_suites(environment: Environment) -> None:
    options = ["-q", "-x", "-p", "no:cacheprovider", "-c", PLUGIN / "pyproject.toml"]
    environment.run("python", "-B", "-m", "pytest", *options, PLUGIN / "suite")
