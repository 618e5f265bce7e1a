"""What became of reloads and workers, as Prometheus sees it."""

from sidecar.observability.metrics import Metrics
from sidecar.observability.upkeep import Upkeep
from tests.observability.test_metrics import scrape

SUCCESSFUL = "sidecar_settings_last_reload_successful"
SINCE = "sidecar_settings_last_reload_success_timestamp_seconds"
EXPIRY = "sidecar_certificate_expiry_timestamp_seconds"
RESTARTS = "sidecar_worker_restarts_total"


def seen(upkeep: Upkeep) -> tuple[float, float, float]:
    metrics = Metrics()
    metrics.registry.register(upkeep)
    found = scrape(metrics)
    return found[SUCCESSFUL], found[SINCE], found[RESTARTS]


def test_what_was_started_with_counts_as_loaded() -> None:
    assert seen(Upkeep(5.0)) == (1, 5, 0)


def test_a_refused_reload_shows_until_one_is_taken() -> None:
    upkeep = Upkeep(5.0)
    upkeep.reload_failed()
    assert seen(upkeep) == (0, 5, 0)

    upkeep.reloaded(7.0)
    assert seen(upkeep) == (1, 7, 0)


def test_workers_that_are_replaced_are_counted() -> None:
    upkeep = Upkeep(5.0)
    upkeep.worker_restarted()
    upkeep.worker_restarted()

    assert seen(upkeep) == (1, 5, 2)


def test_certificates_in_force_are_shown_and_those_before_forgotten() -> None:
    metrics, upkeep = Metrics(), Upkeep(5.0)
    metrics.registry.register(upkeep)
    upkeep.certificates_in_force({"listen.tls": 70.0, "admin.tls": 80.0})
    first = scrape(metrics)
    upkeep.certificates_in_force({"listen.tls": 90.0})
    then = scrape(metrics)

    assert first[f"{EXPIRY},place=listen.tls"] == 70
    assert first[f"{EXPIRY},place=admin.tls"] == 80
    assert then[f"{EXPIRY},place=listen.tls"] == 90
    assert f"{EXPIRY},place=admin.tls" not in then
