"""OpenTelemetry: spans of runs, steps, jobs and server calls; metrics; and nothing while it is off."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from documents import Desk, on_command_line, shell, step, workflow
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gridcwl
from gridcwl import telemetry
from gridcwl.errors import ConfigError, RunFailed


class Collected:
    """What a collector would have received."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        traces, metrics = TracerProvider(), MeterProvider([self.reader])
        traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        active = telemetry.Telemetry(traces.get_tracer("gridcwl"), metrics.get_meter("gridcwl"))
        monkeypatch.setattr(telemetry, "_active", active)

    def spans(self, beginning: str = "") -> list:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(beginning)]

    def metrics(self) -> dict[str, list]:
        found = self.reader.get_metrics_data().resource_metrics[0].scope_metrics
        return {metric.name: list(metric.data.data_points) for scope in found for metric in scope.metrics}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Collected:
    return Collected(monkeypatch)


def scattered(desk: Desk) -> str:
    tool = shell('[ "$0" != bad ]', inputs={"word": on_command_line("string")})
    return desk.write("wf.cwl", workflow({"words": "string[]"}, {}, check=step(tool, scatter="word", word="words")))


def test_a_run_has_a_span_and_so_have_its_steps_and_jobs(desk: Desk, collected: Collected):
    run = gridcwl.run(scattered(desk), {"words": ["a", "b"]}, telemetry=True)

    (whole,), (of_step,), jobs = collected.spans("run"), collected.spans("step"), collected.spans("job")
    assert (whole.name, whole.attributes["gridcwl.run"]) == ("run wf.cwl", run.id)
    assert of_step.parent.span_id == whole.context.span_id
    assert [job.parent.span_id for job in jobs] == [of_step.context.span_id] * 2
    assert {job.attributes["gridcwl.job.name"] for job in jobs} == {"check[0]", "check[1]"}
    assert all(job.status.is_ok for job in jobs) or all(not job.status.description for job in jobs)
    assert all(job.attributes["gridcwl.cpu_s"] >= 0 for job in jobs)


def test_a_failed_job_has_an_error_and_is_counted(desk: Desk, collected: Collected):
    with pytest.raises(RunFailed):
        gridcwl.run(scattered(desk), {"words": ["good", "bad"]}, telemetry=True, on_error="continue")

    failed = [span for span in collected.spans("job") if not span.status.is_unset]
    assert [span.status.description for span in failed] == ["The tool ended with exit code 1."]
    counts = {point.attributes["gridcwl.outcome"]: point.value for point in collected.metrics()["gridcwl.jobs"]}
    assert counts == {"success": 1, "permanent-failure": 1}
    assert sum(point.count for point in collected.metrics()["gridcwl.job.duration"]) == 2
    assert [point.value for point in collected.metrics()["gridcwl.jobs.running"]] == [0]


def test_a_run_without_telemetry_has_no_spans_although_another_has(desk: Desk, collected: Collected):
    gridcwl.run(scattered(desk), {"words": ["a"]})
    assert collected.spans() == []


def test_a_call_of_a_server_is_a_span_of_the_run(collected: Collected):
    def ask() -> None:
        with telemetry.call("Rucio", "whoami"):
            pass

    with telemetry.active().tracer.start_as_current_span("run"):
        thread = threading.Thread(target=telemetry.carried(ask))
        thread.start()
        thread.join()
        with pytest.raises(OSError, match="gone"), telemetry.call("DIRAC", "submitting jobs"):
            raise OSError("gone")

    (whoami,), (submitting,), (run,) = (collected.spans(name) for name in ("Rucio", "DIRAC", "run"))
    assert whoami.parent.span_id == submitting.parent.span_id == run.context.span_id
    assert (whoami.name, submitting.name) == ("Rucio whoami", "DIRAC submitting jobs")
    assert not submitting.status.is_ok
    points = collected.metrics()["gridcwl.server.call.duration"]
    failed = {point.attributes["gridcwl.server"]: point.attributes["gridcwl.failed"] for point in points}
    assert failed == {"Rucio": "false", "DIRAC": "true"}


def test_while_it_is_off_nothing_of_it_is_imported(desk: Desk):
    desk.write("t.cwl", shell("true"))
    code = (
        "import sys, gridcwl; gridcwl.run('t.cwl'); from gridcwl import telemetry\n"
        "assert telemetry.call('Rucio', 'x') is telemetry.call('DIRAC', 'y')\n"
        "assert telemetry.carried(len) is len\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"


def test_without_the_packages_it_reports_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(telemetry, "_active", None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match="OpenTelemetry is not installed") as raised:
        telemetry.enable()
    assert "pip install 'gridcwl[telemetry]'" in str(raised.value)


def test_the_exporter_sends_to_the_collector_that_the_environment_names(desk: Desk):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    received: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            received.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    desk.write("t.cwl", shell("true"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**desk_environment(), "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        subprocess.run([sys.executable, "-m", "gridcwl", "--quiet", "t.cwl"], env=environment, check=True)
        server.shutdown()
    assert set(received) == {"/v1/traces", "/v1/metrics"}


def desk_environment() -> dict[str, str]:
    import os

    return {**os.environ, "GRIDCWL_TELEMETRY": "true"}
