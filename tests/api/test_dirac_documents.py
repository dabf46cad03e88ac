"""Documents of the kinds that dirac-cwl's own examples are: they run as they are, without a warning."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import gridcwl as command

SCHEMA = {"$defs": {"ExecutionHooks": {"type": "object", "properties": {"hook_plugin": {"type": "string"}}}}}
ABOUT = '$namespaces: {dirac: "../../schemas/dirac.json#/$defs/"}\n$schemas: ["../../schemas/dirac.json"]\n'
"""A prefix that is a place in a JSON schema, beside the document."""

HELLO = 'cwlVersion: v1.2\nclass: CommandLineTool\ninputs: []\noutputs: []\nbaseCommand: ["echo", "Hello World"]\n'

SCHEDULED = f"""{HELLO}{ABOUT}
hints:
  - class: dirac:ExecutionHooks
    hook_plugin: "QueryBasedPlugin"
    configuration: {{campaign: PROD5, site: LaPalma}}
  - class: dirac:Scheduling
    platform: x86_64
    priority: 100
    sites: CTAO.DESY-ZN.de, CTAO.PIC.es
"""

KEPT = f"""cwlVersion: v1.2
class: CommandLineTool
inputs: []
outputs: {{made: {{type: File, outputBinding: {{glob: "file1*"}}}}}}
baseCommand: ["touch", "file1"]
{ABOUT}
hints:
  - class: dirac:ExecutionHooks
    hook_plugin: "QueryBasedPlugin"
    output_paths: {{made: "lfn:/test/output"}}
"""

PARALLEL = f"""cwlVersion: v1.2
class: Workflow
inputs: {{word: {{type: string, default: hello}}}}
outputs:
  a_out: {{type: File, outputSource: step_a/out}}
  b_out: {{type: File, outputSource: step_b/out}}
steps:
  step_a: {{run: say.cwl, in: {{label: {{default: a}}, word: word}}, out: [out]}}
  step_b: {{run: say.cwl, in: {{label: {{default: b}}, word: word}}, out: [out]}}
hints:
  - class: dirac:ExecutionHooks
    hook_plugin: "QueryBasedPlugin"
    output_sandbox: ["a_out", "b_out"]
{ABOUT}"""

SAY = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [bash, -lc]
inputs: {label: string, word: string}
outputs: {out: {type: File, outputBinding: {glob: "$(inputs.label).txt"}}}
arguments:
  - |
    echo "$(inputs.word)" > "$(inputs.label).txt"
    date +%s%N >> "$(inputs.label).txt"
"""

CHAIN = f"""cwlVersion: v1.2
class: Workflow
label: "Simulate and gather"
doc: >
  Two tools, each with hints of its own.
{ABOUT}
inputs: {{num-points: {{type: int, default: 3}}}}
outputs: {{total: {{type: File, outputSource: gathering/result}}}}
steps:
  simulate: {{in: {{num-points: num-points}}, out: [parts], run: ./simulate.cwl}}
  gathering: {{in: {{input-data: {{source: simulate/parts}}}}, out: [result], run: ./gather.cwl}}
"""

SIMULATE = """cwlVersion: v1.2
class: CommandLineTool
requirements: {ResourceRequirement: {coresMin: 2, ramMin: 1024}}
hints: {$import: "type_dependencies/transformation/metadata-simulate.yaml"}
inputs: {num-points: {type: int, default: 1000, inputBinding: {position: 1}}}
outputs: {parts: {type: 'File[]', outputBinding: {glob: "result*.sim"}}}
baseCommand: [sh, -c, 'for n in $(seq "$1"); do echo $n > result_$n.sim; done', sh]
"""

GATHER = """cwlVersion: v1.2
class: CommandLineTool
hints: {$import: "type_dependencies/transformation/metadata-gather.yaml"}
inputs: {input-data: {type: 'File[]', inputBinding: {separate: true}}}
outputs: {result: {type: File, outputBinding: {glob: "result*.sim"}}}
baseCommand: [sh, -c, 'cat "$@" > result_final.sim', sh]
"""

GENERATED = r"""id: _:af17d76a-f70e-4d94-9249-d2136b32c7dd
class: Workflow
label: Sim 2016 pp MagUp
cwlVersion: v1.2
hints:
- class: dirac:Production
  input_dataset_plugin: NoOpInputDatasetPlugin
  input_dataset_config: {}
requirements:
- class: MultipleInputFeatureRequirement
- class: StepInputExpressionRequirement
- class: InlineJavascriptRequirement
inputs:
- {id: production-id, default: 12345, type: int}
- {id: prod-job-id, default: 6789, type: int}
- {id: pool-xml-catalog, type: File?}
outputs:
- id: others
  outputSource: [Sim10f_-_2016_-_Beam6500GeV/others, Merge_for_ALLSTREAMS/others]
  linkMerge: merge_flattened
  type: File[]
steps:
- id: Sim10f_-_2016_-_Beam6500GeV
  in:
  - id: output-prefix
    source: [production-id, prod-job-id]
    valueFrom: $(self[0].toString().padStart(8, "0"))_$(self[1].toString().padStart(8, "0"))_1
  - {id: pool-xml-catalog, source: pool-xml-catalog}
  out: [{id: others}, {id: pool-xml-catalog-out}]
  run:
    id: _:0151ff27-3e70-4337-a747-74f5911114c5
    class: CommandLineTool
    inputs:
    - {id: output-prefix, type: string, inputBinding: {prefix: --output-prefix}}
    - {id: pool-xml-catalog, type: File?}
    outputs:
    - {id: others, type: 'File[]', outputBinding: {glob: ['prodConf*.json', 'prmon*']}}
    - {id: pool-xml-catalog-out, type: File, outputBinding: {glob: pool_xml_catalog.xml}}
    requirements:
    - class: InitialWorkDirRequirement
      listing:
      - entryname: conf_1.json
        entry: |-
          {"files": ["$APPCONFIGOPTS/Gauss/x.py"], "n": -1}
      - {entryname: pool_xml_catalog.xml, entry: "$(inputs['pool-xml-catalog'])"}
    baseCommand: [sh, -c]
    arguments: ['echo "$@" > prmon.txt; cp conf_1.json prodConf_1.json; touch pool_xml_catalog.xml', sh]
- id: Merge_for_ALLSTREAMS
  in:
  - {id: pool-xml-catalog, source: Sim10f_-_2016_-_Beam6500GeV/pool-xml-catalog-out}
  out: [others]
  run:
    id: _:803b7c7f-be19-4f49-ad3f-e5c42f3e00ea
    class: CommandLineTool
    inputs: [{id: pool-xml-catalog, type: File}]
    outputs: [{id: others, type: 'File[]', outputBinding: {glob: 'merged*'}}]
    baseCommand: [touch, merged.dst]
"""


@pytest.fixture
def examples(desk):
    """The folders of such a repository."""
    desk.write("schemas/dirac.json", json.dumps(SCHEMA))
    made = {
        "hello.cwl": HELLO, "scheduled.cwl": SCHEDULED, "kept.cwl": KEPT, "parallel.cwl": PARALLEL, "say.cwl": SAY,
        "chain.cwl": CHAIN, "simulate.cwl": SIMULATE, "gather.cwl": GATHER, "generated.cwl": GENERATED,
        "type_dependencies/transformation/metadata-simulate.yaml":
            "- class: dirac:ExecutionHooks\n  configuration: {num_points: 2000}\n",
        "type_dependencies/transformation/metadata-gather.yaml":
            "- class: dirac:ExecutionHooks\n  hook_plugin: QueryBasedPlugin\n  group_size: 2\n",
        "type_dependencies/job/inputs-chain.yaml": "num-points: 4\n",
    }  # fmt: skip
    for name, text in made.items():
        desk.write(f"test/workflows/{name}", text)
    return desk.folder / "test" / "workflows"


def ran(place: Path, *words: str) -> dict:
    done = command("--outdir", "out", *(str(place / word) if "." in word else word for word in words))
    assert done.code == 0, done.stderr
    assert "WARNING" not in done.stderr
    return done.outputs


def text_of(file: dict) -> str:
    return Path(file["path"]).read_text()


def not_so(place: Path, name: str, *words: str) -> list[str]:
    done = command("plan", str(place / name), *words)
    assert done.code == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("not so")]


@pytest.mark.parametrize("name", ["hello.cwl", "scheduled.cwl"])
def test_a_command_without_inputs_or_outputs(examples, name):
    assert ran(examples, name) == {}


def test_hints_of_a_job_are_listed_one_by_one_where_they_have_no_effect(examples):
    listed = " ".join(not_so(examples, "scheduled.cwl"))
    for field in ("hook_plugin", "configuration", "platform", "priority", "sites"):
        assert f" {field} has no effect" in listed


def test_an_output_whose_place_is_a_logical_file_name(examples):
    assert ran(examples, "kept.cwl")["made"]["basename"] == "file1"
    assert "output_paths has no effect without --store rucio" in " ".join(not_so(examples, "kept.cwl"))


def test_two_steps_of_one_tool(examples):
    outputs = ran(examples, "parallel.cwl")
    assert [text_of(outputs[name]).split()[0] for name in ("a_out", "b_out")] == ["hello", "hello"]


def test_tools_whose_hints_are_imported_as_steps_and_alone(examples):
    assert text_of(ran(examples, "chain.cwl", "type_dependencies/job/inputs-chain.yaml")["total"]) == "1\n2\n3\n4\n"
    listed = " ".join(not_so(examples, "chain.cwl"))
    assert "of the step simulate: configuration has no effect" in listed
    assert "of what the step gathering runs: group_size has no effect" in listed
    parts = [word for n in "12345" for word in ("--input-data", f"out/{n}.sim")]
    for n in "12345":
        (Path("out") / f"{n}.sim").write_text(f"{n}\n")
    alone = command("--outdir", "alone", str(examples / "gather.cwl"), *parts)
    assert [text_of(file) for file in alone.outputs["result"]] == ["1\n2\n", "3\n4\n", "5\n"]


def test_a_generated_workflow_with_ids_that_are_no_names_and_a_plugin_without_inputs(examples, monkeypatch):
    class NoOpInputDatasetPlugin:
        def generate_inputs(self, workflow_path, config, output_dir, n_lfns=None, pick_smallest=False):  # noqa: ARG002
            return None, None

    entry = SimpleNamespace(
        name="NoOpInputDatasetPlugin", attr="NoOpInputDatasetPlugin", value="x:y", load=lambda: NoOpInputDatasetPlugin
    )
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [entry] if group.startswith("dirac_cwl") else []
    )
    outputs = ran(examples, "generated.cwl")
    files = {file["basename"]: text_of(file) for file in outputs["others"]}
    assert files["prmon.txt"] == "--output-prefix 00012345_00006789_1\n"
    assert json.loads(files["prodConf_1.json"])["n"] == -1
    assert "merged.dst" in files
