"""Tools that say too much, leave strange files, or do not want to end."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, Document, glob, on_command_line, shell, step, workflow
from kept_runs import running_below
from waiting import until

MIB = 1 << 20


def run(place: Desk, document: object) -> CommandResult:
    place.write("tool.cwl", document)  # type: ignore[arg-type]
    return gridcwl("--quiet", "--no-container", "--outdir", str(place.outdir), "tool.cwl")


def failed(result: CommandResult, *words: str) -> None:
    """It failed, with a few lines that hold these words, and no trace."""
    assert result.code == 1, result.stderr
    assert [word for word in words if word not in result.stderr] == []
    assert "Traceback" not in result.stderr
    assert len(result.stderr) < 10_000


def kept_logs(place: Desk, stream: str) -> list[Path]:
    """What was kept of the tools' words."""
    return list((place.folder / "state").rglob(f"{stream}.log"))


def test_a_tool_that_ignores_sigterm_is_killed_when_its_time_is_over(place: Desk) -> None:
    script = "trap '' TERM; while :; do sleep 0.1; done"
    failed(run(place, shell(script, requirements={"ToolTimeLimit": {"timelimit": 1}})), "longer than its limit of 1 s")
    until(lambda: not list(running_below(place.folder / "tmp")))  # what the tool had started may end a moment later


def test_of_ten_megabytes_on_stderr_the_end_is_shown_and_all_is_kept(place: Desk) -> None:
    result = run(place, shell("yes 'an unhappy line' | head -c 10485760 >&2; echo the last words >&2; exit 3"))
    failed(result, "the last words", "ended with exit code 3")
    (log,) = kept_logs(place, "stderr")
    assert log.stat().st_size == 10 * MIB + len("the last words\n")
    assert str(log) in result.stderr
    assert list((place.folder / "tmp").rglob("*.log")) == []  # nothing stays there that nobody needs


def test_sixty_four_megabytes_in_one_line_of_stdout_are_an_output_as_any(place: Desk) -> None:
    result = run(place, shell("head -c 67108864 /dev/zero | tr '\\0' x", outputs={"o": "stdout"}, stdout="o.txt"))
    assert result.code == 0, result.stderr
    digest = hashlib.sha1(b"x" * (64 * MIB)).hexdigest()
    assert (result.outputs["o"]["size"], result.outputs["o"]["checksum"]) == (64 * MIB, f"sha1${digest}")


def test_of_one_long_line_before_a_failure_the_end_is_shown(place: Desk) -> None:
    result = run(place, shell("head -c 67108864 /dev/zero | tr '\\0' x; echo the end; exit 3"))
    failed(result, "the end", "ended with exit code 3")


def test_words_that_are_not_utf_8_are_shown_as_far_as_they_go(place: Desk) -> None:
    failed(run(place, shell(r"printf 'caf\351 \377\376 here\n' >&2; exit 3")), "caf\N{REPLACEMENT CHARACTER}", "here")


def test_output_files_whose_names_are_not_utf_8_keep_their_names(place: Desk) -> None:
    result = run(place, shell(r"echo x > $(printf 'caf\351.txt')", outputs={"o": glob("*.txt", "File[]")}))
    assert result.code == 0, result.stderr
    assert os.listdir(os.fsencode(place.outdir)) == [b"caf\xe9.txt"]  # noqa: PTH208  as bytes
    assert result.outputs["o"][0]["location"].endswith("/caf%E9.txt")


def handed_on(image: str = "") -> Document:
    """A file whose name is not UTF-8, and a step that reads it, in a container if there is an image."""
    hints = {"DockerRequirement": {"dockerPull": image}} if image else {}
    makes = shell(r"echo x > $(printf 'caf\351.txt')", outputs={"f": glob("*.txt")})
    reads = shell('cat "$0"; basename "$0"', inputs={"f": on_command_line("File")}, outputs={"o": "stdout"}, stdout="o")
    steps = {"one": step(makes, "f"), "two": step(reads | {"hints": hints}, "o", f="one/f")}
    return workflow({}, {"o": {"type": "File", "outputSource": "two/o"}}, **steps)


def test_a_file_whose_name_is_not_utf_8_is_read_by_the_next_step(place: Desk) -> None:
    result = run(place, handed_on())
    assert result.code == 0, result.stderr
    assert (place.outdir / "o").read_bytes() == b"x\ncaf\xe9.txt\n"


@pytest.mark.docker
def test_a_name_that_is_not_utf_8_is_refused_for_a_container(place: Desk) -> None:
    place.write("wf.cwl", handed_on("debian:trixie-slim"))
    failed(gridcwl("--quiet", "--outdir", str(place.outdir), "wf.cwl"), r"caf\xe9.txt: it is not UTF-8")


def test_a_link_out_of_the_working_directory_is_not_followed(place: Desk) -> None:
    place.write("secret.txt", "not for others\n")
    link = f"ln -s {place.folder}/secret.txt secret.txt; ln -s /etc d; echo x > own.txt"
    failed(run(place, shell(link, outputs={"o": glob("secret.txt")})), "secret.txt", "leads out of its directory")
    result = run(place, shell(f"mkdir all; cd all; {link}", outputs={"o": glob("all", "Directory")}))
    failed(result, "symbolic links that lead out of its output directory: all/d, all/secret.txt")
    assert not place.outdir.exists()


@pytest.mark.parametrize("pattern", ["../*", "/etc/passwd", "d/../../*", "$(inputs.up)"])
def test_a_pattern_that_leads_out_of_the_working_directory_is_refused(place: Desk, pattern: str) -> None:
    inputs = {"up": {"type": "string", "default": "../x"}}
    result = run(place, shell("touch ../x; mkdir -p d", inputs=inputs, outputs={"o": glob(pattern)}))
    failed(result, "leads out of the output directory")
    assert not place.outdir.exists()


def test_a_thousand_outputs_of_one_job_are_all_there_in_their_order(place: Desk) -> None:
    script = "for n in $(seq -w 1000); do echo $n > $n.txt; done"
    result = run(place, shell(script, outputs={"o": glob("*.txt", "File[]")}))
    assert result.code == 0, result.stderr
    names = [f"{number:04}.txt" for number in range(1, 1001)]
    assert [file["basename"] for file in result.outputs["o"]] == names
    assert place.listing() == names


def test_an_empty_file_and_a_sparse_one_of_five_gigabytes_stay_what_they_are(place: Desk) -> None:
    outputs = {"empty": glob("empty"), "huge": glob("huge")}
    result = run(place, shell("touch empty; truncate -s 5G huge", outputs=outputs))
    assert result.code == 0, result.stderr
    assert result.outputs["empty"]["checksum"] == f"sha1${hashlib.sha1(b'').hexdigest()}"
    assert result.outputs["huge"]["size"] == 5 << 30
    assert (place.outdir / "huge").stat().st_blocks * 512 < MIB  # its holes are holes still
