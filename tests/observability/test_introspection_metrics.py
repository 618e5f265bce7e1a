"""Introspection is counted by issuer and outcome; what was not asked took no time."""

from prometheus_client import CollectorRegistry, generate_latest

from sidecar.introspection import AnsweredFrom, IntrospectionOutcome
from sidecar.observability.introspection_metrics import IntrospectionMetrics, UnheardIntrospection
from sidecar.ports import FetchOutcome


def test_questions_and_answers_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = IntrospectionMetrics(registry)
    metrics.introspected("https://idp", IntrospectionOutcome.ACTIVE, 0.02)
    metrics.introspected("https://idp", IntrospectionOutcome.RESTING, 0.0)
    metrics.introspection_answered("https://idp", AnsweredFrom.MEMORY)

    metrics.status_list_fetched("https://idp", FetchOutcome.TIMEOUT, 1.0)

    text = generate_latest(registry).decode()
    assert 'sidecar_introspections_total{issuer="https://idp",outcome="active"} 1.0' in text
    assert 'sidecar_introspections_total{issuer="https://idp",outcome="resting"} 1.0' in text
    assert 'sidecar_introspection_answers_total{issuer="https://idp",source="memory"} 1.0' in text
    assert "sidecar_introspection_seconds_count 1.0" in text
    assert 'sidecar_status_list_fetches_total{issuer="https://idp",outcome="timeout"} 1.0' in text


def test_whoever_asks_beside_the_requests_is_not_counted() -> None:
    unheard = UnheardIntrospection()
    unheard.introspected("https://idp", IntrospectionOutcome.ACTIVE, 0.02)
    unheard.introspection_answered("https://idp", AnsweredFrom.MEMORY)
    unheard.status_list_fetched("https://idp", FetchOutcome.TIMEOUT, 1.0)
