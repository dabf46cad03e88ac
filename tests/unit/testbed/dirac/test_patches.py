"""What is said of patches, and the wrapper's template that makes some of them."""

from __future__ import annotations

import pytest

from gridcwl.testbed.dirac.inside import patches


def test_every_patch_reports_why_and_what_it_is_about():
    for patch in patches.PATCHES:
        assert patch.reason.endswith(".")
        assert patch.quotation
        assert patch.line > 0


def test_patches_have_names_of_their_own():
    assert len({patch.name for patch in patches.PATCHES}) == len(patches.PATCHES)


def test_a_wrapper_makes_its_patches_after_it_has_read_the_configuration():
    stock = f"import sys\n{patches.WRAPPER_ANCHOR}rest = 1\n"
    made = patches.wrapper_template(stock, "/library")
    before, _, after = made.partition(patches.WRAPPER_ANCHOR)
    assert before == "import sys\n"
    assert "'/library'" in after
    assert after.index("patches.apply('job wrapper')") < after.index("rest = 1")
    compile(made, "wrapper", "exec")


def test_a_template_that_is_another_is_refused():
    with pytest.raises(ValueError, match="has not one line"):
        patches.wrapper_template("something else\n", "/library")
