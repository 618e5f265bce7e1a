"""The forward-auth door over sockets: what proxies are told."""

import asyncio
import json
from ipaddress import ip_network

import pytest

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.dialect import Dialect
from sidecar.core.request import AccessRequest
from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.doors import (
    Asked,
    ForwardAuthDoor,
    fields_of,
    forward_auth_door,
    question,
    question_of,
)
from tests.fakes.front import status_of
from tests.fakes.waiting import until
from tests.fakes.world import World

HEALTH = Asked("GET", "/health")
HANDSHAKE = (
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
)


def bearer(world: World) -> tuple[str, ...]:
    return (f"Bearer {world.sign()}",)


async def answer_to(door: ForwardAuthDoor, asked: Asked) -> bytes:
    return await door.send(question_of(door.dialect, asked))


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_grant_names_every_header_that_the_proxy_has_to_set(dialect: Dialect) -> None:
    """CVE-2026-30851: what is absent from the answer stays as the client sent it."""
    world = World()
    world.enroll("robot", "admin", "ops")
    async with forward_auth_door(dialect, world) as door:
        known = await answer_to(door, Asked(authorization=bearer(world)))
        unknown = await answer_to(door, HEALTH)

    assert status_of(known) == status_of(unknown) == 200
    told = fields_of(known)
    assert told["x-auth-subject"] == ["robot"]
    assert told["x-auth-groups"] == ["admin,ops"]
    assert told["x-request-id"] == [world.observer.decisions[0][0].request_id]
    assert told["api-key"] == [""]
    assert told["cache-control"] == ["no-store"]
    nobody = fields_of(unknown)
    assert nobody["x-auth-subject"] == nobody["x-auth-groups"] == nobody["api-key"] == [""]
    assert "authorization" not in told
    assert known.endswith(b"\r\n\r\n")


async def test_the_decision_is_about_what_was_asked_and_who_asked_it() -> None:
    world = World()
    async with forward_auth_door(Dialect.TRAEFIK, world) as door:
        forwarded = (("X-Forwarded-For", "203.0.113.9, 198.51.100.7"),)
        await door.ask(Asked("GET", "/reports?x=1", bearer(world), forwarded))

    asked = world.observer.decisions[0][0]
    assert (asked.method, asked.path, asked.query) == ("GET", "/reports", "x=1")
    assert asked.host == "sidecar.example"
    assert asked.peer == "198.51.100.7"
    assert world.observer.answers[0][1] == 200


@pytest.mark.parametrize(
    ("asked", "status", "header"),
    [
        (Asked("GET", "/reports"), 401, ("www-authenticate", 'Bearer realm="sidecar"')),
        (
            Asked("TRACE", "/reports"),
            405,
            ("allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ),
        (Asked("GET", "/nowhere"), 403, ("cache-control", "no-store")),
    ],
)
async def test_a_refusal_has_the_body_and_the_challenge_of_every_door(
    asked: Asked, status: int, header: tuple[str, str]
) -> None:
    async with forward_auth_door(Dialect.TRAEFIK, World()) as door:
        response = await answer_to(door, asked)

    assert status_of(response) == status
    assert fields_of(response)[header[0]] == [header[1]]
    assert set(json.loads(response.partition(b"\r\n\r\n")[2])) == {"message", "error", "request_id"}
    assert "x-auth-subject" not in fields_of(response)
    assert fields_of(response)["x-request-id"][0].encode() in response.partition(b"\r\n\r\n")[2]


async def test_what_cannot_be_decided_is_a_503_with_a_time_to_come_back() -> None:
    world = World()
    world.accounts.live = False
    async with forward_auth_door(Dialect.CADDY, world) as door:
        response = await answer_to(door, Asked(authorization=bearer(world)))

    assert status_of(response) == 503
    assert fields_of(response)["retry-after"] == ["1"]


async def test_an_account_that_is_not_at_hand_is_waited_for() -> None:
    world = World()
    world.enroll("robot", at_hand=False)
    async with forward_auth_door(Dialect.NGINX, world) as door:
        assert (await door.ask(Asked(authorization=bearer(world)))).status == 200

    assert len(world.accounts.reads) == 1


async def test_a_disabled_account_is_refused_at_the_next_question() -> None:
    world = World()
    async with forward_auth_door(Dialect.NGINX, world) as door:
        asked = Asked(authorization=bearer(world))
        assert (await door.ask(asked)).status == 200
        world.disable("robot")
        assert (await door.ask(asked)).status == 401


async def test_whoever_is_no_proxy_of_ours_gets_no_decision() -> None:
    """X-Original-URI from a peer that nobody named: not read, and not logged."""
    world = World()
    elsewhere = TrustedProxies((ip_network("192.0.2.0/24"),))
    async with forward_auth_door(Dialect.NGINX, world, trusted=elsewhere) as door:
        response = await answer_to(door, Asked("GET", "/health?secret", bearer(world)))

    asked, decision, _ = world.observer.decisions[0]
    assert status_of(response) == 403
    assert isinstance(decision, Deny)
    assert decision.reason is DenyReason.UNTRUSTED_PEER
    assert (asked.peer, asked.path, asked.authorization) == ("127.0.0.1", "", ())
    assert [status for _, status, _ in world.observer.answers] == [403]


async def test_a_proxy_that_says_nothing_of_what_was_asked_gets_a_no() -> None:
    """The door's own path and method are never taken for the client's."""
    world = World()
    async with forward_auth_door(Dialect.TRAEFIK, world) as door:
        lines = ["Host: a", f"Authorization: {bearer(world)[0]}"]
        response = await door.send(question("GET", "/auth", lines))

    decision = world.observer.decisions[0][1]
    assert status_of(response) == 400
    assert isinstance(decision, Deny)
    assert decision.detail == "not exactly one x-forwarded-method"


@pytest.mark.parametrize("dialect", [Dialect.ENVOY, Dialect.NGINX])
async def test_a_token_can_be_kept_from_upstream(dialect: Dialect) -> None:
    world = World()
    async with forward_auth_door(dialect, world, forward_authorization=False) as door:
        told = fields_of(await answer_to(door, Asked(authorization=bearer(world))))

    assert told["authorization"] == [""]
    assert told.get("x-envoy-auth-headers-to-remove") == (
        ["authorization"] if dialect is Dialect.ENVOY else None
    )


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/watch", HANDSHAKE, 200),
        ("/watch", (*HANDSHAKE, ("Upgrade", "websocket"), ("Connection", "Upgrade")), 200),
        ("/watch", (("Upgrade", "h2c"), ("Connection", "Upgrade")), 403),
        ("/watch", (*HANDSHAKE, ("Upgrade", "websocket, h2c"), ("Connection", "Upgrade")), 403),
        ("/reports", HANDSHAKE, 403),
        ("/reports", (("Upgrade", "h2c"), ("Connection", "Upgrade")), 403),
        ("/health", HANDSHAKE, 403),
    ],
)
async def test_a_switch_of_protocols_passes_where_the_route_takes_one(
    path: str, fields: tuple[tuple[str, str], ...], status: int
) -> None:
    """The proxy switches by itself: on other routes that would be a tunnel past the rules."""
    world = World()
    async with forward_auth_door(Dialect.NGINX, world) as door:
        answer = await door.ask(Asked("GET", path, bearer(world), fields))

    assert answer.status == status
    if status == 403:
        assert isinstance(answer.decision, Deny)
        assert answer.decision.reason is DenyReason.NO_ROUTE


async def test_a_question_with_a_body_is_answered_unread() -> None:
    world = World()
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        response = await door.send(
            b"POST /auth/reports HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart"
        )

    assert status_of(response) == 401
    assert fields_of(response)["connection"] == ["close"]


async def test_a_proxy_that_goes_away_is_counted() -> None:
    """Envoy waits for 200 ms unless told otherwise."""

    class Slow:
        def authorize_now(self, request: AccessRequest) -> None:
            asked.append(request)

        async def authorize(self, request: AccessRequest) -> None:
            del request
            await asyncio.Event().wait()

    asked: list[AccessRequest] = []
    world = World()
    world.authorizer = Slow()  # type: ignore[assignment]
    async with forward_auth_door(Dialect.ENVOY, world) as door:
        host, _, port = door.door.url.removeprefix("http://").rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /auth/health HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: asked)
        writer.close()
        await until(lambda: world.observer.answers)

    assert world.observer.answers[0][1] == 499
