"""What the science tests share: the command, the data, the engine, and modules that live outside of the package."""

from __future__ import annotations

import fcntl
import functools
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from gridcwl.testbed.dirac.clients import DiracClients
    from gridcwl.testbed.dirac.service import DiracService
    from gridcwl.testbed.rucio.service import RucioService

CHECKOUT = Path(__file__).resolve().parents[2]
CWL = CHECKOUT / "cwl"
CTAPIPE = "gridcwl/ctapipe:0.32.0"  # CTAO's own documents name no image
IMAGES = CHECKOUT / "containers" / "images.txt"
ALL_EXAMPLES = os.environ.get("GRIDCWL_ALL_EXAMPLES") == "1"
"""Also what takes minutes; see the targets test-cta and test-radio."""


@functools.cache
def load(path: str) -> ModuleType:
    """Import a script of the checkout by its path."""
    source = CHECKOUT / path
    spec = importlib.util.spec_from_file_location(source.stem, source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.stem] = module  # dataclasses look their module up
    sys.path.insert(0, str(source.parent))  # scripts import what is next to them
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(source.parent))
    return module


@pytest.fixture(scope="session")
def fetch() -> ModuleType:
    return load("cwl/data/fetch.py")


@pytest.fixture(scope="session")
def corsika_check() -> ModuleType:
    return load("containers/dirac-corsika/corsika_check.py")


@pytest.fixture(scope="session")
def data(fetch: ModuleType) -> Callable[[str], Path]:
    """The path of a file of the manifest, fetched if need be."""
    manifest = fetch.read_manifest()

    def find(name: str) -> Path:
        try:
            return fetch.find(name, manifest)
        except fetch.DataError as error:
            if os.environ.get("GRIDCWL_NO_DATA") == "1":
                pytest.skip(str(error))
            pytest.fail(f"{error}\n(GRIDCWL_NO_DATA=1 leaves out what needs it)", pytrace=False)

    return find


def built_images() -> list[str]:
    """The names of the images that this repository builds without a licence."""
    lines = (line.partition("#")[0].split() for line in IMAGES.read_text().splitlines())
    return [words[0] for words in lines if words]


@dataclass(frozen=True)
class Finished:
    """A run of the command that has ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def outputs(self) -> dict[str, Any]:
        assert self.exit_code == 0, self.stderr
        return json.loads(self.stdout)


def local(file: dict[str, Any]) -> Path:
    """The path of an output File."""
    return Path(file["location"].removeprefix("file://"))


_SHOWERS = """\
import json, tables
table = tables.open_file("/events.h5").root.simulation.event.subarray.shower
print(json.dumps([[int(row["obs_id"]), int(row["event_id"]), float(row["true_energy"])] for row in table]))
"""


def showers(path: Path) -> dict[tuple[int, int], float]:
    """Run, event and true energy of the triggered showers in a file of ctapipe's, as its own image reads it."""
    command = ["docker", "run", "--rm", "--net=none", f"--volume={path}:/events.h5:ro", CTAPIPE]
    done = subprocess.run([*command, "python3", "-c", _SHOWERS], capture_output=True, text=True, check=True)
    return {(run, event): energy for run, event, energy in json.loads(done.stdout)}


Run = Callable[..., Finished]
Grid = Callable[..., tuple[dict[str, Any], int]]


@pytest.fixture(scope="session")
def gridcwl() -> Run:
    """The console script beside this Python; GRIDCWL names another runner."""
    command = shlex.split(os.environ.get("GRIDCWL", str(Path(sys.executable).with_name("gridcwl"))))

    def run(*arguments: object) -> Finished:
        done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def images() -> None:
    """The engine, with the images that the tools name."""
    if os.environ.get("GRIDCWL_NO_DOCKER") == "1":
        pytest.skip("GRIDCWL_NO_DOCKER=1")
    done = subprocess.run(["docker", "image", "inspect", *built_images()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{done.stderr.strip()}\nRun: make images-demo (GRIDCWL_NO_DOCKER=1 does without)", pytrace=False)


@pytest.fixture
def tool(gridcwl: Run, tmp_path: Path, request: pytest.FixtureRequest) -> Run:
    """Run a document of cwl/ with an input object, into a folder of this test."""
    request.getfixturevalue("images")

    def run(document: str, inputs: dict[str, Any]) -> Finished:
        job = tmp_path / "inputs.json"
        job.write_text(json.dumps(inputs))
        return gridcwl("--outdir", tmp_path / "out", CWL / document, job)

    return run


def file(path: Path) -> dict[str, str]:
    """An input File."""
    return {"class": "File", "location": path.resolve().as_uri()}


SMALL = {"gammas": 400, "protons": 400, "electrons": 150}  # showers, each used twice


@dataclass(frozen=True)
class Demo:
    """What scripts/demo-local or scripts/demo-local-radio left."""

    folder: Path
    stdout: str
    outputs: dict[str, Any]

    @property
    def page(self) -> str:
        (page,) = self.folder.glob("*.html")
        return page.read_text()

    def paths(self, output: str) -> list[Path]:
        return [local(item) for item in self.outputs[output]]


SMALL_RADIO = {"frequencies": [134.0, 134.1953125], "times": 30}


def small_inputs(name: str, folder: Path, small: dict[str, Any]) -> Path:
    """A demo's input object at a small size."""
    beside = CWL / "workflows" / "tests"

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(item) for item in value]
        return file(beside / value["location"]) if isinstance(value, dict) else value

    given = YAML(typ="safe").load(beside / f"{name}.yml")
    path = folder / "inputs.json"
    path.write_text(json.dumps({name: absolute(value) for name, value in given.items()} | small))
    return path


def run_demo(script: str, name: str, small: dict[str, Any], factory: pytest.TempPathFactory) -> Demo:
    """A demo at a small size, made once for all processes of this test session."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    text = folder / "stdout.txt"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not text.exists():
            environment = os.environ | {
                "PYTHON": sys.executable,
                "GRIDCWL": str(Path(sys.executable).with_name("gridcwl")),
            }
            command = [CHECKOUT / "scripts" / script, folder, small_inputs(name, folder, small)]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            text.write_text(done.stdout)
    return Demo(folder, text.read_text(), json.loads((folder / "outputs.json").read_text()))


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """From showers to an IRF."""
    request.getfixturevalue("images")
    return run_demo("demo-local", "cta-irf", SMALL, tmp_path_factory)


@pytest.fixture(scope="session")
def radio(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A LOFAR observation, from stations to fluxes."""
    request.getfixturevalue("images")
    return run_demo("demo-local-radio", "lofar", SMALL_RADIO, tmp_path_factory)


Example = Callable[[str], dict[str, Any]]
_MADE = re.compile(r"^# made by: gridcwl --outdir cwl/data/files cwl/(\S+) cwl/(\S+)$", re.M)


@pytest.fixture
def example(gridcwl: Run, data: Callable[[str], Path], tmp_path: Path, request: pytest.FixtureRequest) -> Example:
    """The input object of an example: its files are of the manifest, or made as the object says."""

    def folder_of(text: str) -> Path:
        made = _MADE.search(text)
        if made is None:
            return tmp_path
        document, job = made.groups()
        if demo := {"workflows/cta-irf.cwl": "demo", "workflows/lofar.cwl": "radio"}.get(document):
            return request.getfixturevalue(demo).folder / "files"
        inputs, folder = tmp_path / "made.json", tmp_path / "made"
        inputs.write_text(json.dumps(given(job)))
        assert gridcwl("--outdir", folder, CWL / document, inputs).outputs
        return folder

    def given(job: str) -> dict[str, Any]:
        path = CWL / job
        made = folder_of(path.read_text())

        def found(value: Any) -> Any:
            if isinstance(value, list):
                return [found(item) for item in value]
            if not isinstance(value, dict):
                return value
            kept = value["location"].removeprefix("../../data/files/")
            if kept == value["location"]:
                return file(path.parent / kept)
            return file(made / kept if (made / kept).exists() else data(kept)) | {"class": value["class"]}

        return {name: found(value) for name, value in YAML(typ="safe").load(path).items()}

    return given


@pytest.fixture(scope="session")
def ctaos_workflows() -> Path:
    """The folder of CTAO's own, as published: fetched from PyPI once."""
    fetched = load("cwl/data/ctao_datapipe.py")
    try:
        return fetched.workflows()
    except (OSError, fetched.FetchError) as error:
        pytest.skip(f"CTAO's workflows could not be fetched from PyPI: {error}")


def irf_inputs(demo: Demo) -> dict[str, Any]:
    """The demo's events as the inputs of CTAO's workflow_optimize_and_irf."""
    kinds = [f"{kind}_{use}" for use in ("optimize", "irf") for kind in ("gammas", "protons", "electrons")]
    config = file(CWL / "config" / "irf.yml")
    events = dict(zip(kinds, (file(path) for path in demo.paths("events")), strict=True))
    return events | {"optimize_config": config, "irf_config": config, "analysis_name": "four-telescopes"}


@pytest.fixture
def grid(
    dirac: DiracService,
    rucio: RucioService,
    dirac_clients: DiracClients,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Grid:
    """Run a document at DIRAC: its outputs, and how many jobs DIRAC says are Done."""
    request.getfixturevalue("images")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GRIDCWL_")}
    environment = {**kept, **rucio.clients.exports("runner"), **dirac.exports()}

    def run(document: Path, inputs: dict[str, Any], *options: str) -> tuple[dict[str, Any], int]:
        job, state = tmp_path / "inputs.json", tmp_path / "state"
        job.write_text(json.dumps(inputs))
        words = ["--state-dir", str(state), "--backend", "dirac", "--store", "rucio", "--outdir", str(tmp_path / "out")]
        command = [sys.executable, "-m", "gridcwl", *words, *options, str(document), str(job)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder,) = (state / "runs").iterdir()
        answer = dirac_clients.monitoring().getJobs({"JobGroup": folder.name, "Status": "Done"})
        return json.loads(done.stdout), len(answer["Value"])

    return run


def here(item: dict[str, Any]) -> Path:
    """The copy of an output on this machine; the output itself is in Rucio."""
    assert item["location"].startswith("rucio://")
    return Path(item["path"]) if "path" in item else local(item)
