"""What ``/metrics`` says, read back: for people who watch a sidecar without a Prometheus."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

_Sample = tuple[str, Mapping[str, str], float]


@dataclass(frozen=True, slots=True)
class Keys:
    """An issuer's keys in force; ``loaded_at`` is in epoch seconds."""

    number: int = 0
    loaded_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One scrape. Counters are totals since the sidecar started; times are epoch seconds.

    ``decisions`` is by (outcome, reason), ``cuts`` by reason, ``in_flight`` by kind, ``keys`` by
    issuer, ``fetches`` by (issuer, outcome), ``requests`` by HTTP status, ``upstream_errors`` by
    error, ``view_events`` by event, ``shadow_denials`` by reason. ``proven_at`` is 0 where the
    account view was never proven.
    """

    decisions: Mapping[tuple[str, str], float] = field(default_factory=dict)
    cuts: Mapping[str, float] = field(default_factory=dict)
    in_flight: Mapping[str, float] = field(default_factory=dict)
    keys: Mapping[str, Keys] = field(default_factory=dict)
    is_live: bool = False
    proven_at: float = 0.0
    fetches: Mapping[tuple[str, str], float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    upstream_errors: Mapping[str, float] = field(default_factory=dict)
    view_events: Mapping[str, float] = field(default_factory=dict)
    shadow_routes: int = 0
    shadow_denials: Mapping[str, float] = field(default_factory=dict)


def read_metrics(text: str) -> Reading:
    """Read an exposition in Prometheus text format.

    Raises:
        ValueError: it is none, or not a sidecar's.
    """
    reading = read_families(text_string_to_metric_families(text))
    if not reading.decisions:
        raise ValueError("these are not a sidecar's metrics")
    return reading


def read_families(families: Iterable[Metric]) -> Reading:
    """Read metrics that were parsed, or never written."""
    samples: list[_Sample] = [
        (sample.name, sample.labels, sample.value)
        for family in families
        for sample in family.samples
    ]
    loaded_at = {
        labels["issuer"]: value
        for name, labels, value in samples
        if name == "sidecar_jwks_loaded_timestamp_seconds"
    }
    plain = {name: value for name, labels, value in samples if not labels}
    return Reading(
        decisions=_by_two(samples, "sidecar_decisions_total", "outcome", "reason"),
        cuts=_by(samples, "sidecar_stream_cuts_total", "reason"),
        in_flight=_by(samples, "sidecar_in_flight", "kind"),
        keys={
            issuer: Keys(int(number), loaded_at.get(issuer, 0.0))
            for issuer, number in _by(samples, "sidecar_jwks_keys", "issuer").items()
        },
        is_live=plain.get("sidecar_account_view_live", 0.0) > 0,
        proven_at=plain.get("sidecar_account_view_proven_timestamp_seconds", 0.0),
        fetches=_by_two(samples, "sidecar_jwks_fetches_total", "issuer", "outcome"),
        requests=_by(samples, "sidecar_requests_total", "code"),
        upstream_errors=_by(samples, "sidecar_upstream_errors_total", "error"),
        view_events=_by(samples, "sidecar_account_view_events_total", "event"),
        shadow_routes=int(plain.get("sidecar_shadow_routes", 0.0)),
        shadow_denials=_by(samples, "sidecar_shadow_denials_total", "reason"),
    )


def _by(samples: list[_Sample], wanted: str, label: str) -> dict[str, float]:
    return {labels[label]: value for name, labels, value in samples if name == wanted}


def _by_two(
    samples: list[_Sample], wanted: str, first: str, second: str
) -> dict[tuple[str, str], float]:
    return {
        (labels[first], labels[second]): value for name, labels, value in samples if name == wanted
    }
