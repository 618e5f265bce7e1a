"""How the addresses of upstream are, for metrics and readiness."""

import os
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge


class UpstreamMetrics:
    """What is counted of upstream's addresses. Those are the settings', so they are few."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._told_by: Tally[str] = Tally()
        self._healthy = Gauge(
            "sidecar_upstream_healthy", "1 while an address of upstream is asked.", ("address",),
            registry=registry, multiprocess_mode="livemin",
        )  # fmt: skip
        self._probes = Counter(
            "sidecar_upstream_probes", "Probes of upstream.", ("address", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._openings = Counter(
            "sidecar_upstream_circuit_openings", "Times that an address was asked no more.",
            ("address",), registry=registry,
        )  # fmt: skip

    @contextmanager
    def health(self) -> Iterator["UpstreamHealth"]:
        """Give what hears of the addresses that one set of settings names, until the block ends.

        Then those are forgotten that no other set of settings names.
        """
        health = UpstreamHealth(self)
        try:
            yield health
        finally:
            for address in health.healthy:
                self._told_by[address] -= 1
                # Where workers share files, a series goes with its worker, and cannot go before.
                if not self._told_by[address] and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
                    self._healthy.remove(address)

    def named(self, address: str) -> None:
        self._told_by[address] += 1

    def probed(self, address: str, *, well: bool) -> None:
        self._probes.labels(address, "well" if well else "failed").inc()

    def is_healthy(self, address: str, *, healthy: bool) -> None:
        self._healthy.labels(address).set(healthy)
        self._openings.labels(address).inc(0 if healthy else 1)


class UpstreamHealth:
    """How the addresses are that one set of settings names; as the pool tells it."""

    def __init__(self, metrics: UpstreamMetrics) -> None:
        self._metrics = metrics
        self.healthy: dict[str, bool] = {}

    def probed(self, address: str, *, well: bool) -> None:
        self._metrics.probed(address, well=well)

    def is_healthy(self, address: str, *, healthy: bool) -> None:
        if address not in self.healthy:
            self._metrics.named(address)
        self.healthy[address] = healthy
        self._metrics.is_healthy(address, healthy=healthy)

    @property
    def has_healthy(self) -> bool:
        """Whether there is an address that is asked, or none was named."""
        return any(self.healthy.values()) or not self.healthy
