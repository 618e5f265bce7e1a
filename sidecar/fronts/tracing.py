"""Where a request comes in: which trace it belongs to."""

from sidecar.core.trace import Arrival, Door, Trace, Tracer
from sidecar.fronts.prepared_head import PreparedHead
from sidecar.fronts.request_head import HeadRules


def begin_trace(
    tracer: Tracer, door: Door, rules: HeadRules, prepared: PreparedHead, peer: str, scheme: str
) -> Trace:
    """Return the trace of an HTTP request, as its head tells of it and its peer is trusted."""
    told = prepared.head.trace
    # A proxy that we trust has to set the fields, or to pass on what it trusts itself.
    trusted = bool(told) and rules.trusted.trusts(peer)
    return tracer.begin(Arrival(door, peer, scheme, trusted), told)
