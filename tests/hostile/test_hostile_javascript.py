"""Expressions do not reach this machine, and leave nothing behind for the next one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commandline import gridcwl

from gridcwl.cwl.javascript import NodeEngine
from gridcwl.errors import ExpressionError

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> NodeEngine:
    return NodeEngine()


REALM = "globalThis.constructor.constructor"
IMPORTED = """{
  var seen = {};
  import("fs").catch((error) => {
    seen.ran = true;
    try { seen.got = String(error.constructor.constructor("return process")().pid); } catch (e) { seen.got = e.name; }
  });
  return {toJSON: () => seen};
}"""


@pytest.mark.parametrize(
    "text",
    [
        f'({REALM}("return process")().getBuiltinModule("child_process").execSync("id"))',
        f'({REALM}("return process")().mainModule.require("child_process").execSync("id"))',
        f'({REALM}("return process")().binding("spawn_sync"))',
        f'({REALM}("return require")()("fs").readFileSync("/etc/passwd"))',
        '(process.binding("fs"))',
        '(require("fs"))',
        '(fetch("http://localhost/"))',
        "(new Worker(''))",
        '{ try { null.x } catch (e) { return e.constructor.constructor("return process")().pid } }',
        '{ function f() { f() } try { f() } catch (e) { return e.constructor.constructor("return process")().pid } }',
        "{ return (function () { return arguments.callee.caller })() }",
    ],
)
def test_nothing_of_this_machine_is_reached(node: NodeEngine, text: str):
    with pytest.raises(ExpressionError, match=r"is not defined|is not a function|Cannot read|may not be accessed"):
        node.eval(text)


def test_what_an_import_gives_back_makes_no_code_here(node: NodeEngine):
    assert node.eval(IMPORTED).get("got") in (None, "EvalError", "ReferenceError")


def test_stack_frames_give_no_function_and_no_object_of_this_program(node: NodeEngine):
    seen = node.eval(
        "{ Error.prepareStackTrace = (e, s) => s.map(c => [typeof c.getThis(), typeof c.getFunction()]);"
        " return new Error().stack; }"
    )
    assert {kind for frame in seen for kind in frame} == {"undefined"}


def test_the_environment_is_empty_and_the_process_may_open_nothing(monkeypatch):
    monkeypatch.setenv("SECRET", "token")
    engine = NodeEngine()
    engine.eval("(1)")
    pid = engine._held.process.pid
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    if sys.platform.startswith("linux"):
        limits = Path(f"/proc/{pid}/limits").read_text()
        most = int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3])
        assert {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()} >= set(range(most))
    engine.forget()


@pytest.mark.parametrize(
    "poison",
    [
        "{ globalThis.left = 1; return 0; }",
        "{ Object.prototype.left = 1; Array.prototype.map = null; JSON.stringify = null; return 0; }",
        "{ Promise.prototype.then = null; Function.prototype.call = null; return 0; }",
        "{ var p = import('fs'); var P = Object.getPrototypeOf(p); try { P.left = 1; P.then = null;"
        " Object.getPrototypeOf(P).left = 1; } catch (e) { } return 0; }",
        "{ import('fs').catch((e) => { try { Object.getPrototypeOf(Object.getPrototypeOf(e)).left = 1 }"
        " catch (x) { } }); return 0; }",
        "{ import('fs'); return 0; }",
        "{ Promise.reject(new Error('later')); return 0; }",
    ],
)
def test_one_expression_leaves_nothing_behind_for_the_next(node: NodeEngine, poison: str):
    node.eval(poison)
    seen = node.eval("{ return [typeof left, typeof ({}).left, typeof [].map, typeof Promise.resolve(1).then]; }")
    assert seen == ["undefined", "undefined", "function", "function"]
    assert node.eval("{ var p = import('fs'); p.catch(() => {}); return [typeof p.left, typeof p.then]; }") == [
        "undefined",
        "function",
    ]


def test_a_loop_that_comes_after_the_value_is_stopped_with_its_own_expression(node: NodeEngine):
    with pytest.raises(ExpressionError, match=r"was stopped after 0\.2 s"):
        node.eval("{ Promise.resolve().then(() => { while (true); }); return 1; }", timeout=0.2)
    assert node.eval("(2)") == 2


def test_nothing_is_left_that_runs_later_or_waits(node: NodeEngine):
    names = ["FinalizationRegistry", "WeakRef", "WebAssembly", "SharedArrayBuffer", "Atomics", "setTimeout"]
    assert node.eval("{ return [" + ", ".join(f"typeof {name}" for name in names) + "]; }") == ["undefined"] * len(
        names
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{ return "x".repeat(300e6); }', "its value has more than 256 MiB"),
        ("{ var a = [], b = a; for (var i = 0; i < 1e5; i++) { b.push(b = []); } return a; }", "Maximum call stack"),
        ("{ var s = '['.repeat(3000) + ']'.repeat(3000); return JSON.parse(s); }", "nested too deeply"),
        ("{ throw {get stack() { throw 1; }}; }", "an error that cannot be shown"),
        ("{ return {toJSON() { throw new Error('boom'); }}; }", "Error: boom"),
    ],
)
def test_a_value_that_cannot_be_taken_is_an_error_and_the_next_one_is_taken(node: NodeEngine, text: str, words: str):
    with pytest.raises(ExpressionError, match=words):
        node.eval(text)
    assert node.eval("(2)") == 2


def test_with_no_javascript_a_document_that_needs_it_is_refused_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("doc.cwl").write_text(
        "cwlVersion: v1.2\nclass: ExpressionTool\nrequirements:\n  - class: InlineJavascriptRequirement\n"
        "inputs: {}\noutputs: {n: int}\nexpression: '${return {n: 1};}'\n"
    )
    for _ in range(2):  # also from the document cache
        result = gridcwl("--no-javascript", "doc.cwl")
        assert result.code == 33, result.stderr
        assert "doc.cwl:4:5: InlineJavascriptRequirement is declared, and JavaScript is off" in result.stderr
    assert gridcwl("doc.cwl").outputs == {"n": 1}


def test_with_no_javascript_a_hint_is_ignored_until_something_is_to_be_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hint = {"hints": {"InlineJavascriptRequirement": {}}, "cwlVersion": "v1.2", "inputs": {}}
    Path("plain.cwl").write_text(json.dumps(hint | {"class": "CommandLineTool", "outputs": {}, "baseCommand": "true"}))
    Path("js.cwl").write_text(
        json.dumps(hint | {"class": "ExpressionTool", "outputs": {"n": "int"}, "expression": "${return {n: 1};}"})
    )
    assert gridcwl("--no-javascript", "--no-container", "plain.cwl").code == 0
    assert gridcwl("--no-javascript", "js.cwl").code == 1
