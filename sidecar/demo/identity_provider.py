"""An OAuth 2.0 authorization server for the demo: the client-credentials grant, on loopback only.

What it does, it does by the book: RFC 6749 (4.4 the grant, 2.3.1 client authentication, 5 the
answers), RFC 8414 and OpenID Connect Discovery 1.0, RFC 7517 (keys), RFC 9068 (access tokens),
RFC 8707 (``resource``). It keeps nothing: each start has keys that nobody has seen before.
"""

import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Literal, Self, assert_never
from uuid import uuid4

from aiohttp import web

from sidecar.adapters.clock import SystemClock
from sidecar.core.client_request import ClientRefused
from sidecar.demo.loopback import Loopback
from sidecar.demo.signing_keys import Algorithm, SigningKeys
from sidecar.demo.token_request import Client, read_token_request
from sidecar.ports import Clock

__all__ = ["Client", "Endpoint", "IdentityProvider", "Outage"]

Endpoint = Literal["token", "jwks", "discovery"]

# What a provider has been seen to do instead of answering. All but `empty_keys`, which concerns
# the keys alone, strike every endpoint.
_Failure = Literal["status_500", "html", "reset", "truncated", "huge", "redirect_loop"]
Outage = Literal["empty_keys", "slow"] | _Failure

_DISCOVERY_PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
_SLOW_SECONDS = 30.0
_HUGE_BYTES = 10 * 1024 * 1024
# RFC 6749, 5.1: "The authorization server MUST include the HTTP "Cache-Control" response header
# field with a value of "no-store" in any response containing tokens"; 5.2's examples do too.
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class IdentityProvider:
    """Issues access tokens to its ``clients`` between ``async with`` and its end.

    It can be entered again after its end and is then at the same address, keys included.

    Args:
        clients: who may ask for tokens; the attribute of this name may be changed at any time.
        port: where to listen on 127.0.0.1; 0 lets the system choose.
        algorithm: of the signatures, ``RS256`` or ``ES256``.
        audiences: whom a token may be for; the first is meant where the client names none.
        lifetime: seconds that a token of the token endpoint is good for.
        clock: what the tokens' dates are read from.

    Raises:
        ValueError: there is no audience; a token without one would be good for everybody.
    """

    def __init__(
        self,
        clients: Iterable[Client] = (),
        *,
        port: int = 0,
        algorithm: Algorithm = "RS256",
        audiences: Sequence[str] = ("hoop-gateway",),
        lifetime: int = 300,
        clock: Clock | None = None,
    ) -> None:
        if not audiences:
            raise ValueError("an identity provider needs an audience to issue tokens for")
        self.clients = list(clients)
        self.requests: Counter[Endpoint] = Counter()
        self.outage: Outage | None = None
        self.lifetime = lifetime
        self._audiences = tuple(audiences)
        self._clock = clock or SystemClock()
        self._keys = SigningKeys(algorithm)
        self._loopback = Loopback(port)

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=64 * 1024)
        for path in _DISCOVERY_PATHS:
            application.router.add_get(path, self._faulty("discovery", self._discover))
        application.router.add_get("/jwks", self._faulty("jwks", self._publish))
        application.router.add_post("/token", self._faulty("token", self._answer))
        await self._loopback.start(application)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._loopback.stop()

    @property
    def issuer(self) -> str:
        """The issuer identifier, a URL. Known once the server was started."""
        return self._loopback.url

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.issuer}/token"

    @property
    def jwks_url(self) -> str:
        """Where the public keys are."""
        return f"{self.issuer}/jwks"

    @property
    def kids(self) -> list[str]:
        """The published keys' ids, the signing key's last."""
        return self._keys.kids

    def rotate(self) -> str:
        """Sign with a new key from now on and return its ``kid``; the old ones stay published.

        Making an RSA key takes about 0.1 s, in which nothing else runs.
        """
        return self._keys.rotate()

    def retire(self, kid: str) -> None:
        """Publish a key no more.

        Raises:
            KeyError: no such key is published.
            ValueError: it is the signing key; ``rotate`` first.
        """
        self._keys.retire(kid)

    def issue(self, client_id: str, *, lifetime: float = 300, **claim_overrides: object) -> str:
        """Return an access token (RFC 9068) as the token endpoint would give to this client.

        Args:
            client_id: one of ``clients``.
            lifetime: seconds until it expires; negative for one that has expired already.
            claim_overrides: claims to set instead; None leaves the claim out.

        Raises:
            KeyError: there is no such client.
        """
        found = next((client for client in self.clients if client.client_id == client_id), None)
        if found is None:
            raise KeyError(client_id)
        claims = self._claims(found, self._audiences[:1], found.scopes, lifetime)
        claims.update(claim_overrides)
        return self._keys.sign({name: value for name, value in claims.items() if value is not None})

    def _claims(
        self, client: Client, audiences: Sequence[str], scopes: Sequence[str], lifetime: float
    ) -> dict[str, object]:
        now = int(self._clock.now())
        return {
            "iss": self.issuer,
            "sub": client.subject,
            "aud": audiences[0] if len(audiences) == 1 else list(audiences),
            "exp": int(now + lifetime),
            "iat": now,
            "jti": str(uuid4()),
            "client_id": client.client_id,
            "scope": " ".join(scopes) or None,
        }

    async def _discover(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "token_endpoint": self.token_url,
                "jwks_uri": self.jwks_url,
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                ],
                "scopes_supported": sorted({s for client in self.clients for s in client.scopes}),
                # Required by RFC 8414, 2, and OpenID Connect, of a server without an authorization
                # endpoint too: readers refuse a document that lacks it.
                "response_types_supported": [],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [self._keys.algorithm],
            }
        )

    async def _publish(self, _: web.Request) -> web.Response:
        keys = [] if self.outage == "empty_keys" else self._keys.public()
        return web.json_response({"keys": keys})

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            asked = read_token_request(
                request.content_type,
                request.headers.getall("Authorization", []),
                await request.read(),
                self.clients,
                self._audiences,
            )
        except ClientRefused as refused:
            return web.json_response(
                refused.members(),
                status=refused.status,
                headers=_NOT_STORED | refused.headers(),
            )
        claims = self._claims(asked.client, asked.audiences, asked.scopes, self.lifetime)
        granted: dict[str, object] = {
            "access_token": self._keys.sign(
                {name: value for name, value in claims.items() if value is not None}
            ),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }
        if asked.scopes:
            granted["scope"] = " ".join(asked.scopes)
        return web.json_response(granted, headers=_NOT_STORED)

    def _faulty(
        self, endpoint: Endpoint, healthy: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests[endpoint] += 1
            match self.outage:
                case None | "empty_keys":
                    return await healthy(request)
                case "slow":
                    await self._loopback.lasts(_SLOW_SECONDS)
                    return await healthy(request)
                case outage:
                    return await _fail(outage, request)

        return answer


async def _fail(outage: _Failure, request: web.Request) -> web.StreamResponse:
    match outage:
        case "status_500":
            return web.json_response({"error": "server_error"}, status=500)
        case "html":
            return web.Response(text="<h1>Be right back</h1>", content_type="text/html")
        case "huge":
            return web.Response(body=b" " * _HUGE_BYTES, content_type="application/json")
        case "redirect_loop":
            raise web.HTTPFound(request.rel_url)
        case "truncated":
            return await _break_off(request)
        case "reset":
            return _reset(request)
        case _:
            assert_never(outage)


async def _break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "application/json", "Content-Length": "1000"}
    )
    await response.prepare(request)
    await response.write(b'{"keys":[')
    if request.transport is not None:
        request.transport.close()
    return response


def _reset(request: web.Request) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        # With a lingering time of zero the kernel sends RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        transport.abort()
    return web.Response()
