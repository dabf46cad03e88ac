"""``--group`` and ``--chunks`` with ``--server``: the document runs once for each group at the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import gridcwl as command
from documents import expression
from wes import Wes, in_thread

SUM = expression("${ return {sum: inputs.numbers.reduce((a, b) => a + b, 0)}; }", {"numbers": "int[]"}, {"sum": "int"})
SIZE = expression("${ return {size: inputs.table.size}; }", {"table": "File"}, {"size": "long"})


@pytest.fixture(scope="module")
def wes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wes]:
    with in_thread(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def server(wes: Wes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sum.cwl").write_text(json.dumps(SUM))
    (tmp_path / "size.cwl").write_text(json.dumps(SIZE))
    (tmp_path / "inputs.json").write_text(json.dumps({"numbers": [1, 2, 3, 4, 5]}))
    return str(wes.http.base_url).rstrip("/")


@pytest.mark.parametrize(
    ("words", "sums"), [(["--group", "numbers=2"], [3, 7, 5]), (["--chunks", "2"], [6, 9]), ([], 15)]
)
def test_values_are_grouped_at_the_service_as_here(server: str, words: list[str], sums: object):
    there = command("--server", server, *words, "sum.cwl", "inputs.json")
    assert there.outputs["sum"] == sums, there.stderr
    assert command(*words, "sum.cwl", "inputs.json").outputs["sum"] == sums


def test_an_input_with_one_file_takes_one_of_several_uploaded_ones_each_time(server: str, tmp_path: Path):
    files = []
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("x" * number)
        files.append({"class": "File", "location": f"{number}.txt"})
    (tmp_path / "files.json").write_text(json.dumps({"table": files}))
    made = command("--server", server, "--group", "table=1", "size.cwl", "files.json")
    assert made.code == 0, made.stderr
    assert made.outputs["size"] == [0, 1, 2]


def test_groups_that_mean_nothing_are_refused_before_the_run(wes: Wes):
    parameters = json.dumps({"--group": "numbers=2", "--chunks": "3"})
    answer = wes.post(SUM, {"numbers": [1]}, workflow_engine_parameters=parameters)
    assert answer.status_code == 400
    assert "exclude each other" in answer.json()["msg"]
