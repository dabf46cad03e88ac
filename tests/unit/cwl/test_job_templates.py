"""Jobs by the template of their tool: the same as cwltool's own, and only where that is certain."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest
from comparing_resolver import state, text
from documents import glob, tool

from gridcwl.cwl import resolver as resolvers
from gridcwl.cwl.resolver import JobResolver
from gridcwl.cwl.tool import collect, resolve
from gridcwl.errors import GridCWLError, OutputError
from gridcwl.model import JobId, JobResult, Outcome, ProducedFile, RunId
from gridcwl.model.codec import to_json

WAY = {"job_id": JobId("run-1-1"), "run": RunId("run"), "name": "step", "toplevel": False}
FILE = {"class": "File", "location": "file:///data/a.b.h5", "basename": "a.b.h5", "size": 3, "checksum": "sha1$00"}
REMOTE = {"class": "File", "location": "srm://host/x%20y.fits", "basename": "x_y.fits", "size": 1}


OBJECT = base64.b64encode(b'{"o": {"class": "File", "path": "b.txt"}}').decode()


class Tool:
    """One tool in one run, with cwltool's way counted."""

    def __init__(self, bench: Any, document: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        session = bench.open(document)
        self.handle, self.context = session.graph.handle, session.context
        self.resolver = JobResolver(session.context)
        self.by_cwltool = 0
        monkeypatch.setattr(resolvers, "resolve", self._resolve)

    def _resolve(self, *arguments: Any, **named: Any) -> Any:
        self.by_cwltool += 1
        return resolve(*arguments, **named)

    def learn(self, *inputs: Any) -> None:
        for one in inputs:
            self.job(one)
        self.by_cwltool = 0

    def job(self, inputs: Any) -> Any:
        return self.resolver.resolve(self.handle, inputs, **WAY)

    def check(self, inputs: Any) -> None:
        """The job is that of cwltool, and was made without it."""
        expected, made = resolve(self.handle, inputs, self.context, **WAY), self.job(inputs)
        assert to_json(made.job) == to_json(expected.job)
        assert text(state(made.builder)) == text(state(expected.builder))
        assert self.by_cwltool == 0


@pytest.fixture
def made(bench, monkeypatch):
    return lambda document: Tool(bench, document, monkeypatch)


def outcome(make, inputs):
    """The job, or the message and remedy of the error."""
    try:
        return to_json(make(inputs).job)
    except GridCWLError as error:
        return type(error), error.message, error.remedy


def file(path, **fields):
    return ProducedFile(path, "file", f"srm://host/{path}", **({"size": 3, "sha1": "abc"} | fields))


def left(*files, **fields):
    return JobResult(JobId("run-1-1"), Outcome.SUCCESS, exit_code=0, files=files, **fields)


EVERYTHING = tool(
    "prog",
    "-v",
    inputs={
        "f": {"type": "File", "inputBinding": {"position": 2, "prefix": "--in=", "separate": False}},
        "more": {"type": "File[]?", "inputBinding": {"prefix": "-m"}},
        "joined": {
            "type": {"type": "array", "items": "double"},
            "inputBinding": {"itemSeparator": ",", "prefix": "-d"},
        },
        "n": {"type": "int", "inputBinding": {"position": 1}},
        "flag": {"type": "boolean?", "inputBinding": {"prefix": "--flag"}},
        "mode": {"type": {"type": "enum", "symbols": ["fast", "good"]}, "inputBinding": {"prefix": "--mode"}},
        "word": {"type": "string", "default": "deflt", "inputBinding": {"valueFrom": "<$(self)>"}},
        "unbound": "long?",
    },
    arguments=["-a", {"position": 9, "valueFrom": "$(inputs.f.nameroot).out"}, "$(runtime.cores)"],
    outputs={"o": glob("$(inputs.f.nameroot).out"), "log": "stderr"},
    stdout="$(inputs.f.basename).txt",
    stderr="log.txt",
    requirements={
        "EnvVarRequirement": {"envDef": {"WORD": "$(inputs.word)!", "PLAIN": "x"}},
        "ResourceRequirement": {"coresMin": 2, "ramMin": 300},
        "ToolTimeLimit": {"timelimit": 60},
    },
)


def drawn(random: Random) -> Any:
    """Inputs of the tool that has everything."""

    def maybe(value: Any) -> Any:
        return random.choice([value, value, None])

    files = [{**FILE, "location": f"file:///data/{n}/x+{n}.h5", "basename": f"x+{n}.h5"} for n in range(3)]
    return {
        "f": random.choice(
            [FILE, REMOTE, {**FILE, "basename": "a b.h5"}, {**FILE, "nameroot": "wrong", "format": "http://x"}]
        ),
        "more": maybe(files[: random.randint(0, 3)]),
        "joined": [random.choice([1, 0.5, 1e-10, 1e22]) for _ in range(random.randint(0, 3))],
        "n": random.choice([0, -1, 2**31 - 1]),
        "flag": maybe(random.choice([True, False])),
        "mode": random.choice(["fast", "good"]),
        "word": maybe(random.choice(["", "a b", "é", "$HOME", "'"])),
        **({"unbound": 2**40} if random.random() < 0.5 else {}),
    }


@pytest.mark.parametrize("shell", [False, True])
def test_jobs_of_any_values_are_those_of_cwltool(made, shell):
    requirements = EVERYTHING["requirements"] | ({"ShellCommandRequirement": {}} if shell else {})
    step, random = made({**EVERYTHING, "requirements": requirements}), Random(1)
    step.learn(drawn(random), drawn(random))
    for _ in range(60):
        step.check(drawn(random))


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": "1"},
        {"n": 2**31},
        {"n": True},
        {"f": None},
        {"f": {**FILE, "basename": "a/b.h5"}},
        {"f": {**FILE, "size": "3"}},
        {"f": {**FILE, "class": "Directory"}},
        {"mode": "slow"},
        {"joined": [None]},
        {"joined": "1"},
        {"more": [FILE, 1]},
        {"stranger": 1},
    ],
)
def test_what_is_wrong_is_left_to_cwltool(made, wrong):
    step, random = made(EVERYTHING), Random(2)
    step.learn(drawn(random), drawn(random))
    inputs = drawn(random) | wrong
    assert outcome(step.job, inputs) == outcome(lambda one: resolve(step.handle, one, step.context, **WAY), inputs)
    assert step.by_cwltool == 1


@pytest.mark.parametrize(
    "value",
    [
        {**FILE, "secondaryFiles": [REMOTE]},
        {"class": "File", "basename": "lit", "contents": "x", "location": "_:lit", "size": 1},
        {**FILE, "location": "file:///data/a%20b", "basename": "a_b"},
    ],
)
def test_a_file_that_is_more_than_its_names_comes_out_as_of_cwltool(made, value):
    step, random = made(EVERYTHING), Random(3)
    step.learn(drawn(random), drawn(random))
    inputs = drawn(random) | {"f": value}
    assert to_json(step.job(inputs).job) == to_json(resolve(step.handle, inputs, step.context, **WAY).job)


@pytest.mark.parametrize(
    "more",
    [
        {"requirements": {"InitialWorkDirRequirement": {"listing": ["$(inputs.f)"]}}},
        {"requirements": {"ResourceRequirement": {"ramMin": "$(inputs.f.size)"}}},
        {"requirements": {"ToolTimeLimit": {"timelimit": "$(inputs.f.size)"}}},
        {"requirements": {"NetworkAccess": {"networkAccess": "$(inputs.f.size)"}}},
        {"inputs": {"f": {"type": "File", "secondaryFiles": [".idx?"]}}},
        {"inputs": {"f": {"type": "File", "loadContents": True}}},
        {"inputs": {"f": ["File", "string"]}},
    ],
)
def test_a_tool_whose_jobs_differ_in_more_than_values_has_no_template(made, bench, more):
    bench.write("a.h5", "abc")
    value = {**FILE, "location": (bench.folder / "a.h5").as_uri(), "basename": "a.h5"}
    step = made({**tool("cat", inputs={"f": "File"}), **more})
    step.by_cwltool = 0
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(step.job({"f": value}))
        except GridCWLError:
            outcomes.append(None)
    assert step.by_cwltool == 3


def test_a_template_that_makes_another_job_than_cwltool_is_not_used(made, monkeypatch):
    step = made(tool("cat", inputs={"f": {"type": "File", "inputBinding": {}}}))
    monkeypatch.setattr(resolvers.JobTemplate, "_command_line", lambda *_: ("dog",))
    for _ in range(3):
        assert step.job({"f": FILE}).job.command == ("cat", "/gridcwl/in/0/a.b.h5")


def test_outputs_with_constant_names_are_those_of_cwltool(made):
    outputs = {"o": glob("out/a.tar.gz"), "maybe": glob("b.txt", "File?")}
    step = made(tool("cat", inputs={"f": "File"}, outputs=outputs))
    step.learn({"f": FILE}, {"f": FILE})
    results = [
        left(file("out/a.tar.gz"), file("b.txt")),
        left(file("b.txt", size=0, sha1=None), file("out/a.tar.gz"), file("other")),
        left(file("out/a.tar.gz")),
        left(file("out/a.tar.gz"), file("b.txt"), file("cwl.output.json", contents=OBJECT)),
    ]
    for result in results:
        job = step.job({"f": FILE})
        assert text(step.resolver.collect(job, result)) == text(collect(job, result))


def test_outputs_that_are_named_after_an_input_are_those_of_cwltool(made):
    outputs = {"o": glob("$(inputs.f.nameroot).txt"), "maybe": glob("$(inputs.pattern)", "File?")}
    step = made(tool("cat", inputs={"f": "File", "pattern": "string"}, outputs=outputs))
    given = [{"f": {**FILE, "basename": f"x{n}.h5"}, "pattern": p} for n, p in enumerate(("b", "b", "c", "?", "", "c"))]
    for number, inputs in enumerate(given):
        result = left(file(f"x{number}.txt"), file("b"), file("c"))
        by_cwltool = collect(resolve(step.handle, inputs, step.context, **WAY), result) if number != 3 else None
        job = step.job(inputs)
        if by_cwltool is None:
            with pytest.raises(OutputError, match="its glob matches several"):
                step.resolver.collect(job, result)
        else:
            assert text(step.resolver.collect(job, result)) == text(by_cwltool)


def test_an_output_that_is_missing_is_reported_as_by_cwltool(made):
    step = made(tool("cat", inputs={"f": "File"}, outputs={"o": glob("a.txt")}))
    step.learn({"f": FILE}, {"f": FILE})
    job = step.job({"f": FILE})
    step.resolver.collect(job, left(file("a.txt")))
    with pytest.raises(OutputError, match=r"no file of the output 'o' matches its glob a\.txt"):
        step.resolver.collect(step.job({"f": FILE}), left(file("b.txt")))


def test_a_retry_with_more_memory_is_resolved_by_cwltool(made):
    step = made(tool("cat", inputs={"f": "File"}, arguments=["$(runtime.ram)"]))
    step.learn({"f": FILE}, {"f": FILE})
    again = step.resolver.resolve(step.handle, {"f": FILE}, **WAY, ram_mib=4000)
    assert (again.job.command, again.job.resources.ram_mib) == (("cat", "4000"), 4000)
    assert json.loads(to_json(step.job({"f": FILE}).job))["command"] == ["cat", "256"]
