"""What a tool calls its outputs never leads out of the output directory, wherever the name comes from."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hostile_names import CLIMBING, examples, names, paths
from hypothesis import given
from hypothesis import strategies as st

from gridcwl.errors import GridCWLError, UnsafePath
from gridcwl.runs.publish import publish
from gridcwl.stores.local import AtomicPublication


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def climbing(depth: int, leaf: dict[str, Any]) -> dict[str, Any]:
    """A Directory whose listing climbs: ``../../leaf``."""
    for number in range(depth):
        leaf = {"class": "Directory", "location": f"_:{number}", "basename": "..", "listing": [leaf]}
    return leaf


LITERAL = {"class": "File", "location": "_:leaf", "basename": "victim.rc", "contents": "pwned"}
SECONDARY = {**LITERAL, "basename": "a", "secondaryFiles": [{**LITERAL, "basename": "../victim.rc"}]}


@pytest.mark.parametrize(
    "output",
    [climbing(1, LITERAL), climbing(2, LITERAL), {"r": [climbing(1, LITERAL)]}, SECONDARY, climbing(1, SECONDARY)],
)
def test_a_listing_does_not_climb_out_of_the_output_directory(tmp_path: Path, output: dict[str, Any]) -> None:
    victim = tmp_path / "a/victim.rc"
    victim.parent.mkdir()
    victim.write_text("mine")
    with pytest.raises(UnsafePath):
        publish({"o": output}, tmp_path / "a/b/out", tmp_path / "scratch", "run")
    assert files_in(tmp_path) == {victim}
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", [name for name in CLIMBING if name])
def test_a_base_name_that_no_file_can_have_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePath, match="The base name of an output is refused: "):
        publish({"o": {**LITERAL, "basename": name}}, tmp_path / "out", tmp_path / "scratch", "run")
    assert files_in(tmp_path) == set()


@examples(60)
@given(
    outputs=st.recursive(
        st.builds(lambda name: {**LITERAL, "basename": name}, names),
        lambda inner: st.builds(
            lambda name, listing: {"class": "Directory", "location": "_:d", "basename": name, "listing": listing},
            names,
            st.lists(inner, max_size=3),
        ),
        max_leaves=5,
    )
)
def test_whatever_a_tool_calls_its_outputs_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, outputs: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    out = folder / "a/b/c/out"
    with contextlib.suppress(GridCWLError):
        publish({"o": outputs}, out, folder / "a/b/c/scratch", "run")
    assert all(path.is_relative_to(out) for path in files_in(folder))


@examples(60)
@given(path=paths)
def test_a_placement_refuses_what_is_not_below_its_target(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    folder = tmp_path_factory.mktemp("placement")
    (folder / "deep/out").mkdir(parents=True)
    with contextlib.suppress(GridCWLError), AtomicPublication(folder / "deep/out") as placement:
        placement.write(b"x", Path(path))
        placement.commit()
    assert all(found.is_relative_to(folder / "deep/out") for found in files_in(folder))
