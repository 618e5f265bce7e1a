"""What became of reloads and of workers, and until when certificates are good.

Metrics of the process that stays.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override


class Upkeep(Collector):
    """Counts by itself: with several workers their parent's metrics are in no worker's file."""

    def __init__(self, started_at: float) -> None:
        self._is_reloaded = True
        self._loaded_at = started_at
        self._restarts = 0
        self._expiries: Mapping[str, float] = {}

    def reloaded(self, at: float) -> None:
        """Note that new settings are in force, since ``at`` (epoch seconds)."""
        self._is_reloaded, self._loaded_at = True, at

    def reload_failed(self) -> None:
        """Note that new settings were refused: those before stay in force."""
        self._is_reloaded = False

    def worker_restarted(self) -> None:
        """Count a worker that ended by itself and is replaced."""
        self._restarts += 1

    def certificates_in_force(self, expiries: Mapping[str, float]) -> None:
        """Note when each certificate of ours expires (epoch seconds), by its place in settings."""
        self._expiries = expiries

    @override
    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "sidecar_settings_last_reload_successful",
            "1 unless the last reload was refused.",
            value=float(self._is_reloaded),
        )
        yield GaugeMetricFamily(
            "sidecar_settings_last_reload_success_timestamp_seconds",
            "Since when the settings in force are.",
            value=self._loaded_at,
        )
        yield CounterMetricFamily(
            "sidecar_worker_restarts",
            "Workers that ended by themselves and were replaced.",
            value=self._restarts,
        )
        expiry = GaugeMetricFamily(
            "sidecar_certificate_expiry_timestamp_seconds",
            "When a certificate of ours that is in force expires.",
            labels=("place",),
        )
        for place, at in self._expiries.items():
            expiry.add_metric((place,), at)
        yield expiry
