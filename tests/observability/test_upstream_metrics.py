"""How upstream's addresses are: in the metrics, for readiness, and forgotten when nobody asks."""

from prometheus_client import CollectorRegistry

from sidecar.observability.upstream_metrics import UpstreamMetrics

ONE, OTHER = "http://127.0.0.1:1", "http://127.0.0.1:2"


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"sidecar_upstream_{name}", labels)


def test_what_the_pool_tells_is_counted_by_address() -> None:
    registry = CollectorRegistry()
    with UpstreamMetrics(registry).health() as health:
        for address in (ONE, OTHER):
            health.is_healthy(address, healthy=True)
        health.probed(ONE, well=True)
        health.probed(ONE, well=False)
        health.is_healthy(ONE, healthy=False)

        assert value(registry, "healthy", address=ONE) == 0
        assert value(registry, "healthy", address=OTHER) == 1
        assert value(registry, "probes_total", address=ONE, outcome="well") == 1
        assert value(registry, "probes_total", address=ONE, outcome="failed") == 1
        assert value(registry, "circuit_openings_total", address=ONE) == 1
        assert value(registry, "circuit_openings_total", address=OTHER) == 0


def test_one_healthy_address_is_enough_to_be_ready() -> None:
    with UpstreamMetrics(CollectorRegistry()).health() as health:
        assert health.has_healthy
        for address in (ONE, OTHER):
            health.is_healthy(address, healthy=True)
        health.is_healthy(ONE, healthy=False)
        assert health.has_healthy
        health.is_healthy(OTHER, healthy=False)
        assert not health.has_healthy


def test_an_address_that_no_settings_name_any_more_raises_no_alarm() -> None:
    """While two sets of settings name it, as at a reload, the first one's end changes nothing."""
    registry = CollectorRegistry()
    metrics = UpstreamMetrics(registry)
    with metrics.health() as second:
        with metrics.health() as first:
            for address in (ONE, OTHER):
                first.is_healthy(address, healthy=False)
            second.is_healthy(ONE, healthy=False)

        assert value(registry, "healthy", address=OTHER) is None
        assert value(registry, "healthy", address=ONE) == 0
