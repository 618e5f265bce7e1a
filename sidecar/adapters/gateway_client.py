"""The gateway's list of service accounts (``GET /api/serviceaccounts``)."""

import asyncio

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_client import BoundedClient
from sidecar.adapters.gateway_credentials import Credential
from sidecar.core.strict_json import NotStrictJSON, read_json
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount, read_wanted

_PATH = "/api/serviceaccounts"
# 255 characters each of subject, name and some groups, and what is around them.
_BYTES_PER_THOUSAND = 1024 * 1024


class GatewayAccounts:
    """Implements ``account_sync.WantedSource``.

    Args:
        gateway: the gateway, open.
        credential: of an identity that may list accounts there.
        max_accounts: more than so many, or 1 MiB for each thousand of them, are refused.
    """

    def __init__(self, gateway: BoundedClient, credential: Credential, max_accounts: int) -> None:
        self._gateway = gateway
        self._credential = credential
        self._max_accounts = max_accounts

    async def fetch(self) -> list[WantedAccount]:
        """Return the whole list. Raises NotFetched."""
        thousands = -(-self._max_accounts // 1000)
        try:
            answer = await self._gateway.ask(
                _PATH, thousands * _BYTES_PER_THOUSAND, await self._credential.header()
            )
        except NotFetched as failed:
            if failed.reason is SyncFailure.STATUS:
                self._credential.forget()
            raise
        # A list of thousands takes longer than a request may wait for the event loop.
        wanted = await asyncio.to_thread(_read, answer)
        if len(wanted) > self._max_accounts:
            raise NotFetched(
                SyncFailure.TOO_LARGE, f"{len(wanted)} accounts; sync.max_accounts allows for less"
            )
        return wanted


def _read(answer: bytes) -> list[WantedAccount]:
    try:
        return read_wanted(read_json(answer))
    except (NotStrictJSON, NotAccounts) as problem:
        raise NotFetched(SyncFailure.MALFORMED, str(problem)) from None
