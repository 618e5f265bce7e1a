"""The doors of a sidecar, each as a client's request meets it: alike to ask, whatever the wire.

A forward-auth door is asked as its proxy asks: with what the client sent, and the proxy's own word
on what that was.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Protocol, assert_never

from sidecar.core.decision import Decision
from sidecar.core.dialect import Dialect
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.protection import SIDECAR, Realm
from sidecar.fronts.forward_auth.handler import Handler, Parts
from sidecar.fronts.forward_auth.server import listening
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.listener import Listener, ListenPolicy
from sidecar.fronts.request_head import HeadRules
from sidecar.fronts.resource_metadata import ResourceMetadata
from tests.fakes import checks
from tests.fakes.front import IDENTITY, Front, read_all, running_front, status_of
from tests.fakes.upstream import ScriptedUpstream, scripted_upstream
from tests.fakes.world import World

HOST = "sidecar.example"
LOOPBACK = TrustedProxies((ip_network("127.0.0.0/8"),))


@dataclass(frozen=True)
class Asked:
    """A client's request. ``fields`` are what it sends beside ``Host`` and ``Authorization``."""

    method: str = "GET"
    target: str = "/reports"
    authorization: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[str]:
        bearers = [f"Authorization: {value}" for value in self.authorization]
        return [*bearers, *(f"{name}: {value}" for name, value in self.fields)]


@dataclass(frozen=True)
class Answer:
    """What became of a request: ``told`` is what upstream hears of it, by name in lower case.

    Nothing where it was refused: then ``refusal`` is what the client hears, all but the request's
    id. ``decision`` is None where the request came to none.
    """

    status: int
    decision: Decision | None
    told: Mapping[str, list[str]] = field(default_factory=dict)
    refusal: str = ""


class Door(Protocol):
    """One way in, among fakes."""

    world: World

    async def ask(self, asked: Asked) -> Answer: ...


@dataclass
class ReverseProxyDoor:
    """The reverse proxy: upstream hears what it writes."""

    world: World
    front: Front
    upstream: ScriptedUpstream

    async def ask(self, asked: Asked) -> Answer:
        before, heard = len(self.upstream.conversations), len(self.world.observer.decisions)
        response = await self.front.send(
            question(asked.method, asked.target, [f"Host: {HOST}", *asked.lines()])
        )
        told: dict[str, list[str]] = {}
        for conversation in self.upstream.conversations[before:]:
            for name, value in conversation.fields:
                told.setdefault(name.lower(), []).append(value)
        decision = decided(self.world, heard)
        return Answer(status_of(response), decision, told, refusal_in(response))


@dataclass
class ForwardAuthDoor:
    """A forward-auth door: upstream hears what the client sent, the answer's fields put over it."""

    world: World
    door: Listener
    dialect: Dialect

    async def ask(self, asked: Asked) -> Answer:
        heard = len(self.world.observer.decisions)
        response = await self.send(question_of(self.dialect, asked))
        status, answered = status_of(response), fields_of(response)
        told: dict[str, list[str]] = {}
        if status == 200:
            for name, value in asked.fields:
                told.setdefault(name.lower(), []).append(value)
            told |= answered
        return Answer(status, decided(self.world, heard), told, refusal_in(response))

    async def hear(self, octets: bytes) -> bytes:
        """Send and return the head of the first answer, or what there is of it."""
        host, _, port = self.door.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(octets)
        try:
            async with asyncio.timeout(2):
                return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            return b""
        finally:
            writer.close()

    async def send(self, octets: bytes) -> bytes:
        """Send and return everything that comes back until the connection ends."""
        host, _, port = self.door.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(octets)
        try:
            async with asyncio.timeout(10):
                return await read_all(reader)
        finally:
            writer.close()


@dataclass
class ExtAuthzDoor:
    """Envoy's check: upstream hears what the client sent, but what Envoy is told to change."""

    world: World
    checks: checks.Door
    raw: bool

    async def ask(self, asked: Asked) -> Answer:
        # RFC 9110, 5.5: white space around a value is no part of it, and Envoy tells none.
        bearers = [("authorization", value.strip(" ")) for value in asked.authorization]
        check = checks.check_of(
            *bearers, *asked.fields, method=asked.method, target=asked.target, raw=self.raw
        )
        heard = len(self.world.observer.decisions)
        answer = await self.checks.send(check)
        told: dict[str, list[str]] = {}
        if answer.status == 200:
            for name, value in asked.fields:
                told.setdefault(name.lower(), []).append(value)
            # In Envoy's order: first it sets, then it removes.
            told |= {name: [value] for name, value in answer.set.items()}
            for name in answer.removed:
                told.pop(name, None)
        refusal = without_id(f"{answer.client}{answer.body}")
        return Answer(answer.status, decided(self.world, heard), told, refusal)


def decided(world: World, before: int) -> Decision | None:
    """Return the latest of the decisions after so many, or None where there is none."""
    made = world.observer.decisions[before:]
    return made[-1][1] if made else None


def refusal_in(response: bytes) -> str:
    """Return a response as the client gets it, without the request's id and the time."""
    return without_id(response.decode("latin-1")) if status_of(response) >= 400 else ""


def without_id(text: str) -> str:
    text = re.sub(r'"request_id":"[^"]*"', '"request_id":"..."', text)
    return re.sub(r"(?im)^(date|x-request-id): .*$", r"\1: ...", text)


def question(method: str, target: str, lines: list[str]) -> bytes:
    """Return the octets of a request on a connection that ends with it."""
    head = [f"{method} {target} HTTP/1.1", *lines, "Connection: close", "", ""]
    return "\r\n".join(head).encode("utf-8", "surrogateescape")


def question_of(dialect: Dialect, asked: Asked) -> bytes:
    """Return what a proxy of this dialect asks of a client's request."""
    match dialect:
        case Dialect.TRAEFIK | Dialect.CADDY:
            told = [
                f"X-Forwarded-Method: {asked.method}",
                "X-Forwarded-Proto: https",
                f"X-Forwarded-Host: {HOST}",
                f"X-Forwarded-Uri: {asked.target}",
            ]
        case Dialect.NGINX:
            told = [
                f"X-Original-Method: {asked.method}",
                f"X-Original-Host: {HOST}",
                f"X-Original-URI: {asked.target}",
            ]
        case Dialect.ENVOY:
            lines = [f"Host: {HOST}", *asked.lines()]
            return question(asked.method, f"/auth{asked.target}", lines)
        case _:
            assert_never(dialect)
    own = {line.partition(":")[0].lower() for line in told}
    kept = [line for line in asked.lines() if line.partition(":")[0].lower() not in own]
    return question("GET", "/auth", ["Host: the-sidecar", *told, *kept])


def fields_of(response: bytes) -> dict[str, list[str]]:
    """Return the fields of a response's head, by name in lower case."""
    found: dict[str, list[str]] = {}
    for line in response.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


@asynccontextmanager
async def reverse_proxy_door(
    world: World, *, trusted: TrustedProxies | None = None
) -> AsyncIterator[ReverseProxyDoor]:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, world=world, trusted=trusted) as front,
    ):
        yield ReverseProxyDoor(world, front, upstream)


@asynccontextmanager
async def forward_auth_door(  # noqa: PLR0913 - what a test may want
    dialect: Dialect,
    world: World,
    *,
    identity: IdentityHeaders = IDENTITY,
    trusted: TrustedProxies = LOOPBACK,
    forward_authorization: bool = True,
    head_timeout: float = 10.0,
    realm: Realm = SIDECAR,
    metadata: ResourceMetadata | None = None,
) -> AsyncIterator[ForwardAuthDoor]:
    parts = Parts(
        world.authorizer,
        HeadRules(
            identity,
            trusted,
            forward_authorization,
            world.shown,
            traces=world.tracer is not None,
        ),
        dialect,
        "/auth",
        world.clock,
        world.observer,
        realm,
        metadata,
        world.tracer,
    )
    listen = ListenPolicy("127.0.0.1", 0, idle_timeout=10.0, head_timeout=head_timeout)
    async with listening(Handler(parts), listen) as door:
        yield ForwardAuthDoor(world, door, dialect)


def _ext_authz(*, raw: bool) -> Callable[[World], AbstractAsyncContextManager[Door]]:
    @asynccontextmanager
    async def opened(world: World) -> AsyncIterator[ExtAuthzDoor]:
        yield ExtAuthzDoor(world, checks.Door(world), raw)

    return opened


def _of(dialect: Dialect) -> Callable[[World], AbstractAsyncContextManager[Door]]:
    return lambda world: forward_auth_door(dialect, world)


DOORS: Mapping[str, Callable[[World], AbstractAsyncContextManager[Door]]] = {
    "reverse proxy": reverse_proxy_door,
    **{f"forward-auth, {dialect}": _of(dialect) for dialect in Dialect},
    "ext_authz, raw headers": _ext_authz(raw=True),
    "ext_authz, joined headers": _ext_authz(raw=False),
}
"""Every door that there is, by name: what opens it in a world."""
