"""``gridcwl exec``: a command is enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import gridcwl


def text_of(outputs, name: str) -> str:
    value = outputs[name]
    return Path((value[0] if isinstance(value, list) else value)["path"]).read_text()


pytestmark = pytest.mark.usefixtures("files")


@pytest.fixture
def files(desk):
    desk.write("r1.txt", "1\n2\n")
    desk.write("r2.txt", "3\n")
    return desk


def run(*words):
    return gridcwl("exec", "--quiet", "--no-container", "--outdir", "out", *words)


def test_a_file_is_named_as_it_was_given():
    done = run("-i", "r1.txt", "-o", "out.txt", "--", "cp", "r1.txt", "out.txt")
    assert text_of(done.outputs, "out_txt") == "1\n2\n"


def test_what_a_command_prints_is_kept_without_outputs_and_one_does_not_replace_another():
    assert text_of(run("--", "echo", "first").outputs, "stdout") == "first\n"
    assert text_of(run("--", "echo", "second").outputs, "stdout") == "second\n"


def test_one_word_may_use_the_shell_with_inputs_of_a_pattern():
    done = run("-i", "r*.txt", "-o", "sum*", "--", "cat r*.txt | wc -l > sum1; echo $((1 + 1)) > sum2")
    assert [Path(file["path"]).read_text().strip() for file in done.outputs["sum"]] == ["3", "2"]


def test_words_that_look_like_expressions_stay_as_they_are():
    done = run("-i", "x=r1.txt", "--", "printf", "%s|", "{x}", "$(inputs.x)", "${HOME}", "a\\b", "{y}", "--in={x}")
    assert text_of(done.outputs, "stdout") == "r1.txt|$(inputs.x)|${HOME}|a\\b|{y}|--in=r1.txt|"


def test_several_files_become_several_words():
    done = run("-i", "r1.txt", "r2.txt", "--", "cat", "{input}", "-")
    assert text_of(done.outputs, "stdout") == "1\n2\n3\n"


def test_a_folder_is_an_input_and_an_output(files):
    files.write("in/a", "A")
    done = run("-i", "in", "-o", "made/", "--", "cp", "-rL", "in", "made")
    assert done.outputs["made"]["class"] == "Directory"


def test_files_per_job():
    done = run("-i", "r1.txt", "r2.txt", "--group", "1", "--", "cat", "{input}")
    assert [file["size"] for file in done.outputs["stdout"]] == [4, 2]


def test_needs_go_into_the_document(files):
    done = run(
        *("--print-cwl", "--image", "debian:12", "--cores", "2", "--memory", "2G", "--gpus", "1", "--time", "60"),
        *("--env", "A=b=c", "--network", "--", "nvidia-smi"),
    )
    for line in ("dockerPull: debian:12", "coresMin: 2", "ramMin: 2048", "cudaDeviceCountMin: 1", "timelimit: 60",
                 "A: b=c", "networkAccess: true"):  # fmt: skip
        assert line in done.stdout
    document = files.write("made.cwl", done.stdout)
    assert gridcwl("--validate", str(document)).code == 0


def test_a_did_is_a_list_of_files():
    done = run("--print-cwl", "-i", "cta:run1", "-i", "maps=rucio://cta/m*?type=dataset", "--", "ls")
    assert "# - class: File\n#   location: cta:run1" in done.stdout
    assert "# maps:\n# - class: File\n#   location: rucio://cta/m*?type=dataset" in done.stdout


def test_a_run_is_resumed_and_its_result_is_known():
    run("-i", "r1.txt", "-o", "n.txt", "--", "wc -l < r1.txt > n.txt")
    again = gridcwl("resume", "last", "--quiet", "--outdir", "again")
    assert text_of(again.outputs, "n_txt").strip() == "2"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-i", "r3.txt", "--", "ls"), "r3.txt does not exist\nDid you mean r"),
        (("-i", "q*.txt", "--", "ls"), "No file matches q*.txt"),
        (("-i", "r1.txt"), "there is no command"),
        (("-o", "../x", "--", "ls"), "not in the command's own folder"),
        (("-o", "/x", "--", "ls"), "not in the command's own folder"),
        (("-i", "a=r1.txt", "-i", "a=r2.txt", "--", "ls"), "Two inputs are called a"),
        (("-i", "r1.txt", "r2.txt", "--", "ls", "--x={input}"), "holds several files"),
        (("--memory", "much", "--", "ls"), "takes a size"),
        (("--cores", "0", "--", "ls"), "--cores takes a number above 0"),
        (("--env", "A", "--", "ls"), "--env takes NAME=VALUE"),
        (("--imag", "x", "--", "ls"), "--imag"),
    ],
)
def test_mistakes_are_explained(words, message):
    done = run(*words)
    assert done.code == 2
    assert message in done.stderr
