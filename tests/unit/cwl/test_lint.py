"""The rules of ``gridcwl lint``: each finds what it is for, with its line, and nothing in a document without it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commandline import gridcwl

from gridcwl.cwl.lint.rules import RULES

ROOT = Path(__file__).parents[3]
CLEAN = """\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  DockerRequirement: {dockerPull: "debian@sha256:0011223344556677889900112233445566778899001122334455667788990011"}
  ResourceRequirement: {coresMin: 1, ramMin: 100}
baseCommand: [sort, --numeric-sort]
inputs:
  numbers: {type: File, inputBinding: {}}
outputs:
  sorted: stdout
stdout: $(inputs.numbers.nameroot).sorted
"""
PINNED = re.search(r"  DockerRequirement.*\n", CLEAN)[0]  # type: ignore[index]
RESOURCES = re.search(r"  ResourceRequirement.*\n", CLEAN)[0]  # type: ignore[index]


def tool(old: str, new: str) -> str:
    assert old in CLEAN
    return CLEAN.replace(old, new, 1)


def with_requirement(text: str) -> str:
    return tool("requirements:\n", f"requirements:\n  {text}\n")


def workflow(steps: str, inputs: str = "{numbers: File}", outputs: str = "[]", more: str = "") -> str:
    return (
        f"cwlVersion: v1.2\nclass: Workflow\nrequirements: {{ScatterFeatureRequirement: {{}}}}\n{more}"
        f"inputs: {inputs}\noutputs: {outputs}\nsteps:\n{steps}"
    )


DEEP = tool("{type: File,", "{type: Directory, loadListing: deep_listing,").replace(".nameroot", ".basename")
SORT = "  sort: {run: tool.cwl, in: {numbers: numbers}, out: [sorted]}\n"
SORTED = "{sorted: {type: File, outputSource: sort/sorted}}"
UNQUOTED = with_requirement("ShellCommandRequirement: {}").replace(
    "inputBinding: {}", "inputBinding: {shellQuote: false}"
)
SCATTERED = "  sort: {run: tool.cwl, scatter: numbers, in: {numbers: numbers}, out: [sorted]}\n"
FOUND = [
    ("GC001", 2, tool("CommandLineTool", "CommandLineTol")),
    ("GC101", 4, tool(PINNED, "  DockerRequirement: {dockerPull: debian}\n")),
    ("GC101", 4, tool(PINNED, "  DockerRequirement: {dockerPull: 'host:5000/debian:latest'}\n")),
    ("GC102", 4, tool(PINNED, "  DockerRequirement: {dockerPull: 'host:5000/debian:13.1'}\n")),
    ("GC103", 1, tool(PINNED, "")),
    ("GC104", 4, tool(PINNED, "  DockerRequirement: {dockerFile: FROM debian, dockerImageId: mine}\n")),
    ("GC110", 4, with_requirement("NetworkAccess: {networkAccess: true}")),
    ("GC110", 4, with_requirement("NetworkAccess: {networkAccess: $(inputs.numbers.size > 3)}")),
    ("GC111", 6, tool("[sort, --numeric-sort]", "[curl, -O]")),
    ("GC120", 6, tool("--numeric-sort", "/home/me/names.txt")),
    ("GC120", 6, tool("--numeric-sort", "--files0-from=/scratch/me/list")),
    ("GC120", 5, tool(PINNED, "").replace("[sort,", "[/software/sorting/sort,")),
    ("GC121", 8, tool("inputBinding: {}", "inputBinding: {}, default: {class: File, location: /data/numbers.txt}")),
    ("GC122", 8, tool("inputBinding: {}", "inputBinding: {}, default: {class: File, path: no-such-file.txt}")),
    ("GC123", 6, tool("--numeric-sort", "--temporary-directory=$HOME")),
    ("GC123", 6, tool("--numeric-sort", "'~/names.txt'")),
    ("GC123", 4, with_requirement("EnvVarRequirement: {envDef: {CACHE: '$HOME/cache'}}")),
    ("GC124", 4, with_requirement("EnvVarRequirement: {envDef: {TMPDIR: /var}}")),
    ("GC124", 4, with_requirement("EnvVarRequirement: {envDef: [{envName: LD_LIBRARY_PATH, envValue: x}]}")),
    ("GC130", 4, with_requirement("InplaceUpdateRequirement: {inplaceUpdate: true}")),
    ("GC131", 4, with_requirement("LoadListingRequirement: {loadListing: deep_listing}")),
    (
        "GC131",
        8,
        DEEP,
    ),
    ("GC140", 5, tool(", ramMin: 100", "")),
    ("GC140", 1, tool(RESOURCES, "")),
    ("GC141", 1, tool(RESOURCES, "")),
    ("GC201", 9, tool("outputs:\n", "  unused: int?\noutputs:\n")),
    ("GC201", 9, tool("outputs:\n", "  unused: {type: {type: record, fields: {a: int}}}\noutputs:\n")),
    ("GC202", 5, workflow(SORT, inputs="{numbers: File,\n  forgotten: int}", outputs=SORTED)),
    ("GC203", 7, workflow(SORT)),
    ("GC204", 7, workflow(SORT.replace("in: {", "in: {nmbers: numbers, "), outputs=SORTED)),
    (
        "GC301",
        9,
        UNQUOTED,
    ),
    (
        "GC301",
        9,
        with_requirement("ShellCommandRequirement: {}").replace(
            "inputs:\n", "arguments:\n- {valueFrom: 'cat $(inputs.numbers.path)', shellQuote: false}\ninputs:\n"
        ),
    ),
    ("GC302", 4, with_requirement("ShellCommandRequirement: {}")),
    ("GC303", 6, tool("[sort, --numeric-sort]", "[sh, -c, 'sort $(inputs.numbers.path)']")),
    ("GC304", 6, tool("--numeric-sort", "'|', uniq")),
    ("GC304", 6, tool("--numeric-sort", "'*.txt'")),
    ("GC401", 4, with_requirement("cwltool:CUDARequirement: {cudaVersionMin: '1', cudaComputeCapability: '1'}")),
    ("GC404", 4, with_requirement("InlineJavascriptRequirement: {}")),
    (
        "GC410",
        6,
        workflow(
            SCATTERED, inputs="{numbers: 'File[]'}", outputs="\n  sorted: {type: 'File[]', outputSource: sort/sorted}"
        ),
    ),
    (
        "GC411",
        7,
        workflow(
            SORT + SORT.replace("sort:", "again:"),
            outputs="\n  one: {type: File, outputSource: sort/sorted}\n  two: {type: File, outputSource: again/sorted}",
        ),
    ),
    ("GC412", 12, CLEAN + "stderr: $(inputs.numbers.nameroot).sorted\n"),
    ("GC413", 10, tool("stdout: $(inputs.numbers.nameroot).sorted\n", "")),
]
NOT_FOUND = [
    ("GC101", tool(PINNED, "  DockerRequirement: {dockerPull: 'host:5000/debian:13.1'}\n")),
    ("GC110", with_requirement("NetworkAccess: {networkAccess: false}")),
    ("GC111", with_requirement("NetworkAccess: {networkAccess: true}").replace("[sort, --numeric-sort]", "[curl, -O]")),
    ("GC120", tool("--numeric-sort", "$(runtime.outdir)/data/x, /usr/bin/env, /dev/null, http://host/data/x")),
    ("GC121", tool("inputBinding: {}", "inputBinding: {}, default: {class: File, location: 'https://host/x'}")),
    ("GC122", tool("inputBinding: {}", "inputBinding: {}, default: {class: File, location: document.cwl}")),
    ("GC123", tool("[sort, --numeric-sort]", "[sh, -c, 'ls $HOME']")),
    ("GC123", tool("--numeric-sort", "$(inputs.numbers.path)")),
    ("GC201", tool("outputs:\n", "  read: int?\noutputs:\n").replace("nameroot)", "nameroot)$(inputs.read)")),
    ("GC201", tool("outputs:\n", "  read: int?\noutputs:\n").replace("--numeric-sort", "\"$(inputs['read'])\"")),
    (
        "GC302",
        UNQUOTED,
    ),
    ("GC303", tool("[sort, --numeric-sort]", "[sh, -c, 'sort \"$1\"', sort]")),
    ("GC304", tool("[sort, --numeric-sort]", "[find, ., -name, '*.txt']")),
    ("GC401", CLEAN + "hints: {'cwltool:CUDARequirement': {cudaVersionMin: '1', cudaComputeCapability: '1'}}\n"),
    ("GC404", with_requirement("InlineJavascriptRequirement: {}").replace(".nameroot)", ".nameroot + 'x')")),
    ("GC103", workflow(SORT, outputs=SORTED, more="hints: {DockerRequirement: {dockerPull: 'a:1'}}\n")),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # what the workflows run: its output has one name, and it has neither image nor resources of its own
    constant = CLEAN.replace("$(inputs.numbers.nameroot).sorted", "sorted.txt").replace(PINNED, "")
    (tmp_path / "tool.cwl").write_text(constant)


def findings(document: str, *options: str) -> list[dict[str, object]]:
    if "cwltool:" in document:
        document += "$namespaces: {cwltool: 'http://commonwl.org/cwltool#'}\n"
    Path("document.cwl").write_text(document)
    found = json.loads(gridcwl("lint", "--format=json", *options, "document.cwl").stdout)
    return [one for one in found if one["file"] == "document.cwl" or "tool.cwl" not in document]


@pytest.mark.parametrize(("code", "line", "document"), FOUND, ids=[f"{code}-{n}" for n, (code, *_) in enumerate(FOUND)])
def test_a_rule_finds_what_it_is_for_at_its_line(code, line, document):
    found = [one for one in findings(document) if one["code"] == code]
    assert [one["line"] for one in found] == [line], found
    assert found[0]["remedy"] == RULES[code].remedy


@pytest.mark.parametrize(("code", "document"), NOT_FOUND, ids=[f"{code}-{n}" for n, (code, _) in enumerate(NOT_FOUND)])
def test_a_rule_does_not_find_what_it_is_not_for(code, document):
    assert [one for one in findings(document) if one["code"] == code] == []
    assert "GC001" not in {one["code"] for one in findings(document)}


def test_every_rule_but_those_of_the_network_and_of_drafts_has_an_example():
    assert {code for code, *_ in FOUND} == set(RULES) - {"GC402", "GC403"}


def test_a_document_without_findings_ends_with_0():
    Path("document.cwl").write_text(CLEAN)
    result = gridcwl("lint", "document.cwl")
    assert (result.code, result.stdout, result.stderr) == (0, "", "")


def test_a_finding_is_reported_with_place_code_and_remedy():
    Path("document.cwl").write_text(tool("--numeric-sort", "/home/me/names.txt"))
    result = gridcwl("lint", "document.cwl")
    assert result.code == 1
    assert result.stdout == (
        "document.cwl:6:21: GC120 document.cwl uses the path /home/me/names.txt\n"
        "    Make the file an input, or put it into the image.\n"
    )
    assert result.stderr == "1 finding\n"


@pytest.mark.parametrize(
    "comment",
    ["  # gridcwl: ignore GC120", "  # gridcwl: ignore", "  # gridcwl: ignore GC101, GC120 (it is mounted there)"],
)
def test_a_comment_silences_its_line(comment):
    document = tool("--numeric-sort]", f"/home/me/names.txt]{comment}")
    assert findings(document) == []


def test_a_comment_alone_silences_the_next_line_and_one_for_the_file_all_of_it():
    document = tool("baseCommand: [sort, --numeric-sort]", "# gridcwl: ignore GC120\nbaseCommand: [sort, /home/me/x]")
    assert findings(document) == []
    assert findings(CLEAN.replace(PINNED, "") + "# gridcwl: ignore-file GC103\n") == []
    assert len(findings(tool("--numeric-sort]", "/home/me/x]  # gridcwl: ignore GC101"))) == 1


def test_rules_are_selected_and_ignored_by_code_or_beginning():
    document = tool(RESOURCES, "").replace(PINNED, "").replace("requirements:\n", "")
    codes = lambda *options: {one["code"] for one in findings(document, *options)}  # noqa: E731
    assert codes() == {"GC103", "GC140", "GC141"}
    assert codes("--select", "GC103") == {"GC103"}
    assert codes("--ignore", "GC14,GC2") == {"GC103"}
    assert codes("--select=GC1", "--ignore=GC140", "--ignore=gc103") == {"GC141"}
    result = gridcwl("lint", "--select", "GC999", "document.cwl")
    assert result.code == 1
    assert "There is no rule GC999" in result.stderr


def test_a_tool_inherits_what_the_workflow_around_it_declares():
    embedded = CLEAN.replace(PINNED, "").replace(RESOURCES, "").replace("requirements:\n", "").partition("\n")[2]
    inner = "".join(f"      {line}\n" for line in embedded.splitlines())
    steps = f"  sort:\n    run:\n{inner}    in: {{numbers: numbers}}\n    out: [sorted]\n"
    assert {one["code"] for one in findings(workflow(steps, outputs=SORTED))} == {"GC103", "GC140", "GC141"}
    more = f"hints:\n{PINNED}{RESOURCES}"
    assert findings(workflow(steps, outputs=SORTED, more=more)) == []


def test_each_process_of_a_graph_is_checked_or_the_one_that_is_named():
    inner = "".join(f"  {line}\n" for line in tool(PINNED, "").splitlines()[1:])
    items = "".join("- " + inner[2:].replace("class:", f"id: {name}\n  class:", 1) for name in ("one", "two"))
    Path("document.cwl").write_text(f"cwlVersion: v1.2\n$graph:\n{items}")
    both = gridcwl("lint", "--select=GC103", "document.cwl#one")
    assert both.stdout.count("GC103") == 1
    assert "one names no container image" in both.stdout


def test_sarif_has_the_shape_that_code_scanning_reads():
    Path("document.cwl").write_text(tool("--numeric-sort", "/home/me/x"))
    log = json.loads(gridcwl("lint", "--format=sarif", "document.cwl").stdout)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "gridcwl"
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    (result,) = run["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "GC120"
    assert result["level"] in ("error", "warning", "note")
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "document.cwl"}, "region": {"startLine": 6, "startColumn": 21}}


def test_the_projects_own_documents_are_clean(monkeypatch):
    """Some of them here; ``make lint``, which comes before the tests, looks at all."""
    monkeypatch.chdir(ROOT)
    assert "gridcwl lint cwl/tools/*.cwl cwl/workflows/*.cwl" in (ROOT / "Makefile").read_text()
    result = gridcwl("lint", "cwl/workflows/corsika-production.cwl", "cwl/tools/ctapipe-process.cwl")
    assert (result.code, result.stdout) == (0, "")


def test_the_reference_page_has_every_rule():
    page = " ".join((ROOT / "docs" / "reference" / "lint.md").read_text("utf-8").split())
    headings = re.findall(r"### (GC\d{3})", page)
    assert headings == list(RULES)
    for rule in RULES.values():
        assert f"({rule.level}). {rule.reason} {rule.remedy}" in page, rule.code
