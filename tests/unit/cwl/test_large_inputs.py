"""Large input objects in JSON are read quickly, mean the same, and tell mistakes with their line all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridcwl.cwl.inputs import read_input_object
from gridcwl.cwl.large_inputs import read_quickly

MANY = 3000


def written(folder: Path, values: object) -> str:
    path = folder / "inputs.json"
    path.write_text(json.dumps(values, indent=1))
    return str(path)


def test_a_large_object_means_what_a_small_one_does(tmp_path):
    files = [{"class": "File", "location": f"a%20{number}.txt"} for number in range(MANY)]
    files += [{"class": "File", "path": "/x/y.txt"}, {"class": "File", "location": "https://example.org/z"}]
    name = written(tmp_path, {"files": files, "n": list(range(MANY)), "text": "location"})

    quick = read_quickly(name, str(tmp_path))
    slow = json.loads(
        json.dumps(read_input_object(written(tmp_path, {"files": files[-2:] + files[:2]}), None, "").values)
    )

    assert quick is not None
    assert [file.get("location", file.get("path")) for file in quick["files"][-2:] + quick["files"][:2]] == [
        file.get("location", file.get("path")) for file in slow["files"]
    ]
    assert quick["n"][-1] == MANY - 1


@pytest.mark.parametrize("key", ["$import", "cwl:requirements", "cwltool:overrides"])
def test_what_means_more_than_json_is_read_the_long_way(tmp_path, key):
    assert read_quickly(written(tmp_path, {"n": list(range(MANY * 3)), key: []}), str(tmp_path)) is None


def test_small_objects_and_yaml_are_read_the_long_way(tmp_path):
    (tmp_path / "large.yml").write_text("n:\n" + "- 1\n" * MANY * 4)

    assert read_quickly(written(tmp_path, {"n": [1]}), str(tmp_path)) is None
    assert read_quickly(str(tmp_path / "large.yml"), str(tmp_path)) is None


def test_a_mistake_in_a_large_object_is_reported_with_its_line(tmp_path, monkeypatch, capfd):
    from gridcwl.cli.main import main

    (tmp_path / "tool.cwl").write_text(
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: 'true', inputs: {n: 'int[]'}, outputs: {}}"
    )
    name = written(tmp_path, {"n": [*range(MANY * 3), "x"]})
    monkeypatch.chdir(tmp_path)

    code = main(["--no-container", "tool.cwl", name])

    assert code == 1
    assert "inputs.json:9003:3: 'n'" in capfd.readouterr().err
