"""Reading a request and enforcing the decision, over sockets."""

import json

import pytest

from sidecar.core.decision import Deny, DenyReason
from tests.fakes.front import running_front, status_of
from tests.fakes.upstream import scripted_upstream
from tests.fakes.world import World


async def test_a_granted_request_goes_on_octet_for_octet() -> None:
    world = World()
    world.enroll("robot", "admin")
    line = "PROPFIND /admin/a%41%C3%A9~b?x=%2F..&y=%zz&x=;; HTTP/1.1"
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        response = await front.ask(line, b"X-Odd: a,b", b"x-odd: c")

    assert status_of(response) == 200
    assert response.endswith(b"\r\n\r\nok")
    assert upstream.last.request_line == line
    assert upstream.last.values("x-odd") == ["a,b", "c"]
    assert upstream.last.values("Host") == ["sidecar.example"]
    assert upstream.last.values("Authorization")[0].startswith("Bearer ey")


MALFORMED = DenyReason.MALFORMED_REQUEST
HOST = b"\r\nHost: a"
OVER_LONG = b"\r\nA: " + b"x" * 20000
BOTH_FRAMINGS = b"\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("octets", "status", "reason"),
    [
        (b"GET /reports HTTP/1.1" + HOST, 401, DenyReason.NO_CREDENTIALS),
        (
            b"GET /reports HTTP/1.1\r\nAuthorization: Bearer x" + HOST,
            401,
            DenyReason.TOKEN_UNREADABLE,
        ),
        (b"GET /nowhere HTTP/1.1" + HOST, 403, DenyReason.NO_ROUTE),
        (b"GET /public/../admin/x HTTP/1.1" + HOST, 400, MALFORMED),
        (b"GET /public#/../admin HTTP/1.1" + HOST, 400, MALFORMED),
        (b"GET http://evil/health HTTP/1.1" + HOST, 400, MALFORMED),
        (b"GET /health HTTP/1.1", 400, MALFORMED),
        (b"GET /health HTTP/1.1" + HOST * 2, 400, MALFORMED),
        (b"GET /health HTTP/1.1\r\nHost: a@b", 400, MALFORMED),
        (b"GET /health HTTP/1.1\r\nExpect: x" + HOST, 417, DenyReason.EXPECTATION_REFUSED),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443", 405, DenyReason.METHOD_REFUSED),
        (b"TRACE /health HTTP/1.1" + HOST, 405, DenyReason.METHOD_REFUSED),
        (b"nonsense", 400, MALFORMED),
        (b"GET /health HTTP/1.1" + HOST + OVER_LONG, 400, MALFORMED),
        (b"GET /health HTTP/1.1" + HOST + b"\r\nA: b" * 200, 400, MALFORMED),
        (b"GET /health HTTP/1.1" + HOST + BOTH_FRAMINGS, 400, MALFORMED),
    ],
)
async def test_what_is_not_granted_never_reaches_upstream(
    octets: bytes, status: int, reason: DenyReason
) -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        response = await front.send(octets + b"\r\nConnection: close\r\n\r\n")
        decision = front.world.observer.decisions[-1][1]

        assert status_of(response) == status
        assert isinstance(decision, Deny)
        assert decision.reason is reason
        assert not upstream.conversations
        assert [each[1] for each in front.world.observer.answers] == [status]
        body = json.loads(response.partition(b"\r\n\r\n")[2])
        assert set(body) == {"message", "error", "request_id"}


async def test_the_log_of_an_unreadable_request_holds_no_query() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        await front.send(
            b"GET http://a/x?access_token=secret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )

        asked = front.world.observer.decisions[-1][0]
        assert "secret" not in repr(asked)
        assert asked.path == "http://a/x"


async def test_an_account_that_is_not_at_hand_is_waited_for() -> None:
    world = World()
    world.enroll("robot", at_hand=False)
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        assert status_of(await front.ask()) == 200

        assert len(world.accounts.reads) == 1


async def test_a_refused_upload_ends_its_connection_unread() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        response = await front.send(
            b"POST /reports HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart"
        )

        assert status_of(response) == 401
        assert b"Connection: close" in response
        assert not upstream.conversations


async def test_each_request_of_a_connection_is_judged_by_itself() -> None:
    """P25, P26: keep-alive carries one client's request after another's."""
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        good = front.request()
        bad = b"GET /reports HTTP/1.1\r\nHost: a\r\n\r\n"
        last = front.request("GET /reports HTTP/1.1", b"Connection: close")

        response = await front.send(good + bad + good + bad + last)

        statuses = [int(part[:3]) for part in response.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 401, 200, 401, 200]
        assert len(upstream.conversations) == 3
        assert upstream.connections == 1


async def test_a_leaving_front_makes_each_response_its_connections_last() -> None:
    async with scripted_upstream() as upstream, running_front(upstream.url) as front:
        front.proxy.dismiss()

        response = await front.send(front.request())

        assert status_of(response) == 200
        assert b"Connection: close" in response
