"""The same document through ``cwltool --provenance`` and ``runcrate convert``, and through ``gridcwl --provenance``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, tool, workflow
from rocrate_tools import Tools, graph_of

Graph = dict[str, dict[str, Any]]


def ids(value: Any) -> list[str]:
    return [one["@id"] for one in (value if isinstance(value, list) else [value] if value else [])]


def value_of(graph: Graph, id_: str) -> Any:
    """What an entity stands for: the bytes of a File, the files of a Collection, the value of a PropertyValue."""
    entity = graph[id_]
    kinds = entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]
    if "File" in kinds:
        return entity["sha1"]
    if "Collection" in kinds:
        return tuple(sorted(value_of(graph, part) for part in ids(entity["hasPart"])))
    if "Dataset" in kinds:
        return tuple(sorted(str(value_of(graph, part)) for part in ids(entity.get("hasPart"))))
    value = entity["value"]
    items = value if isinstance(value, list) else [value]
    return tuple(value_of(graph, item["@id"]) if isinstance(item, dict) else str(item) for item in items)


def bound(graph: Graph, action: dict[str, Any], key: str, parameters: set[str]) -> frozenset[tuple[str, Any]]:
    """The parameters of an action with their values."""
    return frozenset(
        (parameter, value_of(graph, id_))
        for id_ in ids(action.get(key))
        for parameter in parameters.intersection(ids(graph[id_].get("exampleOfWork")))
    )


def actions(graph: Graph) -> set[tuple[Any, ...]]:
    """What ran, on what, with what result."""
    found = set()
    for action in graph.values():
        if action["@type"] == "CreateAction":
            tool_ = graph[action["instrument"]["@id"]]
            inputs, outputs = (set(ids(tool_.get(key))) for key in ("input", "output"))
            found.add((tool_["@id"], bound(graph, action, "object", inputs), bound(graph, action, "result", outputs)))
    return found


def parameters(graph: Graph) -> set[tuple[str, str, str]]:
    return {(one["@id"], str(one["additionalType"]), str(one.get("multipleValues"))) for one in graph.values()
            if one["@type"] == "FormalParameter"}  # fmt: skip


def connections(graph: Graph) -> set[tuple[str, str]]:
    return {(one["sourceParameter"]["@id"], one["targetParameter"]["@id"]) for one in graph.values()
            if one["@type"] == "ParameterConnection"}  # fmt: skip


def steps(graph: Graph) -> set[tuple[str, str, str, int]]:
    """Steps with their tools, positions, and how many actions each controls."""
    controlled = {one["instrument"]["@id"]: len(ids(one["object"])) for one in graph.values()
                  if one["@type"] == "ControlAction"}  # fmt: skip
    return {(one["@id"], one["workExample"]["@id"], one["position"], controlled[one["@id"]])
            for one in graph.values() if one["@type"] == "HowToStep"}  # fmt: skip


def test_actions_parameters_and_files_are_those_of_cwltool_and_runcrate(desk: Desk, tools: Tools):
    desk.write("a.txt", "hello\n")
    desk.write("b.txt", "wonderful\n")
    desk.write("head.txt", "first line\n")
    desk.write("count.sh", 'wc -c < "$1"; echo "$2"\n')
    count = tool(
        "sh",
        inputs={
            "script": on_command_line("File", position=0),
            "word": on_command_line("File", position=1),
            "times": on_command_line("int", position=2),
            "unused": "string?",
        },
        outputs={"counted": "stdout"},
        stdout="$(inputs.word.nameroot).count",
        doc="Counts bytes",
    )
    desk.write("count.cwl", count)
    join = shell(
        'cat "$@" > all.txt', inputs={"parts": on_command_line("File[]")}, outputs={"all": glob("all.txt")},
        arguments=[{"valueFrom": "--", "position": -1}],
    )  # fmt: skip
    join["arguments"] = []
    join["baseCommand"] = ["sh", "-c", 'cat "$@" > all.txt', "join"]
    desk.write("join.cwl", join)
    outer = workflow(
        {"words": "File[]", "times": "int", "names": "string[]", "fast": "boolean", "size": "long"},
        {
            "all": {"type": "File", "outputSource": "join/all"},
            "counts": {"type": "File[]", "outputSource": "count/counted"},
        },
        count=step("count.cwl", "counted", scatter="word", word="words", times="times",
                   script={"default": {"class": "File", "location": "count.sh"}}),
        join=step("join.cwl", "all", parts="count/counted"),
    )  # fmt: skip
    desk.write("wf.cwl", outer)
    words = '[{"class": "File", "path": "a.txt"}, {"class": "File", "path": "b.txt"}]'
    desk.write("in.json", f'{{"words": {words}, "times": 3, "names": ["x", "y"], "fast": true, "size": 5}}')
    cwltool = Path(sys.executable).parent / "cwltool"
    subprocess.run(
        [cwltool, "--quiet", "--no-container", "--outdir", "theirs", "--provenance", "bag", "wf.cwl", "in.json"],
        check=True, capture_output=True,
    )  # fmt: skip
    tools.runcrate("convert", "bag", "-o", "converted")
    ended = gridcwl("--quiet", "--no-container", "--outdir", "out", "--provenance", "crate", "wf.cwl", "in.json")
    assert ended.code == 0, ended.stderr
    theirs, ours = graph_of(desk.folder / "converted"), graph_of(desk.folder / "crate")
    assert actions(ours) == actions(theirs)
    assert len(actions(ours)) == 4
    assert parameters(ours) == parameters(theirs)
    assert connections(ours) == connections(theirs)
    assert steps(ours) == steps(theirs)
    assert {one["sha1"] for one in theirs.values() if "File" in one["@type"] and "sha1" in one} == {
        one["sha1"] for id_, one in ours.items() if one["@type"] == "File" and not id_.startswith("primary-")
    }
