"""What spans say, and what they never say."""

import pytest

from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.trace import Door
from sidecar.observability.tracing.attributes import (
    error_of_server,
    error_of_upstream,
    server_attributes,
    server_name,
    upstream_attributes,
    upstream_name,
)
from tests.observability.tracing.ended import CALLER, ISSUER, ROBOT, ROUTE, ended, record

GRANT = Grant(ROUTE, ROBOT)


def test_a_granted_request_by_the_conventions() -> None:
    noted = record()
    noted.decided(GRANT, 0.1)
    done = ended(noted)

    assert server_name(done) == "GET reports"
    assert server_attributes(done, tells_callers=False) == {
        "sidecar.door": "http",
        "sidecar.request_id": "r-1",
        "sidecar.decision.outcome": "granted",
        "sidecar.route": "reports",
        "sidecar.issuer": ISSUER,
        "network.peer.address": "192.0.2.7",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "reports",
        "url.path": "/reports",
        "url.scheme": "https",
        "server.address": "hoop.example",
        "server.port": 8443,
    }


@pytest.mark.parametrize("decision", [GRANT, Deny(DenyReason.SUBJECT_INACTIVE, "", ROUTE, CALLER)])
def test_who_was_calling_is_told_where_the_settings_say_so(decision: Grant | Deny) -> None:
    noted = record()
    noted.decided(decision, 0.1)
    silent = server_attributes(ended(noted), tells_callers=False)
    told = server_attributes(ended(noted), tells_callers=True)

    assert {name: told[name] for name in told.keys() - silent.keys()} == {
        "sidecar.subject": "robot",
        "sidecar.client_id": "client-7",
        "client.address": "198.51.100.7",
    }


def test_of_nobody_there_is_nothing_to_tell() -> None:
    noted = record()
    noted.decided(Deny(DenyReason.NO_CREDENTIALS, "", ROUTE), 0.1)

    assert "sidecar.subject" not in server_attributes(ended(noted), tells_callers=True)


@pytest.mark.parametrize("door", list(Door))
def test_neither_a_query_nor_a_token_is_ever_told(door: Door) -> None:
    noted = record(door=door)
    noted.decided(GRANT, 0.1)
    noted.asked("http://127.0.0.1:8009")
    done = ended(noted, path="/reports/eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln")
    told = [
        server_name(done),
        upstream_name(done),
        *server_attributes(done, tells_callers=True).values(),
        *upstream_attributes(done).values(),
    ]

    text = " ".join(map(str, told))
    assert "secret" not in text
    assert "eyJ" not in text


def test_a_password_in_a_url_is_not_told() -> None:
    noted = record()
    noted.decided(Deny(DenyReason.MALFORMED_REQUEST), 0.1)
    done = ended(noted, 400, path="http://robot:hunter2@hoop/reports", host="robot:hunter2@hoop:80")
    told = server_attributes(done, tells_callers=True)

    assert "hunter2" not in str(told)
    assert told["server.port"] == 80


def test_a_port_that_no_collector_could_read_stays_in_the_name() -> None:
    told = server_attributes(ended(record(), 400, host=f"hoop:{'9' * 40}"), tells_callers=False)

    assert told["server.address"] == f"hoop:{'9' * 40}"
    assert "server.port" not in told


def test_a_refusal_has_its_reason_and_is_no_error() -> None:
    noted = record()
    noted.decided(Deny(DenyReason.NO_ROUTE, "for the log alone"), 0.1)
    done = ended(noted, 403)
    told = server_attributes(done, tells_callers=True)

    assert server_name(done) == "GET"
    assert told["sidecar.decision.reason"] == "no_route"
    assert "for the log alone" not in told.values()
    assert "http.route" not in told
    assert error_of_server(done) == ""


def test_a_denial_that_is_not_enforced_is_told_as_one() -> None:
    noted = record()
    noted.decided(Grant(ROUTE, shadowed=Deny(DenyReason.NO_CREDENTIALS, "", ROUTE)), 0.1)
    told = server_attributes(ended(noted), tells_callers=False)

    assert told["sidecar.decision.outcome"] == "denied"
    assert told["sidecar.decision.reason"] == "no_credentials"
    assert told["sidecar.decision.enforced"] is False


def test_what_could_not_be_decided_is_an_error() -> None:
    noted = record()
    noted.decided(Deny(DenyReason.KEYS_UNAVAILABLE), 0.1)

    assert error_of_server(ended(noted, 503)) == "keys_unavailable"


def test_a_method_that_nobody_knows_is_one_of_many() -> None:
    done = ended(record(), 405, method="GETT" * 100)
    told = server_attributes(done, tells_callers=False)

    assert server_name(done) == upstream_name(done) == "HTTP"
    assert told["http.request.method"] == "_OTHER"
    assert told["http.request.method_original"] == ("GETT" * 100)[:32]


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [("a.example", "a.example", None), ("[::1]:80", "[::1]", 80), ("a:\u0661", "a:\u0661", None)],
)
def test_the_host_is_told_apart(host: str, address: str, port: int | None) -> None:
    told = server_attributes(ended(record(), host=host), tells_callers=False)

    assert (told["server.address"], told.get("server.port")) == (address, port)


def test_what_a_client_chooses_is_bounded() -> None:
    done = ended(record(), path="/" + "x" * 9000, host="a" * 9000, method="M" * 9000)

    told = server_attributes(done, tells_callers=True)
    assert max(len(str(value)) for value in told.values()) <= 1024


def test_without_a_host_or_a_peer_there_is_none() -> None:
    noted = record()
    noted.arrival = noted.arrival._replace(peer="")
    told = server_attributes(ended(noted, host="", peer=""), tells_callers=True)

    assert not {"server.address", "network.peer.address", "client.address"} & told.keys()


def test_nobody_was_there_to_get_a_status() -> None:
    told = server_attributes(ended(record(), 499), tells_callers=False)

    assert told["sidecar.client_gone"] is True
    assert "http.response.status_code" not in told


def test_what_upstream_was_asked_by_the_conventions() -> None:
    noted = record()
    noted.asked("https://gateway.example")
    noted.asked("https://gateway.example/")
    noted.connected(("127.0.0.1", 8009), is_reused=False)
    noted.received(404)
    done = ended(noted, 404)

    assert upstream_attributes(done) == {
        "http.request.method": "GET",
        "http.request.resend_count": 1,
        "http.response.status_code": 404,
        "url.full": "https://gateway.example/reports",
        "server.address": "gateway.example",
        "server.port": 443,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": 8009,
    }
    assert error_of_upstream(done) == "404"
    assert error_of_server(done) == ""


def test_a_socket_of_this_machine_is_an_address() -> None:
    noted = record()
    noted.asked("unix:/run/gateway.sock")
    told = upstream_attributes(ended(noted))

    assert told["server.address"] == "/run/gateway.sock"
    assert "server.port" not in told


def test_a_failure_of_upstream_is_an_error_of_both() -> None:
    noted = record()
    noted.asked("http://127.0.0.1:8009")
    noted.failed("connect_timeout")
    done = ended(noted, 504)

    assert error_of_server(done) == error_of_upstream(done) == "connect_timeout"
    assert error_of_server(ended(record(), 500)) == "500"


def test_a_check_of_envoys_is_a_call_about_a_request() -> None:
    noted = record(door=Door.EXT_AUTHZ)
    noted.decided(GRANT, 0.1)
    done = ended(noted)
    told = server_attributes(done, tells_callers=False)

    assert server_name(done) == told["rpc.method"] == "envoy.service.auth.v3.Authorization/Check"
    assert (told["http.request.method"], told["url.path"]) == ("GET", "/reports")


@pytest.mark.parametrize(
    ("code", "of_server", "of_upstream"),
    [("OK", "", ""), ("NOT_FOUND", "", "NOT_FOUND"), ("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE")],
)
def test_a_call_by_the_conventions(code: str, of_server: str, of_upstream: str) -> None:
    noted = record(door=Door.GRPC)
    noted.decided(GRANT, 0.1)
    noted.asked("127.0.0.1:8010")
    done = ended(noted, None, code, path="/a.B/C", method="POST", host="")
    told, asked = server_attributes(done, tells_callers=False), upstream_attributes(done)

    for each in (told, asked):
        assert each["rpc.system.name"] == "grpc"
        assert each["rpc.method"] == server_name(done) == upstream_name(done) == "a.B/C"
        assert each["rpc.response.status_code"] == code
    assert (asked["server.address"], asked["server.port"]) == ("127.0.0.1", 8010)
    assert (error_of_server(done), error_of_upstream(done)) == (of_server, of_upstream)


def test_a_call_that_is_not_granted_makes_up_no_name() -> None:
    noted = record(door=Door.GRPC)
    noted.decided(Deny(DenyReason.NO_CREDENTIALS), 0.1)
    done = ended(noted, None, "UNAUTHENTICATED", path="/made.Up/Name")
    told = server_attributes(done, tells_callers=False)

    assert server_name(done) == told["rpc.method"] == "_OTHER"
    assert told["rpc.method_original"] == "made.Up/Name"


def test_the_status_of_a_cut_call_is_not_upstreams() -> None:
    noted = record(door=Door.GRPC)
    noted.decided(GRANT, 0.1)
    noted.asked("127.0.0.1:8010")
    noted.cut("revoked")
    done = ended(noted, None, "UNAUTHENTICATED")

    assert "rpc.response.status_code" not in upstream_attributes(done)
    assert error_of_upstream(done) == error_of_server(done) == ""
