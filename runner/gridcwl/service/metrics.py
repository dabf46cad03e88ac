"""``/metrics``: in the text form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gridcwl import __version__
from gridcwl.service.states import State
from gridcwl.service.web import Service


class _Runs(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("gridcwl_runs", "Runs in the database, by their WES state.", labels=["state"])
        counts = self._service.db.counts()
        for state in State:
            runs.add_metric([str(state)], counts.get(state, 0))
        yield runs
        yield GaugeMetricFamily(
            "gridcwl_active_runs", "Runs that this process works on.", value=self._service.driver.active
        )
        most = self._service.settings.max_active
        yield GaugeMetricFamily("gridcwl_max_active_runs", "The most that it works on at a time.", value=most)
        about = GaugeMetricFamily("gridcwl_build_info", "The version that runs.", labels=["version"])
        about.add_metric([__version__], 1)
        yield about


def metrics(request: Request) -> Response:
    """The numbers of now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Runs(request.app.state.service))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
