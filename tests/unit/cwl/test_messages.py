"""The libraries' messages in our words."""

from __future__ import annotations

import logging

import pytest

from gridcwl.cwl.messages import explained, known_requirement, suggestion, tidy
from gridcwl.cwl.problems import problems, route_logging
from gridcwl.errors import DocumentError, ExpressionError, InputError, OutputError


def test_a_position_that_is_on_every_line_is_shown_once():
    assert tidy("t.cwl:4:2: one\nt.cwl:4:2: two\nt.cwl:5:1: three") == "t.cwl:4:2: one\n    two\nt.cwl:5:1: three"


def test_paths_are_shown_as_paths():
    assert tidy("(140340394121024) file:///data/x [Errno 2] No such file") == "/data/x No such file"


def test_an_error_without_words_is_named():
    assert tidy(KeyError()) == "KeyError"


def test_what_is_not_known_is_not_explained():
    assert explained("something else") is None


def test_only_a_name_that_is_close_is_guessed():
    assert known_requirement("ResourceRequirment") == "Did you mean ResourceRequirement?"
    assert known_requirement("Scatter") == "Did you mean ScatterFeatureRequirement?"
    assert known_requirement("FooRequirement") == ""
    assert suggestion("colour", ["x", "y"], "The inputs are") == "The inputs are x, y."


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.cwl"), "No such file or directory (x.cwl)"),
        (UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "bad"), "it is not text (byte 0xff at position 2)"),
        (RecursionError("maximum recursion depth"), "it is nested too deeply, or leads back to itself"),
        (StopIteration(), "it is empty"),
        (KeyError("id"), "it has a form that is not understood here: 'id'"),
    ],
)
def test_python_s_own_errors_become_sentences(error, words):
    with pytest.raises(DocumentError) as caught, problems(DocumentError, "What"):
        raise error
    assert caught.value.message == f"What: {words}"


def test_our_own_errors_pass_through():
    with pytest.raises(InputError, match="mine"), problems(DocumentError, "What"):
        raise InputError("mine")


def test_an_expression_s_error_is_found_below_what_was_wrapped_around_it():
    from cwltool.errors import WorkflowException

    wrapped = WorkflowException("t.cwl:3:1: Expression evaluation error:\nnode is not there")
    wrapped.__cause__ = ExpressionError("node is not there", remedy="Install it.")
    with pytest.raises(ExpressionError) as caught, problems(OutputError, "What"):
        raise wrapped
    assert str(caught.value) == "What: t.cwl:3:1: node is not there\nInstall it."


@pytest.fixture
def warnings():
    """What people see of the libraries' logs."""
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())

    route_logging(Keep(), logging.WARNING)
    return seen


def test_warnings_of_the_libraries_are_readable(warnings):
    logging.getLogger("salad").warning("Warning: %s", "file:///data/x")
    assert warnings == ["Warning: /data/x"]


def test_tracebacks_of_the_libraries_are_not_shown(warnings):
    logging.getLogger("cwl_utils").error("it failed", exc_info=ValueError("it failed"))
    assert warnings == []
