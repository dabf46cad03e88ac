"""Stopping a job: by another thread, by its time limit, with all that it started."""

import threading

from worker_builders import PretendContainers, job

from gridcwl.worker.bare_engine import BareEngine
from gridcwl.worker.control import Control
from gridcwl.worker.engine import EngineError


def test_a_stopped_job_ends_as_cancelled(bench):
    fifo = bench.fifo()
    result = bench.run_aside(job(f"echo up > {fifo}; sleep 1000"))
    fifo.read_bytes()

    bench.control.stop("The user pressed Ctrl-C.")

    assert result()["outcome"] == "cancelled"
    assert result()["exit_code"] == -15
    assert result()["reason"] == "The user pressed Ctrl-C."


def test_a_tool_may_clean_up_when_it_is_asked_to_stop(bench):
    fifo = bench.fifo()
    result = bench.run_aside(
        job(f"trap 'echo bye > {bench.folder}/bye; exit 0' TERM; echo up > {fifo}; sleep 1000 & wait")
    )
    fifo.read_bytes()

    bench.control.stop()

    assert result()["outcome"] == "cancelled"
    assert (bench.folder / "bye").read_text() == "bye\n"


def test_a_tool_that_ignores_the_request_is_killed_after_the_grace(bench):
    bench.control = Control(grace_s=0.1)
    fifo = bench.fifo()
    result = bench.run_aside(job(f"trap '' TERM; echo up > {fifo}; while :; do sleep 1000; done"))
    fifo.read_bytes()

    bench.control.stop()

    assert result()["exit_code"] == -9
    assert result()["outcome"] == "cancelled"


def test_kill_does_not_wait_for_the_grace(bench):
    fifo = bench.fifo()
    result = bench.run_aside(job(f"trap '' TERM; echo up > {fifo}; while :; do sleep 1000; done"))
    fifo.read_bytes()

    bench.control.stop()
    bench.control.kill()

    assert result()["exit_code"] == -9


def test_a_kill_that_comes_before_the_tool_has_started_has_no_grace_either(bench):
    class Starting(BareEngine):
        def start(self, call):
            running = super().start(call)
            bench.control.kill()  # between the tool's start and its attachment
            return running

    result = bench.run(job("trap '' TERM; while :; do sleep 1000; done"), engine=Starting())

    assert result["exit_code"] == -9


def test_grandchildren_end_as_well(bench):
    fifo = bench.fifo()
    result = bench.run_aside(job(f"trap '' TERM; (sh -c 'trap \"\" TERM; exec sleep 1000' & wait) > {fifo}"))

    with fifo.open("rb") as held_by_grandchild:
        bench.control.kill()
        assert held_by_grandchild.read() == b""  # its end: every process that had it open is gone
    assert result()["outcome"] == "cancelled"


def test_an_engine_that_trips_over_the_stop_does_not_hide_it(bench):
    class Tripping(PretendContainers):
        def wait(self):
            bench.control.stop("Stopped.")
            raise EngineError("The container is gone.")

    result = bench.run(job("true", image={"id": "debian"}), engine=Tripping())

    assert (result["outcome"], result["reason"]) == ("cancelled", "Stopped.")


def test_a_job_that_was_stopped_before_it_began_never_starts(bench):
    bench.control.stop()

    result = bench.run(job(f"touch {bench.folder}/started"))

    assert result["outcome"] == "cancelled"
    assert not (bench.folder / "started").exists()


def test_a_tool_is_ended_at_its_time_limit(bench):
    result = bench.run(job("sleep 1000", resources={"time_limit_s": 0.05}))

    assert result["outcome"] == "time-limit"
    assert result["reason"] == "The tool ran longer than its limit of 0.05 s."


def test_a_time_limit_of_zero_is_none(bench):
    assert bench.run(job("true", resources={"time_limit_s": 0}))["outcome"] == "success"


def test_no_timer_outlives_its_job(bench):
    bench.run(job("true", resources={"time_limit_s": 1000}))

    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(30)
            assert not thread.is_alive()


def test_stopping_after_the_end_changes_nothing(bench):
    result = bench.run(job("true"))

    bench.control.stop()
    bench.control.kill()

    assert result["outcome"] == "success"
