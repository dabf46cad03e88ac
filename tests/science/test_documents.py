"""Every document is valid, explains itself, and names images that this repository builds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cwltest.compare import compare
from ruamel.yaml import YAML

from .conftest import CWL, Run, built_images, file, load

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
def test_an_example_input_lies_beside_it(document: Path) -> None:
    assert (document.parent / "tests" / f"{document.stem}.yml").is_file()


@pytest.mark.parametrize("document", TOOLS, ids=named)
def test_a_tool_says_its_image_its_software_and_what_it_needs(document: Path) -> None:
    content = read(document)
    both = {**content.get("hints", {}), **content["requirements"]}
    assert both["DockerRequirement"]["dockerPull"] in [*built_images(), *LICENSED]
    assert both["SoftwareRequirement"]["packages"]
    assert {"coresMin", "ramMin", "outdirMin"} <= both["ResourceRequirement"].keys()
    assert "ShellCommandRequirement" not in both
    assert "InlineJavascriptRequirement" not in both


def test_the_page_of_workflows_is_that_of_the_documents_and_each_has_its_picture() -> None:
    writer = load("scripts/workflow_docs.py")
    assert writer.PAGE.read_text() == writer.page(), "run: scripts/workflow_docs.py --pictures"
    for workflow in sorted((CWL / "workflows").glob("*.cwl")):
        assert "<svg" in (writer.PICTURES / f"{workflow.stem}.svg").read_text()


@pytest.mark.parametrize("document", sorted((CWL / "workflows").glob("*.cwl")), ids=named)
def test_a_workflow_is_valid_once_it_is_packed(gridcwl: Run, document: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.cwl"
    packed.write_text(gridcwl("--quiet", "--pack", document).stdout)
    checked = gridcwl("--validate", packed)
    assert checked.exit_code == 0, checked.stderr


EXPECTED = [case for case in read(CWL / "tests.yml") if "quick" in case["tags"]]


@pytest.mark.docker
@pytest.mark.data
@pytest.mark.node
@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: case["id"])
def test_an_example_leaves_what_is_expected(tool: Run, data: Callable[[str], Path], case: dict[str, Any]) -> None:
    job = (CWL / case["job"]).resolve()

    def given(value: Any) -> Any:
        if isinstance(value, list):
            return [given(item) for item in value]
        if not isinstance(value, dict):
            return value
        kept = value["location"].removeprefix("../../data/files/")
        return file(job.parent / kept if kept == value["location"] else data(kept))

    outputs = tool(case["tool"], {name: given(value) for name, value in read(job).items()}).outputs
    compare(case["output"], outputs)
