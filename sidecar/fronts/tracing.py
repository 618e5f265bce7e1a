"""Where a request comes in: which trace it belongs to."""

from collections.abc import Callable

from sidecar.core.trace import Door, Trace, Tracer
from sidecar.fronts.prepared_head import PreparedHead
from sidecar.fronts.request_head import HeadRules

BeginTrace = Callable[[PreparedHead, str, str], Trace]
"""Returns the trace of an HTTP request by its head, its peer and the scheme."""


def trace_beginner(tracer: Tracer | None, door: Door, rules: HeadRules) -> BeginTrace | None:
    """Return what begins the traces of a door's requests; None where nothing is traced."""
    if tracer is None:
        return None

    def begin(prepared: PreparedHead, peer: str, scheme: str) -> Trace:
        begun, prepared.begun = prepared.begun, None
        if begun is not None:
            return begun
        told = prepared.head.trace
        # A proxy that we trust has to set the fields, or to pass on what it trusts itself.
        trusted = bool(told) and rules.trusted.trusts(peer)
        return tracer.begin(door, peer, scheme, told, trusted=trusted)

    return begin
