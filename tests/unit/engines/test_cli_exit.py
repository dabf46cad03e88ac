"""What an exit code of an engine's command means."""

import pytest

from gridcwl.worker.cli_exit import last_words, meaning, signed


@pytest.mark.parametrize("code", [0, 1, 125, 126, 127, 137, 255])
@pytest.mark.parametrize("kind", ["docker", "podman", "apptainer", "udocker"])
def test_any_code_can_be_the_tools_own(kind, code):
    assert meaning(kind, code, b"my own words\nError: and more\n") == (code, None)


@pytest.mark.parametrize(
    ("kind", "code", "stderr", "says"),
    [
        (
            "docker",
            125,
            b"docker: Error response from daemon: No such image: x.\nSee 'docker run --help'.\n",
            "No such image",
        ),
        ("podman", 125, b"Error: statfs /nope: no such file or directory\n", "statfs /nope"),
        ("apptainer", 255, b"FATAL:   could not open image /x.sif: no such file\n", "could not open image"),
    ],
)
def test_what_the_engine_could_not_do_is_its_own(kind, code, stderr, says):
    _, refusal = meaning(kind, code, stderr)
    assert says in refusal
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("kind", "code", "stderr", "meant"),
    [
        ("podman", 1, b"ERROR (catatonit:6): failed to exec pid1: No such file or directory\n", 127),
        ("podman", 1, b"ERROR (catatonit:6): failed to exec pid1: Permission denied\n", 126),
        ("apptainer", 255, b'FATAL:   "nosuch": executable file not found in $PATH\n', 127),
        ("docker", 127, b"[FATAL tini (7)] exec nosuch failed: No such file or directory\n", 127),
    ],
)
def test_a_program_that_is_not_there_is_127_with_every_engine(kind, code, stderr, meant):
    assert meaning(kind, code, stderr) == (meant, None)


def test_only_a_signal_that_we_sent_is_reported_as_one():
    assert signed(137, {"KILL"}) == -9
    assert signed(143, {"TERM", "KILL"}) == -15
    assert signed(137, set()) == 137
    assert signed(143, {"KILL"}) == 143
    assert signed(0, {"TERM"}) == 0


def test_the_last_word_is_no_advice():
    assert (
        last_words(b"pulling\nError: not found.\n\nRun 'docker run --help' for more information\n")
        == "Error: not found"
    )
    assert last_words(b"") == "it wrote nothing"
