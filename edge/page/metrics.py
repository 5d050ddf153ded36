"""The status for Prometheus, through its own client library."""

from __future__ import annotations

import time
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from edge.status import BOUNDS, WATCHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.status import Report, Status, Times


class Metrics:
    """What Prometheus scrapes.

    Raises:
        ImportError: there is no prometheus_client.
    """

    def __init__(self, status: Status) -> None:
        import prometheus_client  # only once somebody scrapes

        # A registry of our own: the library's is the whole process's.
        self._registry = prometheus_client.CollectorRegistry()
        self._registry.register(_Collector(status))
        prometheus_client.ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type, in the format that is asked for.

        Args:
            accept: the request's `Accept`.
        """
        from prometheus_client.exposition import choose_encoder

        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind


class _Collector:
    """Makes all metrics from one report, when scraped: the loop keeps none up to date."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Any]:
        from prometheus_client import core

        status, report = self._status, self._status.report()
        info = core.InfoMetricFamily("handwave_release", "Which bundle runs.")
        info.add_metric([], {"release": report.release or ""})
        yield info
        frames = core.CounterMetricFamily("handwave_frames", "Frames decided on.")
        frames.add_metric([], report.frames)
        yield frames
        failures = core.CounterMetricFamily("handwave_output_failures", "Failures of an output.")
        failures.add_metric([], report.output_failures)
        yield failures
        decisions = core.CounterMetricFamily(
            "handwave_decisions", "How often a label was decided.", labels=["label"]
        )
        for label, number in sorted(status.decided.copy().items()):
            decisions.add_metric([label], number)
        yield decisions
        yield _histogram("frame_to_pin", "From a frame's arrival to its pins.", status.latency)
        yield _histogram("processing", "Model, deciding and outputs of a frame.", status.process)
        for name, help_text, value in _gauges(report):
            if value is not None:
                yield core.GaugeMetricFamily(f"handwave_{name}", help_text, value=value)


def _gauges(report: Report) -> list[tuple[str, str, float | None]]:
    """Return `(name, what it is, value)`; names end in their unit."""
    # As Prometheus wants it: when, not how long ago, so that silence shows.
    last = None if report.last_frame is None else time.time() - report.last_frame
    return [
        ("watching", "1 while all is well, 0 while not: see the state.", report.state == WATCHING),
        ("last_frame_timestamp_seconds", "When the last frame came, since 1970.", last),
        ("confidence_ratio", "Mean probability of what is decided.", report.confidence),
        ("frame_rate_hertz", "Frames a second, over the last few seconds.", report.fps),
        ("uptime_seconds", "Since the start.", report.uptime),
        ("temperature_celsius", "Of the processor.", report.temperature),
        ("undervoltage", "1 while the Pi gets too little power.", report.undervoltage),
        ("throttled", "1 while the Pi slows itself down.", report.throttled),
    ]


def _histogram(name: str, help_text: str, times: Times) -> Any:
    from prometheus_client import core

    total, counts = times.total, list(accumulate(list(times.buckets)))
    edges = [*(str(bound) for bound in BOUNDS), "+Inf"]
    return core.HistogramMetricFamily(
        f"handwave_{name}_seconds",
        help_text,
        buckets=list(zip(edges, counts, strict=True)),
        sum_value=total,
    )
