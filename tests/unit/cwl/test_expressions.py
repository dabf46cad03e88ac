"""The expressions of a document are parsed when it is loaded."""

from __future__ import annotations

import logging

import pytest
from documents import glob, on_command_line, shell, step, tool, workflow

from gridcwl.cwl import expressions
from gridcwl.errors import DocumentError

pytestmark = pytest.mark.node

JS = {"requirements": {"InlineJavascriptRequirement": {}}}
ONE = {"x": "string"}


def refused(bench, document, **options) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        bench.open(document, **options)
    return caught.value


BROKEN = "$(inputs.x"
PLACES = {
    "arguments": {"arguments": ["a", BROKEN]},
    "an argument's valueFrom": {"arguments": [{"prefix": "-a", "valueFrom": BROKEN}]},
    "stdout": {"stdout": BROKEN},
    "stderr": {"stderr": BROKEN},
    "stdin": {"stdin": BROKEN},
    "an input's valueFrom": {"inputs": {"x": on_command_line("string", valueFrom=BROKEN)}},
    "an input's position": {"inputs": {"x": {"type": "string", "inputBinding": {"position": BROKEN}}}},
    "an input's format": {"inputs": {"x": {"type": "File", "format": BROKEN}}},
    "a field of a record": {
        "inputs": {
            "x": {
                "type": {
                    "type": "record",
                    "fields": [{"name": "f", "type": "int", "inputBinding": {"valueFrom": BROKEN}}],
                }
            }
        }
    },
    "secondaryFiles": {"inputs": {"x": {"type": "File", "secondaryFiles": [BROKEN]}}},
    "a secondary file's required": {
        "inputs": {"x": {"type": "File", "secondaryFiles": [{"pattern": ".i", "required": BROKEN}]}}
    },
    "glob": {"outputs": {"o": glob(BROKEN)}},
    "outputEval": {"outputs": {"o": glob("a", outputBinding={"glob": "a", "outputEval": BROKEN})}},
    "an environment variable": {"requirements": {"EnvVarRequirement": {"envDef": {"A": BROKEN}}}},
    "a file's name": {
        "requirements": {"InitialWorkDirRequirement": {"listing": [{"entryname": BROKEN, "entry": "text"}]}}
    },
    "a file's text": {
        "requirements": {"InitialWorkDirRequirement": {"listing": [{"entryname": "a", "entry": BROKEN}]}}
    },
    "a number of cores": {"requirements": {"ResourceRequirement": {"coresMin": BROKEN}}},
    "a time limit": {"requirements": {"ToolTimeLimit": {"timelimit": BROKEN}}},
}


@pytest.mark.parametrize("fields", PLACES.values(), ids=PLACES)
def test_a_broken_expression_is_refused_wherever_it_is(bench, fields):
    error = refused(bench, tool("echo", **({"inputs": ONE} | fields)))
    assert "doc.cwl:" in error.message
    assert "$(inputs.x has no end: ')' is missing" in error.message


def test_a_link_s_expressions_are_checked(bench):
    echo = tool("echo", inputs=ONE)
    for broken in ({"links": {"valueFrom": BROKEN}}, {"when": BROKEN}):
        document = workflow(
            ONE, {}, say=step(echo, when=broken.get("when"), x={"source": "x", **broken.get("links", {})})
        )
        assert "$(inputs.x has no end" in refused(bench, document).message


def test_an_expression_tool_s_expression_is_checked(bench):
    document = {
        "cwlVersion": "v1.2",
        "class": "ExpressionTool",
        **JS,
        "inputs": {},
        "outputs": {},
        "expression": "${ return {;}; }",
    }
    assert "is not valid JavaScript: Unexpected token ';'" in refused(bench, document).message


def test_javascript_is_parsed_and_its_line_is_named(bench):
    path = bench.write(
        "tool.cwl",
        """\
        cwlVersion: v1.2
        class: CommandLineTool
        requirements: {InlineJavascriptRequirement: {}}
        baseCommand: echo
        inputs: []
        outputs: []
        arguments:
          - valueFrom: |
              ${
                // this isn't wrong
                var pattern = /[}]/;
                return 1 +* 2;
              }
        """,
    )
    from gridcwl.cwl.context import EvaluationOptions
    from gridcwl.cwl.session import open_document

    def opened(**options):
        return open_document(path, [], EvaluationOptions(containers=False, **options), basedir=None, overrides=None)

    with pytest.raises(DocumentError) as caught:
        opened()
    assert "tool.cwl:12:9: the expression ${ // this isn't wrong" in caught.value.message
    assert caught.value.message.endswith("is not valid JavaScript: Unexpected token '*' (at: return 1 +* 2;)")
    opened(js_validation=False)


def test_an_expression_library_is_parsed(bench):
    library = {"InlineJavascriptRequirement": {"expressionLib": ["function f() { return 1; }", "function g( {"]}}
    assert "the expressionLib is not valid JavaScript" in refused(bench, tool("echo", requirements=library)).message


def test_all_broken_expressions_are_listed_in_the_order_of_their_lines(bench):
    message = refused(bench, tool("echo", inputs=ONE, arguments=["$(inputs.y)", "$(inputs.x", "$(outputs.x)"])).message
    assert "it has 3 broken expressions" in message
    assert message.index("'y', which does not exist") < message.index("has no end") < message.index("'outputs'")


def test_modern_javascript_is_valid(bench):
    modern = "${ const f = ({a, ...b}) => `${a} ${b?.c ?? 1n}`; return f({a: 2 ** 3}); }"
    assert bench.open(tool("echo", arguments=[modern], **JS))


def test_an_input_that_does_not_exist_is_named_with_those_there_are(bench):
    error = refused(bench, tool("echo", inputs={"name": "string"}, arguments=["$(inputs.nmae)"]))
    assert "$(inputs.nmae) refers to an input 'nmae', which does not exist" in error.message
    assert error.remedy == "Did you mean name?"


def test_a_step_that_never_runs_is_checked_as_all_others_are_unless_the_check_is_switched_off(bench):
    """cwltool does not look at it. It may run with other inputs, and a wrong name is found before anything has run."""
    document = workflow(ONE, {}, say=step(tool("echo", inputs=ONE, arguments=["$(inputs.y)"]), when="$(false)", x="x"))
    document["requirements"]["InlineJavascriptRequirement"] = {}
    assert "refers to an input 'y', which does not exist" in refused(bench, document).message
    assert bench.open(document, js_validation=False)


def test_what_tools_inherit_refers_to_their_own_inputs(bench):
    document = workflow(ONE, {}, say=step(tool("echo", inputs={"word": "string"}), word="x"))
    document["requirements"]["ResourceRequirement"] = {"coresMin": "$(inputs.word.length)"}
    assert bench.open(document)


def test_javascript_that_a_caller_may_declare_is_a_warning_when_only_validated(bench, caplog):
    caplog.set_level(logging.WARNING, "gridcwl.cwl")
    document = tool("echo", arguments=["$(1 + 1)"])
    for _ in range(2):  # read, and from the document cache
        caplog.clear()
        assert bench.open(document, only_check=True)
        assert "doc.cwl:10:4: $(1 + 1) is JavaScript, but InlineJavascriptRequirement is missing" in caplog.text
    error = refused(bench, document)
    assert "cannot run alone" in error.message
    assert error.remedy == "Add 'InlineJavascriptRequirement: {}' to its requirements."


def test_a_hint_does_not_declare_javascript(bench):
    error = refused(bench, tool("echo", arguments=["$(1 + 1)"], hints={"InlineJavascriptRequirement": {}}))
    assert error.remedy == "Move InlineJavascriptRequirement from hints to requirements."


def test_a_caller_declares_it_for_its_steps(bench):
    assert bench.open(workflow({}, {}, say=step(tool("echo", arguments=["$(1 + 1)"]))))


def test_node_runs_once_for_a_document_and_not_for_one_without_javascript(bench, monkeypatch):
    started = []
    run = expressions.subprocess.run
    monkeypatch.setattr(expressions.subprocess, "run", lambda *words, **more: started.append(1) or run(*words, **more))
    bench.open(tool("echo", inputs=ONE, arguments=["$(inputs.x)"], **JS))
    assert not started
    echo = tool("echo", inputs=ONE, arguments=["$(inputs.x + 'a')"])
    document = workflow(ONE, {}, a=step(echo, x={"source": "x", "valueFrom": "$(self + 1)"}), b=step(echo, x="x"))
    bench.open(document)
    bench.open(document)
    assert len(started) == 1


def test_without_node_the_document_is_loaded(bench, monkeypatch):
    monkeypatch.setattr(expressions, "node_program", lambda: None)
    assert bench.open(tool("echo", arguments=["$(1 +* 2)"], **JS))


def test_defaults_and_texts_for_people_are_no_expressions(bench):
    assert bench.open(
        tool("echo", inputs={"x": {"type": "string", "default": "$(inputs", "doc": "${"}}, label="$(", doc="${ ' }")
    )


def test_tokens_that_mislead_a_count_of_brackets_are_evaluated(bench):
    text = "${ // don't\n return inputs.x.replace(/\\)/g, '').replace(/[}]/, `${'('}`); }"
    job = bench.resolve(shell("echo", inputs=ONE, arguments=[text], **JS), "--x", "a)b}").job
    assert job.command[-1] == "ab("
