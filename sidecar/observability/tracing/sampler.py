"""Which requests are sampled, and with what ids. Needs no tracing library.

A request continues the trace of whoever is followed, and its flag decides. Anybody else's trace is
only pointed to (a link), as for a public endpoint: a stranger can neither put spans into our traces
nor make us sample. Past so many a second nothing is sampled, whoever asks for it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.core.trace import TRACEPARENT, TRACESTATE, Arrival, Door, Field, Follow, Record, Trace
from sidecar.core.trace_context import TraceParent, read_traceparent, read_tracestate
from sidecar.ports import Clock

# All zeros is no id (3.2.2.3 and 3.2.2.4).
_NOT_ZERO = 1 | 1 << 64 | 1 << 128


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """``ratio`` of the requests that continue nobody's trace are sampled.

    At most ``per_second`` are, in this process, all reasons together.
    """

    ratio: float = 0.01
    follow: Follow = Follow.TRUSTED
    per_second: float = 100.0


class Sampler:
    """Implements ``core.trace.Tracer``. ``limited`` hears of each that was one too many."""

    def __init__(
        self, policy: SamplingPolicy, clock: Clock, limited: Callable[[], None] = lambda: None
    ) -> None:
        self._policy = policy
        self._steady = clock.steady
        self._limited = limited
        # Ids have to be unique; whoever guesses one is not followed, and gains nothing.
        source = random.Random()  # noqa: S311
        self._bits, self._dice = source.getrandbits, source.random
        self._allowance = _Allowance(policy.per_second, clock.steady())

    def begin(
        self, door: Door, peer: str, scheme: str, told: Sequence[Field], *, trusted: bool
    ) -> Trace:
        """Return the trace of a request that comes in."""
        link = None
        if told:
            parent = read_traceparent(_values(told, TRACEPARENT))
            if parent is not None and self._is_followed(trusted=trusted):
                return self._continued(Arrival(door, peer, scheme), told, parent)
            link = parent
        ids = self._ids()
        if self._dice() >= self._policy.ratio:
            return Trace(f"00-{ids[:32]}-{ids[32:]}-00")
        return self._trace(Arrival(door, peer, scheme), ids[:32], "", None, link)

    def _is_followed(self, *, trusted: bool) -> bool:
        follow = self._policy.follow
        return follow is Follow.ALL or (follow is Follow.TRUSTED and trusted)

    def _continued(self, arrival: Arrival, told: Sequence[Field], parent: TraceParent) -> Trace:
        tracestate = read_tracestate(_values(told, TRACESTATE))
        if not parent.is_sampled:
            # Nobody records between it and upstream: it stays the parent.
            return Trace(parent.value, tracestate)
        return self._trace(arrival, parent.trace_id, tracestate, parent, None)

    def _trace(
        self,
        arrival: Arrival,
        trace_id: str,
        tracestate: str,
        parent: TraceParent | None,
        link: TraceParent | None,
    ) -> Trace:
        """Return a trace that is to be sampled, where there is room for it."""
        ids = self._ids()
        upstream_id = ids[32:]
        if not self._allowance.take(self._steady()):
            self._limited()
            # 3.4: a flag that changes needs an id of its own.
            return Trace(f"00-{trace_id}-{upstream_id}-00", tracestate)
        own = (trace_id, ids[:16], upstream_id)
        record = Record(arrival, self._steady, own, tracestate, parent, link)
        return Trace(f"00-{trace_id}-{upstream_id}-01", tracestate, record)

    def _ids(self) -> str:
        """Return digits for a trace (32, of which 16 do for a span) and for a span (16)."""
        return (self._bits(192) | _NOT_ZERO).to_bytes(24, "big").hex()


class _Allowance:
    """A second's worth at once, and refilled as time goes by."""

    def __init__(self, per_second: float, now: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second)
        self._left, self._at = self._most, now

    def take(self, now: float) -> bool:
        """Take one; say whether there was one."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def _values(told: Sequence[Field], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in told if name == wanted]
