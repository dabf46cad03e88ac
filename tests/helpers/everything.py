"""A workflow that has one of everything that a crate has to describe."""

from __future__ import annotations

from documents import Desk, expression, glob, on_command_line, shell, step, tool, workflow

COUNT = {
    "class": "CommandLineTool",
    "baseCommand": ["sh", "-c"],
    "arguments": ['wc -c < "$0"; echo "$1"', "$(inputs.word.path)", "$(inputs.times)"],
    "inputs": {"word": "File", "times": "int"},
    "outputs": {"counted": "stdout"},
    "stdout": "$(inputs.word.nameroot).count",
}


def write_everything(desk: Desk) -> None:
    """The documents, the files and the input object ``in.json`` of ``wf.cwl``."""
    desk.write("join.sh", 'cat "$@"\n')
    desk.write("a word.txt", "hello\n")
    desk.write("b.txt", "wonderful\n")
    desk.write("same/b.txt", "other\n")
    desk.write("indexed.fa", "ACGT\n")
    desk.write("indexed.fa.fai", "1 4\n")
    desk.write("tree/one/two.txt", "2\n")
    desk.write("tree/three.txt", "3\n")
    inner = workflow(
        {"word": "File", "times": "int"},
        {"counted": {"type": "File", "outputSource": "count/counted"}},
        count=step(COUNT, "counted", word="word", times="times"),
    )
    desk.write("sub.cwl", inner)
    join = tool(
        "sh",
        inputs={"script": on_command_line("File", position=0), "parts": on_command_line("File[]")},
        outputs={"all": "stdout"},
        stdout="all joined.txt",
        label="Join files",
        doc="Writes them one after another.",
    )
    join["hints"] = {"SoftwareRequirement": {"packages": [{"package": "dash", "version": ["0.5"]}]}}
    desk.write("join.cwl", join)
    indexed = {"type": "File", "secondaryFiles": [{"pattern": ".fai", "required": True}]}
    keep = shell(
        'mkdir kept && cp "$0" kept/ && cp -r "$1" kept/tree && cp "$0" out.fa && cp "$0.fai" out.fa.fai',
        inputs={
            "fasta": {**indexed, "inputBinding": {"position": 1}},
            "tree": on_command_line("Directory", position=2),
        },
        outputs={
            "kept": glob("kept", "Directory"),
            "fasta_out": {**glob("out.fa"), "secondaryFiles": [{"pattern": ".fai", "required": True}]},
        },
    )
    desk.write("keep.cwl", keep)
    scale = expression("${ return {'doubled': inputs.times * 2}; }", {"times": "int"}, {"doubled": "int"})
    desk.write("scale.cwl", scale)
    never = tool("false", inputs={"text": on_command_line("string")}, outputs={})
    desk.write("never.cwl", never)
    settings = {"name": "settings", "type": "record",
                "fields": [{"name": "level", "type": "int"}, {"name": "note", "type": ["null", "string"]}]}  # fmt: skip
    outer = workflow(
        {
            "words": {"type": "File[]", "doc": "What to count"},
            "times": "int",
            "fasta": indexed,
            "tree": "Directory",
            "settings": {"type": settings},
            "mode": {"type": {"type": "enum", "symbols": ["fast", "slow"]}, "default": "fast"},
            "names": "string[]",
            "factor": ["null", "double"],
            "verbose": "boolean",
        },
        {
            "all": {"type": "File", "outputSource": "join/all"},
            "counts": {"type": "File[]", "outputSource": "sub/counted"},
            "kept": {"type": "Directory", "outputSource": "keep/kept"},
            "fasta_out": {**indexed, "outputSource": "keep/fasta_out"},
            "doubled": {"type": "int", "outputSource": "scale/doubled"},
        },
        scale=step("scale.cwl", "doubled", times="times"),
        sub=step("sub.cwl", "counted", scatter="word", word="words", times="scale/doubled"),
        join=step("join.cwl", "all", parts="sub/counted", script={"default": {"class": "File", "location": "join.sh"}}),
        keep=step("keep.cwl", "kept fasta_out", fasta="fasta", tree="tree"),
        never=step("never.cwl", "", when="$(inputs.verbose && false)", text={"default": "x"}, verbose="verbose"),
    )
    outer["label"] = "Everything"
    desk.write("wf.cwl", outer)
    desk.write("in.json", INPUTS)


INPUTS = """{
  "words": [{"class": "File", "path": "a word.txt"}, {"class": "File", "path": "b.txt"},
            {"class": "File", "path": "same/b.txt"}],
  "times": 3,
  "fasta": {"class": "File", "path": "indexed.fa", "secondaryFiles": [{"class": "File", "path": "indexed.fa.fai"}]},
  "tree": {"class": "Directory", "path": "tree"},
  "settings": {"level": 2, "note": "quick"},
  "names": ["x", "y"],
  "verbose": true
}
"""
