"""What upstream and the log are told of the client over the wire, behind proxies and not."""

import asyncio
from ipaddress import ip_network

import pytest

from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.world import World

LOOPBACK = TrustedProxies((ip_network("127.0.0.0/8"),))
CLAIMS = (
    b"X-Forwarded-For: 198.51.100.1, 203.0.113.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: public.example",
    b"X_Forwarded_For: 192.0.2.66",
    b"x.forwarded.proto: gopher",
    b"Forwarded: for=192.0.2.66;proto=https",
    b"X-Real-IP: 192.0.2.66",
)
AT_ONCE = ("GET /admin/x HTTP/1.1", (), b"")
BY_A_TASK = ("POST /admin/x HTTP/1.1", (b"Transfer-Encoding: chunked",), b"0\r\n\r\n")
WAYS = pytest.mark.parametrize(
    ("line", "fields", "body"), [AT_ONCE, BY_A_TASK], ids=["at once", "by a task"]
)


async def answer(conversation: Conversation) -> None:
    if conversation.values("Transfer-Encoding"):
        await conversation.reader.readuntil(b"0\r\n\r\n")
    await conversation.say(OK)


def admin() -> World:
    world = World()
    world.enroll("robot", "admin")
    return world


def logged(front: Front) -> str:
    return front.world.observer.decisions[-1][0].peer


@WAYS
async def test_what_an_untrusted_peer_claims_is_told_nobody(
    line: str, fields: tuple[bytes, ...], body: bytes
) -> None:
    async with (
        scripted_upstream(answer) as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        assert status_of(await front.ask(line, *CLAIMS, *fields, body=body)) == 200

        heard = upstream.last
        assert heard.values("X-Forwarded-For") == ["127.0.0.1"]
        assert heard.values("X-Forwarded-Proto") == ["http"]
        assert logged(front) == "127.0.0.1"
        for untold in (b"public.example", b"192.0.2.66", b"203.0.113.9", b"gopher"):
            assert untold not in heard.head


@WAYS
async def test_a_trusted_proxys_chain_goes_on_with_the_proxy_at_its_end(
    line: str, fields: tuple[bytes, ...], body: bytes
) -> None:
    more = b"X-Forwarded-For: 203.0.113.10"
    async with (
        scripted_upstream(answer) as upstream,
        running_front(upstream.url, world=admin(), trusted=LOOPBACK) as front,
    ):
        assert status_of(await front.ask(line, *CLAIMS, more, *fields, body=body)) == 200

        heard = upstream.last
        assert heard.values("X-Forwarded-For") == [
            "198.51.100.1, 203.0.113.9, 203.0.113.10, 127.0.0.1"
        ]
        assert heard.values("X-Forwarded-Proto") == ["https"]
        assert heard.values("X-Forwarded-Host") == ["public.example"]
        assert heard.values("Host") == ["sidecar.example"]
        # The last whom no proxy of ours stands for; what it says itself is its own claim.
        assert logged(front) == "203.0.113.10"


@WAYS
async def test_clients_that_share_a_proxys_connection_are_not_mixed_up(
    line: str, fields: tuple[bytes, ...], body: bytes
) -> None:
    """What was made of one head is remembered with its connection, for that very head alone."""
    clients = ["203.0.113.1", "203.0.113.2", "203.0.113.2", "203.0.113.1"]
    async with (
        scripted_upstream(answer) as upstream,
        running_front(upstream.url, world=admin(), trusted=LOOPBACK) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        for client in clients:
            chain = b"X-Forwarded-For: " + client.encode()
            writer.write(front.request(line, chain, *fields, body=body))
            assert status_of(await reader.readuntil(b"\r\n\r\nok")) == 200
            assert logged(front) == client
        writer.close()

    told = [each.values("X-Forwarded-For") for each in upstream.conversations]
    assert told == [[f"{client}, 127.0.0.1"] for client in clients]


@pytest.mark.parametrize(
    "claim",
    [b"X-Forwarded-For: unknown", b"X-Forwarded-For: 203.0.113.9;x", b"X-Forwarded-For: \xff"],
)
async def test_a_chain_that_is_no_chain_names_the_proxy(claim: bytes) -> None:
    async with (
        scripted_upstream(answer) as upstream,
        running_front(upstream.url, trusted=LOOPBACK) as front,
    ):
        assert status_of(await front.ask("GET /reports HTTP/1.1", claim)) == 200

        assert logged(front) == "127.0.0.1"
