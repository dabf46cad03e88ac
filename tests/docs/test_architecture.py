"""The picture of the architecture is that of the code."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from .pages import ROOT


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture_picture", ROOT / "scripts/architecture_picture.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_current(drawing: ModuleType) -> None:
    assert drawing.PICTURE.read_text("utf-8") == drawing.picture(), "run: make picture"


def test_the_page_has_a_row_for_each_package(drawing: ModuleType) -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    for layer in drawing.layers():
        for name in layer:
            assert f"| `{name}` |" in page


def test_an_import_that_follows_from_others_is_not_drawn(drawing: ModuleType) -> None:
    graph = {"cli": {"runs", "model"}, "runs": {"model"}, "model": {"errors"}}
    assert list(drawing.essential(graph, {"cli", "runs", "model"})) == [("cli", "runs"), ("runs", "model")]
