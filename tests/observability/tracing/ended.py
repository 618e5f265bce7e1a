"""Sampled requests that have ended, as tests want them."""

from typing import Any

from sidecar.core.principal import Caller, Principal, PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import SubjectKey
from sidecar.core.trace import Arrival, Door, Record, Trace
from sidecar.core.trace_context import TraceParent
from sidecar.observability.tracing.observer import Ended
from tests.fakes.clock import FakeClock

ROUTE = Route("reports", "/reports")
ISSUER = "https://idp.example"
ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer=ISSUER,
    name="Robot",
    groups=(),
    scopes=frozenset(),
    client_id="client-7",
    token_id="j-1",
    issued_at=1.0,
    expires_at=2.0,
)
CALLER = Caller(SubjectKey("corp", "robot"), ISSUER, "client-7", None)
TRACE, SPAN, UPSTREAM = "1" * 32, "3" * 16, "2" * 16


def request(**members: Any) -> AccessRequest:
    given = {
        "method": "GET",
        "host": "hoop.example:8443",
        "path": "/reports",
        "query": "secret=1",
        "authorization": ("Bearer eyJhbGciOi",),
        "peer": "198.51.100.7",
        "request_id": "r-1",
    }
    return AccessRequest(**{**given, **members})


def record(
    clock: FakeClock | None = None,
    door: Door = Door.HTTP,
    *,
    parent: TraceParent | None = None,
    link: TraceParent | None = None,
    tracestate: str = "",
) -> Record:
    arrival = Arrival(door, "192.0.2.7", "https")
    steady = (clock or FakeClock()).steady
    return Record(arrival, steady, (TRACE, SPAN, UPSTREAM), tracestate, parent, link)


def ended(noted: Record, status: int | None = 200, code: str = "", **members: Any) -> Ended:
    asked = request(**members)
    asked.trace = Trace(f"00-{TRACE}-{UPSTREAM}-01", "", noted)
    return Ended(asked, noted, status, code)
