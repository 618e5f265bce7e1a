"""What the sidecar shows the gateway to be told of its accounts. Never in a log."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_client import BoundedClient
from sidecar.core.strict_json import NotStrictJSON, read_json_object
from sidecar.ports import Clock

_MAX_BYTES = 65536
# Of its life: then a token is good for as long as a request takes, whatever the clocks say.
_USED_SHARE = 0.8
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 86400.0

ReadSecret = Callable[[], str]
"""Returns a secret from its file; raises OSError or ValueError where there is none any more."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A header for each request; ``forget`` it when it was refused."""

    header: Callable[[], Awaitable[Mapping[str, str]]]
    forget: Callable[[], None]


def bearer_of(read: ReadSecret) -> Credential:
    """Return the bearer token in a file, read anew each time: others renew it there."""

    async def header() -> Mapping[str, str]:
        return {"Authorization": f"Bearer {_checked(await _read(read))}"}

    return Credential(header, lambda: None)


def api_key_of(read: ReadSecret) -> Credential:
    """Return the gateway's API key in a file, read anew each time."""

    async def header() -> Mapping[str, str]:
        return {"Api-Key": _checked(await _read(read))}

    return Credential(header, lambda: None)


class ClientCredentials:
    """Gets tokens by the client-credentials grant (RFC 6749, 4.4), each kept for most of its life.

    Args:
        endpoint: the token endpoint, open.
        read: returns the client's secret.
        more: further parameters, such as scope, or audience.
    """

    def __init__(
        self,
        endpoint: BoundedClient,
        client_id: str,
        read: ReadSecret,
        more: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._endpoint = endpoint
        self._client_id = client_id
        self._read = read
        self._more = more
        self._clock = clock
        self._token = ""
        self._until = 0.0

    async def header(self) -> Mapping[str, str]:
        asked_at = self._clock.steady()
        if not self._token or asked_at >= self._until:
            try:
                self._token, lifetime = await self._ask()
            except NotFetched as failed:
                raise NotFetched(
                    SyncFailure.CREDENTIAL, f"the token endpoint: {failed.detail}"
                ) from None
            self._until = asked_at + lifetime * _USED_SHARE
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        self._token = ""

    async def _ask(self) -> tuple[str, float]:
        # RFC 6749, 2.3.1: both are form-encoded before they are put into the header.
        secret = await _read(self._read)
        basic = aiohttp.encode_basic_auth(quote(self._client_id, ""), quote(secret, ""))
        answer = await self._endpoint.ask(
            "",
            _MAX_BYTES,
            {"Authorization": basic},
            {"grant_type": "client_credentials", **self._more},
        )
        try:
            members = read_json_object(answer)
        except NotStrictJSON as problem:
            raise NotFetched(SyncFailure.MALFORMED, str(problem)) from None
        token, lifetime = members.get("access_token"), members.get("expires_in", 0)
        if not isinstance(token, str) or str(members.get("token_type")).lower() != "bearer":
            raise NotFetched(SyncFailure.MALFORMED, "it gave no bearer token")
        # RFC 6749, 5.1: without expires_in nobody knows; then it is used once.
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float):
            lifetime = 0.0
        return _checked(token), min(max(lifetime, _SHORTEST_SECONDS), _LONGEST_SECONDS)


async def _read(read: ReadSecret) -> str:
    try:
        return await asyncio.to_thread(read)
    except (OSError, ValueError) as problem:
        detail = f"its file cannot be used: {type(problem).__name__}"
        raise NotFetched(SyncFailure.CREDENTIAL, detail) from None


def _checked(secret: str) -> str:
    """Return what can stand in a header: a line end inside would begin another one."""
    text = secret.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise NotFetched(SyncFailure.CREDENTIAL, "it is no token: expected visible ASCII")
    return text
