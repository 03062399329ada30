"""Metrics: what a service counts, in a registry of its own, for Prometheus to read."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A sweep takes milliseconds where little runs, and seconds where very much does.
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class SweepMetrics:
    """
    How a service's sweeps go.

    Args:
        service: Its name; every metric begins with ``eugo_`` and it.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._sweeps = Counter(
            f"eugo_{service}_sweeps",
            "Sweeps by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"eugo_{service}_sweep_seconds",
            "How long a sweep took.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._last = Gauge(
            f"eugo_{service}_last_sweep_timestamp_seconds",
            "When the last sweep that acted ended.",
            registry=self.registry,
        )
        for outcome in ("done", "idle", "failed"):
            self._sweeps.labels(outcome)

    def gauge(self, name: str, help_text: str) -> Gauge:
        """Return a new gauge."""
        return Gauge(f"eugo_{self._service}_{name}", help_text, registry=self.registry)

    def counter(self, name: str, help_text: str) -> Counter:
        """Return a new counter."""
        return Counter(f"eugo_{self._service}_{name}", help_text, registry=self.registry)

    @contextmanager
    def sweep(self) -> Iterator[list[bool]]:
        """Measure a sweep; whoever sweeps appends whether it acted."""
        acted: list[bool] = []
        began = time.perf_counter()
        try:
            yield acted
        except BaseException:
            self._sweeps.labels("failed").inc()
            raise
        self._seconds.observe(time.perf_counter() - began)
        if any(acted):
            self._sweeps.labels("done").inc()
            self._last.set_to_current_time()
        else:
            self._sweeps.labels("idle").inc()

    def export(self) -> bytes:
        """Return the text format."""
        return generate_latest(self.registry)
