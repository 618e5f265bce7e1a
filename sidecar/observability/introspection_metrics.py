"""Metrics of what issuers say beside their tokens: introspection, and status lists."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from sidecar.introspection import AnsweredFrom, IntrospectionOutcome
from sidecar.ports import FetchOutcome

_BUCKETS = (1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class IntrospectionMetrics:
    """Counts into ``registry`` what ``IntrospectionObserver`` and ``StatusListObserver`` hear."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._questions = Counter(
            "sidecar_introspections", "Questions to introspection endpoints.",
            ("issuer", "outcome"), registry=registry,
        )  # fmt: skip
        self._answers = Counter(
            "sidecar_introspection_answers", "Answers that decisions had, by where from.",
            ("issuer", "source"), registry=registry,
        )  # fmt: skip
        self._lists = Counter(
            "sidecar_status_list_fetches", "Fetches of status lists.",
            ("issuer", "outcome"), registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "sidecar_introspection_seconds", "Time of a question.", registry=registry,
            buckets=_BUCKETS,
        )  # fmt: skip

    def introspected(self, issuer: str, outcome: IntrospectionOutcome, seconds: float) -> None:
        """Count a question; one that was not asked took no time."""
        self._questions.labels(issuer, outcome.value).inc()
        if outcome is not IntrospectionOutcome.RESTING:
            self._seconds.observe(seconds)

    def introspection_answered(self, issuer: str, source: AnsweredFrom) -> None:
        """Count an answer."""
        self._answers.labels(issuer, source.value).inc()

    def status_list_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        """Count a fetch of a status list."""
        del seconds
        self._lists.labels(issuer, outcome.value).inc()


class UnheardIntrospection:
    """Counts nothing: for whoever asks beside the requests."""

    def introspected(self, issuer: str, outcome: IntrospectionOutcome, seconds: float) -> None:
        """Let it pass."""

    def introspection_answered(self, issuer: str, source: AnsweredFrom) -> None:
        """Let it pass."""

    def status_list_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        """Let it pass."""
