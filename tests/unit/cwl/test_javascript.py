"""JavaScript: values, and errors that a person can read."""

from __future__ import annotations

import pytest

from gridcwl.cwl.javascript import NodeEngine
from gridcwl.errors import ExpressionError

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node():
    return NodeEngine()


def test_an_expression_has_a_value(node):
    assert node.eval("(({a: [1, null, 'é']}))") == {"a": [1, None, "é"]}


def test_a_body_returns_its_value(node):
    assert node.eval("{ var x = 2; return x * 21; }") == 42


def test_a_library_is_there_for_it(node):
    assert node.eval("(twice(4))", jslib="function twice(x) { return 2 * x; }") == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(1 +* 2)", r"failed: SyntaxError: Unexpected token '\*'$"),
        ("{ throw new Error('boom'); }", "failed: Error: boom$"),
        ("(nothing.at.all)", "failed: ReferenceError: nothing is not defined$"),
        ("{ throw 'words'; }", "failed: .*words"),
        ("{\n  var x = ;\n}", r"SyntaxError.* \(at: var x = ;\)$"),
        ("{ 1 + 1; }", "gives undefined\n"),
    ],
)
def test_an_error_is_one_line(node, text, words):
    with pytest.raises(ExpressionError, match=words) as caught:
        node.eval(text)
    assert "\n" not in caught.value.message


def test_an_endless_loop_is_stopped_and_the_next_expression_has_its_value(node):
    with pytest.raises(ExpressionError, match=r"was stopped after 0\.2 s"):
        node.eval("{ while (true) {} }", timeout=0.2)
    assert node.eval("(1 + 1)") == 2


def test_what_an_expression_logs_is_shown_and_is_no_error(node, caplog):
    caplog.set_level("WARNING", "gridcwl.cwl")
    assert node.eval("{ console.log('hello'); return 1; }", js_console=True) == 1
    assert "JavaScript console: hello" in caplog.text


def test_without_node_there_is_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExpressionError, match="node, which evaluates them, is not in PATH") as caught:
        NodeEngine().new_js_proc("")
    assert "Install Node.js" in caught.value.remedy
