"""The reverse proxy listening on loopback, among fakes; and a client that sends raw octets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from sidecar.account_mirror import AccountMirror
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.protection import SIDECAR, Realm
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.listener import Listener, ListenPolicy
from sidecar.fronts.request_head import HeadRules
from sidecar.fronts.resource_metadata import ResourceMetadata
from sidecar.fronts.reverse_proxy.handler import Handler, Parts
from sidecar.fronts.reverse_proxy.pace import BodyRate
from sidecar.fronts.reverse_proxy.server import listening
from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamPolicy
from sidecar.ports import Change, CutReason
from sidecar.streams import Streams
from tests.fakes.world import World

IDENTITY = IdentityHeaders(
    {
        "subject": "X-Auth-Subject",
        "name": "X-Auth-Name",
        "groups": "X-Auth-Groups",
        "request_id": "X-Request-Id",
    },
    cleared=("Api-Key",),
)


@dataclass
class Front:
    """A running front. ``connect`` and ``send`` speak to it in raw octets."""

    world: World
    streams: Streams
    proxy: Listener
    parts: Parts

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.proxy.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def bearer(self, **claims: Any) -> bytes:
        return b"Authorization: Bearer " + self.world.sign(**claims).encode()

    def request(
        self, line: str = "GET /reports HTTP/1.1", *fields: bytes, body: bytes = b""
    ) -> bytes:
        """Return the octets of a request with a good token and these further fields."""
        return b"\r\n".join(
            [line.encode("latin-1"), b"Host: sidecar.example", self.bearer(), *fields, b"", body]
        )

    async def send(self, octets: bytes) -> bytes:
        """Send and return everything that comes back until the connection ends."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(octets)
        try:
            async with asyncio.timeout(10):
                return await read_all(reader)
        finally:
            writer.close()

    async def say(self, octets: bytes) -> bytes:
        """As ``send``, of one that has no more to say: it ends its side behind the octets."""
        return await say(self.address, octets)

    async def ask(
        self, line: str = "GET /reports HTTP/1.1", *fields: bytes, body: bytes = b""
    ) -> bytes:
        """As ``send``, of a request on a connection that ends with it."""
        return await self.send(self.request(line, b"Connection: close", *fields, body=body))

    def cut(self, reason: CutReason = CutReason.REVOKED) -> int:
        return self.streams.cut(self.streams.of(Change()), reason)


async def say(address: tuple[str, int], octets: bytes) -> bytes:
    """Send, end our side, and return everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(octets)
    try:
        async with asyncio.timeout(10):
            with suppress(OSError):
                writer.write_eof()
            return await read_all(reader)
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end; what came before a reset counts too."""
    got = bytearray()
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            got += data
    return bytes(got)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


@asynccontextmanager
async def running_front(  # noqa: PLR0913 - what a test may want
    upstream_url: str,
    *,
    world: World | None = None,
    identity: IdentityHeaders = IDENTITY,
    trusted: TrustedProxies | None = None,
    forward_authorization: bool = True,
    idle_seconds: float = 10.0,
    policy: UpstreamPolicy | None = None,
    mirror: AccountMirror | None = None,
    body_rate: BodyRate | None = None,
    read_rate: BodyRate | None = None,
    listen: ListenPolicy | None = None,
    realm: Realm = SIDECAR,
    metadata: ResourceMetadata | None = None,
) -> AsyncIterator[Front]:
    world = world or World()
    streams = Streams(world.observer)
    policy = replace(policy or UpstreamPolicy(""), url=upstream_url)
    async with Upstream(policy) as upstream:
        parts = Parts(
            world.authorizer,
            streams,
            upstream,
            HeadRules(
                identity,
                trusted or TrustedProxies(),
                forward_authorization,
                world.shown,
                traces=world.tracer is not None,
            ),
            world.clock,
            world.observer,
            idle_seconds=idle_seconds,
            mirror=mirror,
            body_rate=body_rate or BodyRate(),
            read_rate=read_rate or BodyRate(grace=idle_seconds),
            realm=realm,
            metadata=metadata,
            tracer=world.tracer,
        )
        listen = listen or ListenPolicy("127.0.0.1", 0, idle_timeout=10.0)
        async with listening(Handler(parts), listen) as proxy:
            yield Front(world, streams, proxy, parts)
