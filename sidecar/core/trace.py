"""What is noted of a request that is traced, while it is under way: names and moments, no more.

Fronts and the decision write it, and know of no tracing library. Spans are made of it when the
request has ended, for a few requests of many; what is not sampled has nothing but its ids.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum, unique
from typing import NamedTuple, Protocol

from sidecar.core.decision import Decision
from sidecar.core.trace_context import TraceParent

Field = tuple[bytes, bytes]

TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
TRACE_FIELDS = frozenset({TRACEPARENT, TRACESTATE})

_MOST_EVENTS = 32


@unique
class Door(StrEnum):
    """Where a request came in."""

    HTTP = "http"
    FORWARD_AUTH = "forward_auth"
    EXT_AUTHZ = "ext_authz"
    GRPC = "grpc"


@unique
class Follow(StrEnum):
    """Whose traces are continued; the value is a setting."""

    TRUSTED = "trusted"
    ALL = "all"
    NOBODY = "nobody"


class Event(NamedTuple):
    """Something that happened at a moment (steady seconds)."""

    name: str
    at: float
    attributes: tuple[tuple[str, str | float], ...] = ()


class Arrival(NamedTuple):
    """How a request came in. ``peer`` is the socket's other end."""

    door: Door
    peer: str
    scheme: str


class Record:
    """The moments of one sampled request, in steady seconds; None for what did not happen.

    ``span_id`` is its own span, ``upstream_id`` that of the request to upstream, if there is one.
    ``parent`` is the span that it continues, ``link`` one that it was told of by whom it does not
    follow.
    """

    __slots__ = (
        "_steady", "address", "arrival", "began", "decided_at", "decision", "decision_seconds",
        "events", "failure", "first_byte_at", "link", "parent", "peer", "span_id", "trace_id",
        "tracestate", "upstream_at", "upstream_ended_at", "upstream_events", "upstream_id",
        "upstream_status",
    )  # fmt: skip

    def __init__(
        self,
        arrival: Arrival,
        steady: Callable[[], float],
        ids: tuple[str, str, str],
        tracestate: str,
        parent: TraceParent | None,
        link: TraceParent | None,
    ) -> None:
        self._steady = steady
        self.arrival = arrival
        self.trace_id, self.span_id, self.upstream_id = ids
        self.tracestate = tracestate
        self.parent = parent
        self.link = link
        self.began = steady()
        self.decision: Decision | None = None
        self.decision_seconds = 0.0
        self.decided_at: float | None = None
        self.events: list[Event] = []
        self.address = ""
        self.peer: object = None
        self.upstream_at: float | None = None
        self.first_byte_at: float | None = None
        self.upstream_ended_at: float | None = None
        self.upstream_status: int | None = None
        self.upstream_events: list[Event] = []
        self.failure = ""

    def decided(self, decision: Decision, seconds: float) -> None:
        """Note the decision, and how long it took."""
        self.decision, self.decision_seconds = decision, seconds
        self.decided_at = self._steady()

    def waited(self, what: str, seconds: float) -> None:
        """Note that the decision waited for something."""
        self._add(self.events, Event("wait", self._steady(), (("for", what), ("seconds", seconds))))

    def cut(self, reason: str) -> None:
        """Note that the request was cut in flight."""
        self._add(self.events, Event("cut", self._steady(), (("reason", reason),)))

    def asked(self, address: str) -> None:
        """Note that an address of upstream's was chosen; once more where another one is tried."""
        self.address = address
        if self.upstream_at is None:
            self.upstream_at = self._steady()
        else:
            self._add(self.upstream_events, Event("retry", self._steady()))

    def connected(self, peer: object, *, is_reused: bool) -> None:
        """Note that the request goes out on a connection; ``peer`` is its other end."""
        self.peer = peer
        name = "connection.reused" if is_reused else "connected"
        self._add(self.upstream_events, Event(name, self._steady()))

    def received(self, status: int | None) -> None:
        """Note that something of the answer came; the first time counts."""
        if self.first_byte_at is None:
            self.first_byte_at = self._steady()
        if self.upstream_status is None:
            self.upstream_status = status

    def upstream_ended(self) -> None:
        """Note that upstream has no more to say, or is no longer asked."""
        self.upstream_ended_at = self._steady()

    def failed(self, error: str) -> None:
        """Note how upstream failed."""
        self.failure = error

    @staticmethod
    def _add(events: list[Event], event: Event) -> None:
        if len(events) < _MOST_EVENTS:
            events.append(event)


class Trace:
    """The trace that a request belongs to. ``record`` is there where it is sampled.

    ``traceparent`` is what upstream is told as its parent.
    """

    __slots__ = ("record", "traceparent", "tracestate")

    def __init__(
        self, traceparent: str, tracestate: str = "", record: Record | None = None
    ) -> None:
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.record = record

    @property
    def trace_id(self) -> str:
        """The trace's id: 32 hexadecimal digits."""
        return self.traceparent[3:35]

    def fields(self) -> list[Field]:
        """Return the fields that tell upstream of it."""
        told = [(TRACEPARENT, self.traceparent.encode("ascii"))]
        if self.tracestate:
            told.append((TRACESTATE, self.tracestate.encode("ascii")))
        return told

    def lines(self) -> bytes:
        """Return these fields as octets of a head."""
        lines = f"traceparent: {self.traceparent}\r\n"
        if self.tracestate:
            lines += f"tracestate: {self.tracestate}\r\n"
        return lines.encode("ascii")

    def cut(self, reason: str) -> None:
        """Note that the request was cut in flight."""
        if self.record is not None:
            self.record.cut(reason)


class Tracer(Protocol):
    """Decides which requests are sampled. Where nothing is traced there is none."""

    def begin(
        self, door: Door, peer: str, scheme: str, told: Sequence[Field], *, trusted: bool
    ) -> Trace:
        """Return the trace of a request that comes in; ``told`` are its ``TRACE_FIELDS``.

        ``peer`` is the socket's other end; ``trusted`` says that its word on traces counts. Called
        on the hot path: it must be quick and must not raise.
        """
        ...
