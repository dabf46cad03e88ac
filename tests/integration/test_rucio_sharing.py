"""What runs have of each other in Rucio, how long it is kept, and what is let go; on the testbed's real server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from commandline import gridcwl
from documents import Desk, glob, on_command_line, shell, step, workflow
from rucio_grid import Grid
from waiting import until

if TYPE_CHECKING:
    from gridcwl.testbed.rucio.service import RucioService


@pytest.fixture
def grid(desk: Desk, log_in: Callable[..., Any], rucio: RucioService) -> Grid:
    return Grid(desk, log_in("runner"), rucio, f"t{uuid.uuid4().hex[:10]}")


def counting() -> Any:
    """A tool that leaves a mark whenever it runs."""
    return shell(
        'echo run >> "$0"; printf "$1" > "a b.txt"', outputs={"a": glob("*.txt")},
        inputs={"marks": on_command_line("string"), "text": on_command_line("string", position=2)},
    )  # fmt: skip


def test_a_step_that_another_run_finished_is_taken_from_rucio(grid: Grid) -> None:
    marks = grid.desk.folder / "marks"
    inputs = {"marks": str(marks), "text": grid.word}
    first = grid.run(counting(), inputs, "--cache", "rucio")
    assert first.code == 0, first.stderr
    second = grid.run(counting(), inputs, "--cache", "rucio")
    assert second.code == 0, second.stderr
    assert marks.read_text() == "run\n"
    assert second.outputs["a"]["location"] == first.outputs["a"]["location"]
    assert second.outputs["a"]["checksum"] == first.outputs["a"]["checksum"]
    other = grid.run(counting(), {**inputs, "text": f"other {grid.word}"}, "--cache", "rucio")
    assert other.code == 0
    assert marks.read_text() == "run\n" * 2


def test_what_another_run_has_taken_stays_when_the_first_one_lets_go(grid: Grid) -> None:
    marks = grid.desk.folder / "marks"
    alone = shell('printf "$0 alone" > b', outputs={"b": glob("b")}, inputs={"text": on_command_line("string")})
    document = workflow(
        {"marks": "string", "text": "string"}, {"n": {"type": "string", "outputSource": "end/n"}},
        shared=step(counting(), "a", marks="marks", text="text"),
        alone=step(alone, "b", text="text"),
        end=step(shell("true", inputs={"a": "File", "b": "File"}, outputs={
            "n": {"type": "string", "outputBinding": {"outputEval": "$(inputs.a.basename)"}},
        }), "n", a="shared/a", b="alone/b"),
    )  # fmt: skip
    inputs = {"marks": str(marks), "text": grid.word}
    assert grid.run(document, inputs, "--cache", "rucio").code == 0
    first = run_id()
    second = grid.run(counting(), inputs, "--cache", "rucio")
    assert second.code == 0, second.stderr
    assert marks.read_text() == "run\n"
    shared = second.outputs["a"]["location"].rpartition("/")[2]
    (only,) = [one["name"] for one in grid.client.list_files(grid.scope, f"{first}.alone.b")]
    assert shared.startswith(first)
    gone = gridcwl("rm", "--data", first)
    assert gone.code == 0, gone.stderr

    def kept() -> set[str]:
        """Those that a rule keeps; Rucio deletes others when it wants the room."""
        grid.rucio.run_daemons()
        there = grid.client.list_dids(grid.scope, [{"name": shared}, {"name": only}], did_type="file")
        return {name for name in there if list(grid.client.list_associated_rules_for_file(grid.scope, name))}

    until(lambda: only not in kept())
    assert kept() == {shared}


def run_id() -> str:
    found: str = json.loads(gridcwl("status", "last", "--json").stdout)["run"]
    return found


def test_the_lifetime_of_intermediate_files_is_extended_while_a_run_is_active(grid: Grid) -> None:
    from rucio_builders import client_of, now

    from gridcwl.stores.rucio.names import Did
    from gridcwl.stores.rucio.rules import RunRule

    grid.container("box")
    client, _ = client_of(lambda: grid.client)
    rule = RunRule(client, Did(grid.scope, f"{grid.word}.box"), ["LYON-DISK"], 1)
    made = now(rule.make())
    first = grid.client.get_replication_rule(made)["expires_at"]
    grid.client.update_replication_rule(made, {"lifetime": 60})
    assert grid.client.get_replication_rule(made)["expires_at"] < first
    now(rule.extend())
    assert grid.client.get_replication_rule(made)["expires_at"] >= first
    client.close()


def test_what_has_no_replica_any_more_is_never_taken(grid: Grid) -> None:
    marks = grid.desk.folder / "marks"
    inputs = {"marks": str(marks), "text": grid.word}
    first = grid.run(counting(), inputs, "--cache", "rucio")
    name = first.outputs["a"]["location"].rpartition("/")[2]
    state = {"scope": grid.scope, "name": name, "state": "U"}
    grid.client.update_replicas_states("LYON-DISK", [state])
    second = grid.run(counting(), inputs, "--cache", "rucio")
    assert second.code == 0, second.stderr
    assert marks.read_text() == "run\n" * 2
    third = grid.run(counting(), inputs, "--cache", "rucio")
    assert third.outputs["a"]["location"] == second.outputs["a"]["location"]
    assert marks.read_text() == "run\n" * 2


def test_without_being_asked_for_nothing_is_taken_or_left(grid: Grid) -> None:
    marks = grid.desk.folder / "marks"
    inputs = {"marks": str(marks), "text": grid.word}
    for _ in range(2):
        assert grid.run(counting(), inputs).code == 0
    assert marks.read_text() == "run\n" * 2
