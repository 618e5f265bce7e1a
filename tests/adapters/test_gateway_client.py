"""The gateway's list, as the gateway writes it, and as nobody should."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_client import BoundedClient
from sidecar.adapters.gateway_client import GatewayAccounts
from sidecar.adapters.gateway_credentials import Credential, api_key_of
from sidecar.core.subject import AccountStatus
from sidecar.core.wanted_accounts import WantedAccount
from sidecar.demo.gateway import Gateway, GatewayAccount
from tests.fakes.answering import answering, ok


async def nobody(_: str) -> str | None:
    return None


@asynccontextmanager
async def listing(
    url: str, credential: Credential | None = None, max_accounts: int = 1000
) -> AsyncIterator[GatewayAccounts]:
    async with BoundedClient(url, 5.0) as client:
        yield GatewayAccounts(client, credential or api_key_of(lambda: "key"), max_accounts)


async def refusal(answer: bytes) -> NotFetched:
    async with answering(answer) as server, listing(server.url, max_accounts=2) as accounts:
        with pytest.raises(NotFetched) as failed:
            await accounts.fetch()
    return failed.value


async def test_the_gateways_accounts_are_read_as_it_writes_them() -> None:
    async with Gateway(nobody, api_key="key") as gateway, listing(gateway.url) as accounts:
        assert await accounts.fetch() == []
        gateway.accounts = {
            "a": GatewayAccount("a", "A", ("devops", "ops")),
            "team/b": GatewayAccount("team/b", status="inactive"),
        }

        assert await accounts.fetch() == [
            WantedAccount("a", "A", ("devops", "ops")),
            WantedAccount("team/b", status=AccountStatus.INACTIVE),
        ]


async def test_a_credential_that_the_gateway_refuses_is_forgotten() -> None:
    forgotten: list[bool] = []

    async def header() -> Mapping[str, str]:
        return {"Api-Key": "another"}

    credential = Credential(header, lambda: forgotten.append(True))
    async with (
        Gateway(nobody, api_key="key") as gateway,
        listing(gateway.url, credential) as accounts,
    ):
        with pytest.raises(NotFetched) as failed:
            await accounts.fetch()

    assert failed.value.reason is SyncFailure.STATUS
    assert forgotten == [True]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"{}",
        b'{"message": "access denied"}',
        b"[null]",
        b'[{"subject": "a", "status": "active"}',
        b'[{"subject": "a", "status": "gone"}]',
        b'[{"subject": "a", "subject": "b", "status": "active"}]',
        b"[" * 100_000 + b"]" * 100_000,
        b'"\xff"',
    ],
)
async def test_what_is_no_list_of_accounts_is_an_error_and_no_empty_list(body: bytes) -> None:
    assert (await refusal(ok(body))).reason is SyncFailure.MALFORMED


async def test_a_longer_list_than_was_said_is_refused() -> None:
    three = [{"subject": subject, "status": "active"} for subject in "abc"]

    assert (await refusal(ok(json.dumps(three).encode()))).reason is SyncFailure.TOO_LARGE
    assert (await refusal(ok(b" " * 1_048_577))).reason is SyncFailure.TOO_LARGE
