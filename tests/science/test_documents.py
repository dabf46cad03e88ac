"""Every document is valid, explains itself, and names images that this repository builds."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import gridcwl as command
from cwltest.compare import compare
from ruamel.yaml import YAML

from .conftest import ALL_EXAMPLES, CWL, Example, Run, built_images, load, local, showers

TOOLS = sorted((CWL / "tools").glob("*.cwl"))
LICENSED = ("gridcwl/corsika:local", "gridcwl/sim_telarray:local")  # people make these from what they are licensed for
DOCUMENTS = TOOLS + sorted((CWL / "workflows").glob("*.cwl"))


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_it_validates(gridcwl: Run, document: Path) -> None:
    checked = gridcwl("--validate", document)
    assert checked.exit_code == 0, checked.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_it_explains_itself_and_each_input_and_output(document: Path) -> None:
    content = read(document)
    assert content["cwlVersion"] == "v1.2"
    assert content["label"]
    assert content["doc"]
    for parameter in [*content["inputs"].values(), *content["outputs"].values()]:
        assert parameter["label"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_an_example_input_lies_next_to_it(document: Path) -> None:
    assert (document.parent / "tests" / f"{document.stem}.yml").is_file()


@pytest.mark.parametrize("document", TOOLS, ids=named)
def test_a_tool_reports_its_image_its_software_and_what_it_needs(document: Path) -> None:
    content = read(document)
    both = {**content.get("hints", {}), **content["requirements"]}
    assert both["DockerRequirement"]["dockerPull"] in [*built_images(), *LICENSED]
    packages = both["SoftwareRequirement"]["packages"]
    assert packages
    assert all(package["version"] and package["specs"] for package in packages.values())
    assert {"coresMin", "ramMin", "outdirMin"} <= both["ResourceRequirement"].keys()
    assert "ShellCommandRequirement" not in both
    command = content["baseCommand"]
    assert (command if isinstance(command, str) else command[0]) not in ("sh", "bash", "env", "awk", "python3")
    assert "InlineJavascriptRequirement" not in both


def test_the_page_of_workflows_is_that_of_the_documents_and_each_has_its_picture() -> None:
    writer = load("scripts/workflow_docs.py")
    assert writer.PAGE.read_text() == writer.page(), "run: scripts/workflow_docs.py --pictures"
    for workflow in sorted((CWL / "workflows").glob("*.cwl")):
        assert "<svg" in (writer.PICTURES / f"{workflow.stem}.svg").read_text()


WORKFLOWS = sorted((CWL / "workflows").glob("*.cwl"))


def packed(gridcwl: Run, document: Path, folder: Path) -> Path:
    """A workflow as scripts/pack has it in a release."""
    path = folder / "packed" / f"{document.stem}.packed.cwl"
    path.parent.mkdir()
    path.write_text(gridcwl("--quiet", "--pack", document).stdout)
    return path


VALIDATE = """
import sys
from cwltool.main import main
sys.exit(any([main(["--validate", path]) for path in sys.argv[1:]]))
"""
"""cwltool by itself, as nothing of gridcwl has changed it; one start for all documents."""


@pytest.mark.timeout(1200)
def test_workflows_are_valid_once_they_are_packed_for_others_too(tmp_path: Path) -> None:
    alone = []
    for document in WORKFLOWS:
        text = command("--quiet", "--pack", str(document))
        assert text.code == 0, text.stderr
        alone.append(str(tmp_path / f"{document.stem}.packed.cwl"))
        Path(alone[-1]).write_text(text.stdout)
        checked = command("--validate", alone[-1])
        assert checked.code == 0, checked.stderr
    cwltool = [sys.executable, "-c", VALIDATE, *alone]
    theirs = subprocess.run(cwltool, capture_output=True, text=True, check=False)
    assert theirs.returncode == 0, theirs.stderr
    assert theirs.stdout.count("is valid CWL") == len(WORKFLOWS) > 10


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.node
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("name", ["corsika-check", "simulated-sample"])
def test_a_packed_workflow_gives_what_its_parts_give(
    gridcwl: Run,
    example: Example,
    tmp_path: Path,
    name: str,
) -> None:
    document = CWL / "workflows" / f"{name}.cwl"
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(example(f"workflows/tests/{name}.yml")))
    left = []
    for number, each in enumerate((document, packed(gridcwl, document, tmp_path))):
        outputs = gridcwl("--outdir", tmp_path / f"out-{number}", each, inputs).outputs
        # files of HDF5 have the time in them: what they hold is compared
        left.append({key: showers(local(value)) if key == "dl2" else sums(value) for key, value in outputs.items()})
    assert left[0] == left[1]


def sums(value: Any) -> Any:
    """The checksums of an output."""
    return [sums(item) for item in value] if isinstance(value, list) else value["checksum"]


CASES = read(CWL / "tests.yml")
FREE = [case for case in CASES if "licensed" not in case["tags"]]
FORMATS = {".json": "edam:format_3464", ".h5": "edam:format_3590", ".png": "edam:format_3603"}


def test_every_tool_has_an_example_and_what_it_has_to_leave() -> None:
    assert {case["tool"] for case in CASES} >= {f"tools/{tool.name}" for tool in TOOLS}
    for case in CASES:
        assert set(case["output"]) == set(read(CWL / case["tool"])["outputs"]), case["id"]


@pytest.mark.parametrize("document", TOOLS, ids=named)
def test_a_tool_reports_what_its_resources_rest_on(document: Path) -> None:
    content = read(document)
    image = {**content.get("hints", {}), **content["requirements"]}["DockerRequirement"]["dockerPull"]
    licensed = image in LICENSED
    text = "nothing was measured here" if licensed else r"Measured on .*: [\d.]+ s of processor time.* \d+ MiB of"
    found = re.search(text, " ".join(content["doc"].split()))
    assert found
    asked = content["requirements"]["ResourceRequirement"]["ramMin"]
    assert licensed or asked >= 1.25 * int(re.findall(r"(\d+) MiB of", found.group())[-1])


@pytest.mark.parametrize("document", TOOLS, ids=named)
def test_an_output_whose_format_has_a_name_has_it(document: Path) -> None:
    for name, output in read(document)["outputs"].items():
        globbed = output.get("outputBinding", {}).get("glob")
        ending = Path(globbed).suffix if isinstance(globbed, str) else ""
        assert ending not in FORMATS or output["format"] == FORMATS[ending], name


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.node
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "case", [case for case in FREE if ALL_EXAMPLES or "long" not in case["tags"]], ids=lambda case: case["id"]
)
def test_an_example_leaves_what_is_expected(tool: Run, example: Example, case: dict[str, Any]) -> None:
    compare(case["output"], tool(case["tool"], example(case["job"])).outputs)
