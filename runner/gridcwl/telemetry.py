"""OpenTelemetry: spans of server calls, and what makes spans and metrics of runs possible. Off unless it is enabled.

Only its API is called, so whatever SDK a program has configured receives them. Where none is configured, gridcwl's own
command sets one up that sends to a collector by OTLP (``OTEL_EXPORTER_OTLP_ENDPOINT``). While it is off, nothing of it
is imported, and a span costs one comparison.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from gridcwl.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

F = TypeVar("F", bound=Callable[..., Any])

_SCOPE = "gridcwl"
_NOTHING: AbstractContextManager[None] = nullcontext()
_REMEDY = "Install it: pip install 'gridcwl[telemetry]'. Or set telemetry to false."
_lock = threading.Lock()


class Telemetry:
    """Spans and metrics of this process."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.tracer = tracer
        self.meter = meter
        self._calls = meter.create_histogram("gridcwl.server.call.duration", "s", "calls of servers: DIRAC, Rucio")

    @contextmanager
    def call(self, server: str, operation: str) -> Iterator[None]:
        """A call of a server."""
        from opentelemetry.trace import SpanKind

        begun, known = time.monotonic(), {"gridcwl.server": server, "gridcwl.operation": operation}
        failed = "true"
        try:
            with self.tracer.start_as_current_span(f"{server} {operation}", kind=SpanKind.CLIENT, attributes=known):
                yield
                failed = "false"
        finally:
            self._calls.record(time.monotonic() - begun, {**known, "gridcwl.failed": failed})


_active: Telemetry | None = None


def active() -> Telemetry | None:
    """The telemetry of this process; None if it is off."""
    return _active


def enable() -> None:
    """Turn it on; again, nothing changes.

    Raises:
        ConfigError: a package is missing.
    """
    global _active  # noqa: PLW0603  it is one for a process
    with _lock:
        if _active is not None:
            return
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise ConfigError("OpenTelemetry is not installed, and telemetry is enabled", remedy=_REMEDY) from None
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _set_up_sdk()
        _active = Telemetry(trace.get_tracer(_SCOPE), metrics.get_meter(_SCOPE))


def disable() -> None:
    """Turn it off."""
    global _active  # noqa: PLW0603
    with _lock:
        _active = None


def _set_up_sdk() -> None:
    """For a process that has configured none: everything goes to the collector that OTEL_* variables name."""
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError("OpenTelemetry has no exporter, and telemetry is enabled", remedy=_REMEDY) from None
    resource = Resource.create({"service.name": _SCOPE})  # OTEL_SERVICE_NAME comes first
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource))


def call(server: str, operation: str) -> AbstractContextManager[None]:
    """A span around a call of a server."""
    return _NOTHING if _active is None else _active.call(server, operation)


def carried(function: F) -> F:
    """The function, to be called in another thread: spans that it makes belong to the one that is current now."""
    if _active is None:
        return function
    import contextvars

    context = contextvars.copy_context()
    return lambda *arguments, **named: context.run(function, *arguments, **named)  # type: ignore[return-value]
