import logging
import os
from pathlib import Path

import pytest
from worker_builders import PretendContainers, entry, job, literal, paths, staged

from gridcwl.worker.collect import Collection
from gridcwl.worker.engine import EngineError

IMAGE = {"id": "debian"}


def test_a_job_runs_and_its_output_comes_back_with_its_checksums(bench):
    result = bench.run(job("echo hello > greeting.txt"))

    assert result["outcome"] == "success"
    assert result["exit_code"] == 0
    assert result["files"] == [
        {
            "path": "greeting.txt",
            "kind": "file",
            "location": (bench.out / "greeting.txt").as_uri(),
            "size": 6,
            "sha1": "f572d396fae9206628714fb2ce00f72e94f2258f",
            "adler32": "084b021f",
            "contents": None,
        }
    ]


def test_a_tool_starts_in_its_output_directory_which_is_its_home(bench):
    bench.run(job("pwd > pwd; echo $HOME > home; echo $TMPDIR > tmp", environment={"HOME": "/root"}))

    assert (bench.out / "pwd").read_text().strip() == str(bench.out)
    assert (bench.out / "home").read_text().strip() == str(bench.out)
    assert (bench.out / "tmp").read_text().strip() == str(bench.workdir / "tmp")


def test_a_tool_gets_the_environment_that_was_asked_for_and_no_other(bench, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")

    bench.run(job("env", "-u", "nothing", environment={"DATA": "/gridcwl/in/x"}, stdout="env"))

    lines = (bench.out / "env").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert names == {"DATA", "HOME", "TMPDIR", "PATH"}
    assert f"DATA={bench.workdir}/in/x" in lines


def test_a_container_keeps_the_path_of_its_image(bench):
    engine = PretendContainers()

    bench.run(job("true", image=IMAGE), engine=engine)

    assert engine.call.environment == {"HOME": "/gridcwl/out", "TMPDIR": "/gridcwl/tmp"}


def test_streams_go_to_the_files_that_were_asked_for(bench):
    data = bench.file("data", "in\n")

    result = bench.run(
        job("cat; echo err >&2", staged=[staged("/gridcwl/in/data", data)], stdin="/gridcwl/in/data",
            stdout="deep/out.txt", stderr="err.txt")
    )  # fmt: skip

    assert (bench.out / "deep/out.txt").read_text() == "in\n"
    assert (bench.out / "err.txt").read_text() == "err\n"
    assert result["stdout_log"] == str(bench.out / "deep/out.txt")


def test_streams_that_nobody_asked_for_are_kept_as_logs(bench):
    result = bench.run(job("echo out; echo err >&2"))

    assert Path(result["stdout_log"]).read_text() == "out\n"
    assert Path(result["stderr_log"]).read_text() == "err\n"
    assert result["files"] == []


def test_both_streams_in_one_file_do_not_overwrite_each_other(bench):
    bench.run(job("echo one; echo two >&2; echo three", stdout="all", stderr="all"))

    assert (bench.out / "all").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("name", ["../escaped", "/etc/motd", "a/../../b", "."])
def test_a_stream_outside_the_output_directory_is_refused(bench, name):
    result = bench.run(job("echo x", stdout=name))

    assert result["outcome"] == "permanent-failure"
    assert "output stream" in result["reason"]


def test_a_stream_never_overwrites_the_original_of_an_input(bench):
    data = bench.file("data", "precious")

    result = bench.run(job("echo x", staged=[staged("/gridcwl/out/log", data)], stdout="log"))

    assert "where an input is" in result["reason"]
    assert data.read_text() == "precious"


def test_a_missing_standard_input_is_named(bench):
    result = bench.run(job("cat", stdin="/gridcwl/in/nothing"))

    assert result["reason"] == "The tool's standard input, /gridcwl/in/nothing, is not there."


@pytest.mark.parametrize(
    ("code", "codes", "outcome"),
    [
        (0, {}, "success"),
        (3, {}, "permanent-failure"),
        (3, {"success": [3], "temporary_failure": [3]}, "success"),
        (3, {"temporary_failure": [3], "permanent_failure": [3]}, "temporary-failure"),
        (0, {"permanent_failure": [0]}, "permanent-failure"),
    ],
)
def test_exit_codes_mean_what_the_tool_declares(bench, code, codes, outcome):
    result = bench.run(job(f"exit {code}", exit_codes=codes))

    assert result["outcome"] == outcome
    assert result["exit_code"] == code


def test_a_tool_that_a_signal_ended_reports_which(bench):
    result = bench.run(job("kill -SEGV $$"))

    assert result["exit_code"] == -11
    assert "SIGSEGV" in result["reason"]


def test_a_container_without_enough_memory_is_reported_as_such(bench):
    result = bench.run(job("true", image=IMAGE), engine=PretendContainers(code=137, out_of_memory=True))

    assert result["outcome"] == "out-of-memory"


def test_a_failed_tool_comes_with_the_end_of_its_stderr(bench):
    result = bench.run(job("seq 1 100000 >&2; echo the reason >&2; exit 1"))

    lines = result["stderr_tail"].splitlines()
    assert lines[-1] == "the reason"
    assert len(lines) == 20


def test_64_megabytes_on_one_line_of_stderr_do_no_harm(bench):
    result = bench.run(job("head -c 67108864 /dev/zero | tr '\\0' x >&2; exit 1"))

    assert result["stderr_tail"] == "x" * 8192


def test_stderr_that_is_no_text_can_be_shown(bench):
    result = bench.run(job(r"printf 'caf\351' >&2; exit 1"))

    assert result["stderr_tail"] == "caf\N{REPLACEMENT CHARACTER}"


def test_a_program_that_is_not_there_is_named(bench):
    result = bench.run(job("no-such-program", "x"))

    assert result["outcome"] == "permanent-failure"
    assert result["exit_code"] is None
    assert result["reason"] == "The program no-such-program is not in PATH."


def test_a_program_that_moved_between_two_jobs_is_found_again(bench):
    environment = {"PATH": f"{bench.folder}/one:{bench.folder}/two:/usr/bin:/bin"}
    program = bench.file("one/tool", "#!/bin/sh\n")
    program.chmod(0o755)
    first = bench.run(job("tool", "x", environment=environment))
    (bench.folder / "two").mkdir()
    program.rename(bench.folder / "two/tool")
    bench.workdir = bench.folder / "second"

    second = bench.run(job("tool", "x", environment=environment))

    assert (first["outcome"], second["outcome"]) == ("success", "success")


def test_a_program_that_may_not_run_is_named(bench):
    program = bench.file("program")

    result = bench.run(job(str(program), "x"))

    assert result["reason"] == f"The program {program} cannot be run: Permission denied."


def test_usage_reports_what_a_tool_cost(bench):
    usage = bench.run(job("head -c 20000000 /dev/zero | sha1sum"))["usage"]

    assert usage["started"].endswith("Z")
    assert usage["wall_s"] > 0
    assert usage["cpu_s"] > 0
    assert usage["host"] == os.uname().nodename


def test_what_a_tool_leaves_in_the_background_ends_with_it(bench):
    fifo = bench.fifo()
    # The sleeper holds the pipe open for writing: we read its end when the sleeper is gone, and not before.
    result = bench.run_aside(job(f"exec 3> {fifo}; sleep 1000 & exit 0"))

    with fifo.open("rb") as end:
        assert end.read() == b""
    assert result()["outcome"] == "success"


def test_a_working_directory_serves_one_job(bench):
    bench.run(job("echo first > result"))

    result = bench.run(job("echo second > result"))

    assert "holds an earlier job" in result["reason"]
    assert (bench.out / "result").read_text() == "first\n"


def test_a_job_of_another_format_is_refused(bench):
    result = bench.run(job("true", format="gridcwl-job/9"))

    assert result["reason"] == "This worker runs jobs of the format gridcwl-job/1, and this one is gridcwl-job/9."


def test_the_result_reports_which_image_the_tool_ran_in(bench):
    result = bench.run(job("true", image=IMAGE), engine=PretendContainers())
    assert result["image"] == f"{IMAGE['id']}@sha256:1"
    assert bench.run(job("true"))["image"] == ""


@pytest.mark.parametrize(("temporary", "outcome"), [(False, "permanent-failure"), (True, "temporary-failure")])
def test_an_engine_that_cannot_do_its_part_reports_why(bench, temporary, outcome):
    engine = PretendContainers()

    def prepare(_image):
        raise EngineError("No image debian here.", temporary=temporary)

    engine.prepare = prepare
    result = bench.run(job("true", image=IMAGE), engine=engine)

    assert (result["outcome"], result["reason"]) == (outcome, "No image debian here.")


def test_a_mistake_of_the_worker_loses_no_job(bench, monkeypatch, caplog):
    def broken(*_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("gridcwl.worker.job.collect", broken)
    with caplog.at_level(logging.ERROR):
        result = bench.run(job("true"))

    assert result["outcome"] == "permanent-failure"
    assert result["reason"] == "The worker itself failed: ZeroDivisionError: oh."
    assert "Traceback" in caplog.text


def test_a_bare_command_needs_no_container_engine(bench):
    engine = PretendContainers()

    result = bench.run(job("echo x > x"), engine=engine)

    assert paths(result) == ["x"]
    assert engine.call is None


def test_files_are_listed_only_of_a_tool_that_succeeded(bench, monkeypatch):
    collected = []
    monkeypatch.setattr("gridcwl.worker.job.collect", lambda *_: collected.append(1) or Collection([], []))

    bench.run(job("echo x > x; exit 1"))

    assert collected == []


def test_limits_reach_the_engine_only_when_this_machine_wants_them(bench):
    free, held = PretendContainers(), PretendContainers()
    described = job("true", image=IMAGE, resources={"cores": 2, "ram_mib": 100, "network": True})

    bench.run(described, engine=free)
    bench.workdir = bench.folder / "other"
    bench.run(described, engine=held, limit_cores=True, limit_ram=True)

    assert (free.call.cores, free.call.ram_mib, free.call.network) == (None, None, True)
    assert (held.call.cores, held.call.ram_mib) == (2, 100)


def test_a_container_is_named_and_labelled_after_run_and_job(bench):
    engine = PretendContainers()

    bench.run(job("true", image=IMAGE, attempt=2), engine=engine)

    assert engine.call.name == "gridcwl-job-1-2"
    assert engine.call.labels == {"gridcwl.run": "run-1", "gridcwl.job": "job-1"}


def test_contents_of_chosen_files_come_back(bench):
    result = bench.run(
        job("printf abc > a.txt; head -c 70000 /dev/zero > big", outputs={"globs": None, "contents": ["*.txt", "big"]})
    )

    assert entry(result, "a.txt")["contents"] == "YWJj"
    assert len(entry(result, "big")["contents"]) == 65536 // 3 * 4 + 4


def test_literals_can_be_programs_input(bench):
    result = bench.run(job("cat", staged=[literal("/gridcwl/in/text", "hi")], stdin="/gridcwl/in/text", stdout="o"))

    assert entry(result, "o")["size"] == 2
