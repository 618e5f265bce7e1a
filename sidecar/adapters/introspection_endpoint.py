"""The HTTP of a question to an introspection endpoint (RFC 7662, 2.1)."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from sidecar.adapters.bounded_fetch import FetchFailed, SessionHolder, fetch
from sidecar.adapters.client_authentication import Prove
from sidecar.adapters.discovery import discover, read_introspection_endpoint
from sidecar.core.bearer import BearerToken
from sidecar.ports import Clock, FetchOutcome

# Seconds after which the provider is asked again where its endpoint is.
_ADDRESS_TTL = 3600.0
# An idle connection is used again for so long; a server that closes it sooner costs one repetition.
_KEEP_ALIVE = 15.0


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Where one issuer is asked, and the bounds.

    ``timeout`` are the seconds that a whole question may take, ``max_bytes`` what an answer may
    have, inflated. Without ``url`` the address is in the issuer's metadata.
    """

    issuer: str
    url: str | None = None
    insecure_http: bool = False
    mutual_tls: bool = False
    timeout: float = 2.0
    max_bytes: int = 65536
    max_connections: int = 64


class IntrospectionEndpoint(SessionHolder):
    """Asks between ``async with`` and its end. ``metadata`` fetches the discovery documents.

    ``tls`` is how the server is verified, and what certificate it is shown.
    """

    def __init__(
        self,
        policy: EndpointPolicy,
        prove: Prove,
        metadata: Callable[[str], Awaitable[bytes]],
        clock: Clock,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            "application/json",
            lambda: aiohttp.TCPConnector(
                limit=policy.max_connections, keepalive_timeout=_KEEP_ALIVE
            ),
        )
        self._policy = policy
        self._prove = prove
        self._metadata = metadata
        self._clock = clock
        self._tls = tls
        self._address: str | None = None
        self._looked_at = 0.0

    async def ask(self, bearer: BearerToken) -> bytes:
        """As ``introspection.Endpoint.ask``."""
        address = await self._find()
        try:
            return await self._post(address, bearer)
        except FetchFailed as failed:
            if failed.outcome is not FetchOutcome.UNREACHABLE:
                raise
        try:
            # It may have closed an idle connection just then; and to ask twice changes nothing.
            return await self._post(address, bearer)
        except FetchFailed:
            self._address = None  # it may have moved
            raise

    async def _post(self, address: str, bearer: BearerToken) -> bytes:
        proof = await self._prove()
        return await fetch(
            self.session,
            "POST",
            address,
            seconds=self._policy.timeout,
            max_bytes=self._policy.max_bytes,
            tls=self._tls,
            headers=proof.headers,
            data={"token": bearer, "token_type_hint": "access_token", **proof.form},
        )

    async def _find(self) -> str:
        policy, now = self._policy, self._clock.steady()
        if policy.url is not None:
            return policy.url
        if self._address is None or now - self._looked_at >= _ADDRESS_TTL:
            address = await discover(
                policy.issuer,
                self._metadata,
                lambda document: read_introspection_endpoint(
                    document, policy.issuer, mutual_tls=policy.mutual_tls
                ),
            )
            if not address.startswith("https://") and not (
                policy.insecure_http and address.startswith("http://")
            ):
                raise FetchFailed(FetchOutcome.MALFORMED, "the endpoint's address is not https")
            self._address, self._looked_at = address, now
        return self._address
