"""Without a container the promised paths become real ones, wherever they are written."""

import base64
import json

import pytest
from worker_builders import Bench, entry, job, literal

from gridcwl.worker.replace import Prefixes

OUT = Prefixes({"/gridcwl/out": "/w/out", "/gridcwl/out/tmp": "/w/tmp", "/w": "/never"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/gridcwl/out", "/w/out"),
        ("/gridcwl/out/", "/w/out/"),
        ("/gridcwl/out/x y", "/w/out/x y"),
        ("a /gridcwl/out:/gridcwl/out/b", "a /w/out:/w/out/b"),
        ("--to=/gridcwl/out/x", "--to=/w/out/x"),
        ("-I/gridcwl/out", "-I/w/out"),
        ("file:///gridcwl/out/x", "file:///w/out/x"),
        ("'/gridcwl/out'", "'/w/out'"),
        (r'"line\n/gridcwl/out/x"', r'"line\n/w/out/x"'),
        ("/gridcwl/out/tmp/x", "/w/tmp/x"),
        ("/gridcwl/out2", "/gridcwl/out2"),
        ("/gridcwl/out.txt", "/gridcwl/out.txt"),
        ("/gridcwl/output/x", "/gridcwl/output/x"),
        ("/home/me/gridcwl/out/x", "/home/me/gridcwl/out/x"),
        ("../gridcwl/out", "../gridcwl/out"),
        ("no path at all", "no path at all"),
    ],
)
def test_a_prefix_is_replaced_where_it_is_a_path_of_its_own(text, expected):
    assert OUT(text) == expected


def test_commands_environment_and_literals_get_real_paths(bench):
    bench.run(
        job(
            'cat /gridcwl/in/script > script; echo "$WHERE" > where',
            staged=[literal("/gridcwl/in/script", "cd /gridcwl/tmp")],
            environment={"WHERE": "at=/gridcwl/tmp"},
        )
    )

    assert (bench.out / "script").read_text() == f"cd {bench.workdir}/tmp"
    assert (bench.out / "where").read_text() == f"at={bench.workdir}/tmp\n"


@pytest.mark.parametrize("name", ["with space", "a;b", "it's", "$HOME", "100%"])
def test_a_working_directory_that_a_shell_would_misread_does_no_harm(tmp_path, name):
    (tmp_path / name).mkdir()
    bench = Bench(tmp_path / name)

    result = bench.run(job("echo x > /gridcwl/out/x && cat /gridcwl/in/y", staged=[literal("/gridcwl/in/y", "y")]))

    assert result["outcome"] == "success"
    assert entry(result, "x")["location"] == (bench.out / "x").as_uri()


def test_the_link_to_such_a_working_directory_is_removed(tmp_path, monkeypatch):
    safe = tmp_path / "safe"
    safe.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(safe))
    (tmp_path / "un safe").mkdir()
    bench = Bench(tmp_path / "un safe")

    bench.run(job("echo /gridcwl/out > where"))

    assert (bench.out / "where").read_text().startswith(str(safe))
    assert list(safe.iterdir()) == []


@pytest.mark.parametrize("folder", ["plain", "un safe"])
def test_an_output_object_speaks_of_promised_paths(tmp_path, folder):
    (tmp_path / folder).mkdir()
    bench = Bench(tmp_path / folder)
    found = '{"a": {"class": "File", "path": "%s/x"}, "b": "file://%s/x", "c": "%s"}'
    script = f"""printf '{found}' "$HOME" "$HOME" "$(pwd -P)" > cwl.output.json"""

    result = bench.run(job(script, outputs={"globs": [], "contents": []}))

    found = json.loads(base64.b64decode(entry(result, "cwl.output.json")["contents"]))
    assert found == {
        "a": {"class": "File", "path": "/gridcwl/out/x"},
        "b": "file:///gridcwl/out/x",
        "c": "/gridcwl/out",
    }


def test_an_output_object_that_is_no_json_comes_back_as_it_is(bench):
    result = bench.run(job("printf '{not json' > cwl.output.json"))

    assert base64.b64decode(entry(result, "cwl.output.json")["contents"]) == b"{not json"
