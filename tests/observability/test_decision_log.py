"""The decision log: complete, harmless to read, and never in the way."""

import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.principal import Caller, Principal, PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.core.trace import Trace
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

ROOT = Path(__file__).parent.parent.parent
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


CALLER = Caller(SubjectKey("corp", "robot"), "https://idp.example", "client-7", None)


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


def test_the_trace_is_named_where_there_is_one() -> None:
    asked = request()
    asked.trace = Trace(f"00-{'1' * 32}-{'2' * 16}-00")

    assert json.loads(decision_line(asked, Grant(ROUTE), 0.0, 0.0))["trace_id"] == "1" * 32
    assert "trace_id" not in json.loads(decision_line(request(), Grant(ROUTE), 0.0, 0.0))


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


def test_a_grant_says_how_its_token_was_bound() -> None:
    bound = replace(ROBOT, binding="dpop+mtls")
    line = json.loads(decision_line(request(), Grant(ROUTE, bound), 0, 0))

    assert line["binding"] == "dpop+mtls"


def test_a_denial_says_why() -> None:
    deny = Deny(DenyReason.SUBJECT_INACTIVE, "the account is inactive", ROUTE, CALLER)
    line = json.loads(decision_line(request(), deny, 0, 0))

    assert (line["outcome"], line["reason"]) == ("denied", "subject_inactive")
    assert line["detail"] == "the account is inactive"
    assert (line["route"], line["subject"]) == ("reports", "robot")
    unknown = json.loads(decision_line(request(), Deny(DenyReason.NO_ROUTE), 0, 0))
    assert (unknown["route"], "subject" in unknown) == ("", False)


def test_what_passes_in_shadow_is_logged_as_what_it_would_have_been() -> None:
    deny = Deny(DenyReason.SUBJECT_INACTIVE, "the account is inactive", ROUTE, CALLER)
    line = json.loads(decision_line(request(), Grant(ROUTE, shadowed=deny), 0.00002, 1700000000.0))

    assert (line["outcome"], line["reason"]) == ("denied", "subject_inactive")
    assert line["enforced"] is False
    assert (line["route"], line["subject"]) == ("reports", "robot")
    assert "kind" not in line
    enforced = json.loads(decision_line(request(), deny, 0.00002, 1700000000.0))
    assert {**enforced, "enforced": False} == line


@pytest.mark.parametrize(
    ("logged", "lines"), [(Logged.ALL, 2), (Logged.DENIED, 2), (Logged.NONE, 0)]
)
def test_what_would_be_refused_or_cut_counts_as_that_when_only_denials_are_logged(
    logged: Logged, lines: int
) -> None:
    stream = io.StringIO()
    with LineWriter(stream, dropped=lambda _: None) as writer:
        log = DecisionLog(writer, logged, FakeClock(1700000000.0))
        deny = Deny(DenyReason.NO_CREDENTIALS, route=ROUTE)
        log.decided(request(), Grant(ROUTE, shadowed=deny), 0.0)
        log.spared(CutReason.EXPIRED, Grant(ROUTE, ROBOT))

    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(written) == lines
    assert (
        written[1:]
        == [
            {
                "ts": "2023-11-14T22:13:20.000Z",
                "event": "cut",
                "reason": "expired",
                "enforced": False,
                "route": "reports",
                "realm": "corp",
                "subject": "robot",
                "issuer": "https://idp.example",
                "client_id": "client-7",
                "token_id": "j-1",
            }
        ][: lines and 1]
    )


@given(st.text(max_size=3000), st.text(max_size=600))
def test_no_line_holds_a_token_a_query_or_a_line_end(path: str, host: str) -> None:
    """P28. Also where a client puts its token into what is logged."""
    parts = ("eyJhbGciOiJSUzI1NiJ9", "eyJzdWIiOiJhIn0", "c2lnbmF0dXJl")
    token = ".".join(parts)
    asked = request(path=f"/{token}{path}", host=f"{host[:99]}{token}")

    line = decision_line(asked, Deny(DenyReason.NO_ROUTE, f"{path} {token}"), 0, 0)

    assert "secret=1" not in line
    assert not [part for part in parts if part in line]
    assert line.isascii()
    assert line.isprintable()


def test_the_password_of_a_whole_url_is_not_written_down() -> None:
    """A target in absolute form is refused, and logged as it came (RFC 9112, 3.2.2)."""
    asked = request(path="http://robot:hunter2@hoop.example/reports", host="robot:hunter2@hoop")

    line = decision_line(asked, Deny(DenyReason.MALFORMED_REQUEST), 0, 0)

    assert "hunter2" not in line
    assert "robot" in line


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


def test_a_revocation_says_what_is_refused() -> None:
    realm = {"key": SubjectKey("corp", ""), "after": None}
    token = record(action="revoke_token", **realm, token_id="j-1", until=1700000900.0)
    assert json.loads(audit_line(token)) == {
        "ts": "2023-11-14T22:13:20.000Z",
        "event": "token",
        "action": "revoke_token",
        "actor": "cli:root",
        "realm": "corp",
        "token_id": "j-1",
        "until": 1700000900.0,
    }
    everybody = record(action="revoke_realm_tokens", **realm, not_before=1700000001.0)
    assert json.loads(audit_line(everybody)) == {
        "ts": "2023-11-14T22:13:20.000Z",
        "event": "realm",
        "action": "revoke_realm_tokens",
        "actor": "cli:root",
        "realm": "corp",
        "not_before": 1700000001.0,
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


def test_a_reader_that_stalls_delays_nobody_and_what_is_lost_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stream = Stalled()
    dropped: list[int] = []
    with LineWriter(stream, dropped.append, capacity=5) as writer:
        writer.write("first")
        assert stream.reached.wait(10)
        for number in range(100):
            writer.write(str(number))
        assert len(dropped) == 95
        assert not caplog.records
        stream.go.set()

    assert [record.getMessage() for record in caplog.records] == [
        "the decision log dropped 95 lines: its reader was too slow or gone"
    ]
    assert stream.getvalue().splitlines() == ["first", "0", "1", "2", "3", "4"]


def test_an_end_does_not_wait_for_a_reader_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    stream = Stalled()
    with LineWriter(stream, lambda _: None, capacity=1, flush_seconds=0.05) as writer:
        writer.write("first")
        assert stream.reached.wait(10)
        writer.write("second")
    assert "nobody reads it" in caplog.text
    stream.go.set()


def test_a_reader_that_has_gone_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reader, descriptor = os.pipe()
    os.close(reader)
    dropped: list[int] = []
    with open(descriptor, "w") as stream, LineWriter(stream, dropped.append) as writer:  # noqa: PTH123
        writer.write("a")
        writer.write("b")

    assert sum(dropped) == 2
    assert "dropped 2 lines" in caplog.text


def test_every_line_arrives_whole_and_in_order_through_a_pipe() -> None:
    reader, descriptor = os.pipe()
    lines = [f"{number} {'x' * 1000}" for number in range(1000)]
    found: list[str] = []

    def read() -> None:
        with open(reader) as end:  # noqa: PTH123
            found.extend(end.read().splitlines())

    reading = threading.Thread(target=read)
    reading.start()
    dropped: list[int] = []
    with open(descriptor, "w") as stream, LineWriter(stream, dropped.append) as writer:  # noqa: PTH123
        for line in lines:
            writer.write(line)
    reading.join(10)

    assert found == lines
    assert not dropped


def test_lines_of_two_workers_tear_no_line_of_one_another() -> None:
    """They share a pipe, and its reader may be slow."""
    reader, descriptor = os.pipe()
    found: list[str] = []

    def read() -> None:
        with open(reader) as end:  # noqa: PTH123
            found.extend(end.read().splitlines())

    reading = threading.Thread(target=read)
    reading.start()
    lines = ("x" * 400, "y" * 400)
    with open(descriptor, "w") as one, open(os.dup(descriptor), "w") as other:  # noqa: PTH123
        dropped: list[int] = []
        writers = [LineWriter(each, dropped.append, is_shared=True) for each in (one, other)]
        with writers[0], writers[1]:
            for _ in range(5000):
                for writer, line in zip(writers, lines, strict=True):
                    writer.write(line)
    reading.join(10)

    assert sorted(found) == sorted([*lines] * 5000)
    assert not dropped


WRITER = """
import sys
from sidecar.observability.decision_log import LineWriter
with LineWriter(sys.stdout, print, flush_seconds=0.1) as writer:
    for _ in range(1000):
        writer.write("x" * 1000)
"""


def test_a_reader_that_stalls_does_not_keep_the_process_from_ending() -> None:
    """Found on review: Python waited at its end for the lock of stdout's buffer, for ever."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=ROOT, env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.wait(30) == 0  # nobody reads its stdout until it has ended
        finally:
            process.kill()
        assert process.stderr is not None
        assert "nobody reads it" in process.stderr.read()


def test_the_silent_observer_hears_everything_and_says_nothing() -> None:
    silent = SilentObserver()
    silent.decided(request(), Grant(ROUTE), 0.1)
    silent.answered(request(), 200, 0.1)
    silent.upstream_failed(request(), UpstreamError.RESET)
    silent.in_flight(StreamKind.HTTP, 1)
    silent.cut(CutReason.EXPIRED, 1)
    silent.spared(CutReason.EXPIRED, Grant(ROUTE))
    silent.keys_fetched("i", FetchOutcome.FETCHED, 0.1)
    silent.keys_loaded("i", 1, 0.1)
    silent.view_changed(ViewEvent.LOST)
    silent.view_proven(0.1)
    silent.audited(record())
