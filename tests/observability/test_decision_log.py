"""The decision log: complete, harmless to read, and never in the way."""

import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.observability.decision_log import (
    DecisionLog,
    LineWriter,
    Logged,
    audit_line,
    decision_line,
)
from sidecar.observability.silent import SilentObserver
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
    ViewEvent,
)
from tests.fakes.clock import FakeClock

ROUTE = Route("reports", "/reports")
ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer="https://idp.example",
    name="Robot",
    groups=("devops",),
    scopes=frozenset({"read"}),
    client_id="client-7",
    token_id="j-1",
    issued_at=1.0,
    expires_at=2.0,
)


def request(**changed: Any) -> AccessRequest:
    members = {
        "method": "GET",
        "host": "hoop.example",
        "path": "/reports",
        "query": "secret=1",
        "authorization": ("Bearer eyJhbGciOi",),
        "peer": "192.0.2.7",
        "request_id": "r-1",
    }
    return AccessRequest(**{**members, **changed})


def test_a_grant_says_who_asked_what() -> None:
    line = decision_line(request(), Grant(ROUTE, ROBOT), 0.0000213, 1700000000.1234)

    assert json.loads(line) == {
        "ts": "2023-11-14T22:13:20.123Z",
        "event": "decision",
        "outcome": "granted",
        "reason": "",
        "method": "GET",
        "path": "/reports",
        "host": "hoop.example",
        "peer": "192.0.2.7",
        "request_id": "r-1",
        "duration_us": 21.3,
        "route": "reports",
        "realm": "corp",
        "subject": "robot",
        "kind": "service_account",
        "issuer": "https://idp.example",
        "client_id": "client-7",
        "token_id": "j-1",
    }


def test_a_denial_says_why() -> None:
    deny = Deny(DenyReason.SUBJECT_INACTIVE, "the account is inactive", ROUTE, ROBOT)
    line = json.loads(decision_line(request(), deny, 0, 0))

    assert (line["outcome"], line["reason"]) == ("denied", "subject_inactive")
    assert line["detail"] == "the account is inactive"
    assert (line["route"], line["subject"]) == ("reports", "robot")
    unknown = json.loads(decision_line(request(), Deny(DenyReason.NO_ROUTE), 0, 0))
    assert (unknown["route"], "subject" in unknown) == ("", False)


@given(st.text(max_size=3000), st.text(max_size=600))
def test_no_line_holds_a_token_a_query_or_a_line_end(path: str, host: str) -> None:
    """P28."""
    line = decision_line(request(path=path, host=host), Deny(DenyReason.NO_ROUTE, path), 0, 0)

    assert "secret=1" not in line
    assert "eyJ" not in line.replace(json.dumps(path), "").replace(json.dumps(host), "")
    assert line.isascii()
    assert line.isprintable()


def record(**changed: Any) -> AuditRecord:
    account = Account("1", "robot", "Robot", ("devops",), AccountStatus.ACTIVE)
    members = {
        "at": 1700000000.0,
        "actor": "cli:root",
        "action": "create",
        "key": SubjectKey("corp", "robot"),
        "before": None,
        "after": account,
    }
    return AuditRecord(**{**members, **changed})


def test_a_change_says_who_changed_what_from_what_to_what() -> None:
    assert json.loads(audit_line(record())) == {
        "ts": "2023-11-14T22:13:20.000Z",
        "event": "account",
        "action": "create",
        "actor": "cli:root",
        "realm": "corp",
        "subject": "robot",
        "before": None,
        "after": {"name": "Robot", "groups": ["devops"], "status": "active", "not_before": 0.0},
    }


@pytest.mark.parametrize(
    ("logged", "reasons"),
    [
        (Logged.ALL, ["", "no_route"]),
        (Logged.DENIED, ["no_route"]),
        (Logged.NONE, []),
    ],
)
def test_the_settings_say_which_decisions_are_logged(logged: Logged, reasons: list[str]) -> None:
    stream = io.StringIO()
    dropped: list[int] = []
    with LineWriter(stream, dropped.append) as writer:
        log = DecisionLog(writer, logged, FakeClock())
        log.decided(request(), Grant(ROUTE, ROBOT), 0.1)
        log.decided(request(), Deny(DenyReason.NO_ROUTE), 0.1)
        log.audited(record())

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "decision"] == reasons
    assert [line["event"] for line in lines if line["event"] != "decision"] == ["account"]
    assert not dropped


class Stalled(io.StringIO):
    """A stream whose reader stands still until let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()

    @override
    def write(self, text: str) -> int:
        self.reached.set()
        self.go.wait(10)
        return super().write(text)


def test_a_reader_that_stalls_delays_nobody_and_what_is_lost_is_counted() -> None:
    stream = Stalled()
    dropped: list[int] = []
    with LineWriter(stream, dropped.append, capacity=5) as writer:
        writer.write("first")
        assert stream.reached.wait(10)
        for number in range(100):
            writer.write(str(number))
        assert len(dropped) == 95
        stream.go.set()

    assert stream.getvalue().splitlines() == ["first", "0", "1", "2", "3", "4"]


def test_an_end_does_not_wait_for_a_reader_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stalled()
    with LineWriter(stream, lambda _: None, capacity=1, flush_seconds=0.05) as writer:
        writer.write("first")
        assert stream.reached.wait(10)
        writer.write("second")
    assert "nobody reads it" in caplog.text
    stream.go.set()


def test_a_reader_that_has_gone_ends_nothing() -> None:
    class Gone(io.StringIO):
        @override
        def write(self, text: str) -> int:
            raise BrokenPipeError

    dropped: list[int] = []
    with LineWriter(Gone(), dropped.append) as writer:
        writer.write("a")
        writer.write("b")

    assert dropped == [1, 1]


def test_the_silent_observer_hears_everything_and_says_nothing() -> None:
    silent = SilentObserver()
    silent.decided(request(), Grant(ROUTE), 0.1)
    silent.answered(request(), 200, 0.1)
    silent.upstream_failed(request(), UpstreamError.RESET)
    silent.in_flight(StreamKind.HTTP, 1)
    silent.cut(CutReason.EXPIRED, 1)
    silent.keys_fetched("i", FetchOutcome.FETCHED, 0.1)
    silent.keys_loaded("i", 1, 0.1)
    silent.view_changed(ViewEvent.LOST)
    silent.audited(record())
