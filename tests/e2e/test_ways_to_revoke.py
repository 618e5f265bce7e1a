"""Each way to revoke refuses the next request and cuts what is open, of nobody but those meant."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sidecar.demo.gateway import GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import Sidecar, cli, running_sidecar
from tests.e2e.test_main_job import DEMO_WS, bearer, status
from tests.e2e.test_workers import metric
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e

OTHER = "other-user"
SOC = {"client_id": "soc", "secret": "a-secret-of-some-length"}


class OpenStreams:
    """One token's event stream and WebSocket. ``listen`` hears the latter, as a client does."""

    def __init__(
        self, events: aiohttp.ClientResponse, websocket: aiohttp.ClientWebSocketResponse
    ) -> None:
        self._events = events
        self._websocket = websocket
        self._heard = asyncio.Event()

    async def listen(self) -> None:
        async for _ in self._websocket:
            self._heard.set()

    async def are_cut(self) -> None:
        async with asyncio.timeout(5):
            # An aborted body, not an end that looks complete.
            with pytest.raises(aiohttp.ClientError):
                await self._events.content.read()
        await until(lambda: self._websocket.closed, 5)
        assert self._websocket.close_code == 1008

    async def go_on(self) -> None:
        self._events.content.read_nowait()  # what came before does not count
        async with asyncio.timeout(5):
            assert await self._events.content.readline()
            self._heard.clear()
            await self._websocket.send_str("still there?")
            await self._heard.wait()


@asynccontextmanager
async def opened(
    site: Site, sidecar: Sidecar, tokens: Sequence[str]
) -> AsyncIterator[list[OpenStreams]]:
    """Open both kinds of streams for each token; both have said something already."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        opened = []
        listening = []
        for token in tokens:
            events = await stack.enter_async_context(
                site.http.get(sidecar.url + "/api/sessions/1/stream", headers=bearer(token))
            )
            assert events.status == 200
            assert await events.content.readline()
            websocket = await stack.enter_async_context(
                site.http.ws_connect(sidecar.url + "/api/demo/ws", headers=bearer(token))
            )
            streams = OpenStreams(events, websocket)
            listening.append(tasks.create_task(streams.listen()))
            await streams.go_on()
            opened.append(streams)
        try:
            yield opened
        finally:
            for task in listening:
                task.cancel()


class Case:
    """A running sidecar, and tokens of which only the first are to be revoked."""

    def __init__(self, site: Site, sidecar: Sidecar) -> None:
        self.site = site
        self.sidecar = sidecar

    @property
    def denials(self) -> list[str]:
        """Return the reasons of all denials."""
        lines = self.sidecar.decisions
        return [line["reason"] for line in lines if line.get("outcome") == "denied"]

    async def command(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """Run a command that has to succeed; return its audit record."""
        config = ("--config", str(self.site.directory / "sidecar.yaml"))
        code, out, err = await cli(*arguments, *config, stdin=stdin)
        assert code == 0, err
        assert "eyJ" not in out + err
        audit: dict[str, Any] = json.loads(err.splitlines()[-1])
        return audit

    async def counted(self, action: str) -> float:
        """Return how many changes of this kind the metrics have."""
        name = f'sidecar_account_changes_total{{action="{action}"}}'
        return await metric(self.site, self.sidecar, name)

    async def revoke(self, token: str) -> int:
        """Ask the revocation endpoint; return its status."""
        async with self.site.http.post(
            self.sidecar.admin_url + "/oauth2/revoke",
            data={"token": token},
            headers={"Authorization": aiohttp.encode_basic_auth(*SOC.values())},
        ) as response:
            await response.read()
            return response.status

    async def becomes(self, token: Callable[[], str], code: int) -> None:
        async with asyncio.timeout(5):
            while await status(self.site, self.sidecar, token()) != code:
                pass


@asynccontextmanager
async def running(site: Site, **sections: Any) -> AsyncIterator[Case]:
    for subject in (SUBJECT, OTHER):
        await site.enable(subject)
        site.gateway.accounts[subject] = GatewayAccount(subject, subject, ())
    settings = site.settings(routes=[DEMO_WS], **sections)
    async with running_sidecar(settings, site.directory) as sidecar:
        yield Case(site, sidecar)


async def test_a_subjects_tokens_are_revoked_by_command_and_a_new_one_gets_in(site: Site) -> None:
    old, younger, others = site.token(), site.token(), site.token(sub=OTHER)
    async with (
        running(site) as case,
        opened(site, case.sidecar, (old, younger, others)) as (first, second, third),
    ):
        audit = await case.command("account", "revoke-tokens", SUBJECT)

        await first.are_cut()
        await second.are_cut()
        assert await status(site, case.sidecar, old) == 401
        assert await status(site, case.sidecar, younger) == 401
        await until(lambda: len(case.denials) == 2)
        assert case.denials == ["token_revoked"] * 2
        await third.go_on()
        assert await status(site, case.sidecar, others) == 200

        # Within a second a new token is new enough: the account itself was never disabled.
        await case.becomes(site.token, 200)
        assert audit["after"]["status"] == "active"


@pytest.mark.parametrize("by_id", [False, True])
async def test_one_token_is_revoked_by_command_and_its_siblings_are_not(
    site: Site, *, by_id: bool
) -> None:
    leaked = site.token(jti="leaked:1")
    kept, others = site.token(), site.token(sub=OTHER)
    async with (
        running(site) as case,
        opened(site, case.sidecar, (leaked, kept, others)) as (first, second, third),
    ):
        if by_id:
            await case.command(
                *("token", "revoke", "--jti", "leaked:1", "--expires-at", "4102444800")
            )
        else:
            await case.command("token", "revoke", "--token-file", "-", stdin=leaked)

        await first.are_cut()
        assert await status(site, case.sidecar, leaked) == 401
        await second.go_on()
        await third.go_on()
        assert await status(site, case.sidecar, kept) == 200


@pytest.mark.parametrize("workers", [1, 2])
async def test_one_token_is_revoked_by_the_revocation_endpoint(site: Site, workers: int) -> None:
    """With several workers the parent answers it, which serves no requests and has no view."""
    leaked, kept, others = site.token(), site.token(), site.token(sub=OTHER)
    admin = {"host": "127.0.0.1", "port": 0, "revocation_clients": [SOC]}
    async with (
        running(site, admin=admin, workers=workers) as case,
        opened(site, case.sidecar, (leaked, kept, others)) as (first, second, third),
    ):
        assert await case.revoke(leaked[:-8] + "AAAAAAAA") == 200  # signed by nobody: no error
        await first.go_on()
        assert await case.revoke(site.token(jti=None)) == 400
        assert await case.revoke(leaked) == 200

        await first.are_cut()
        await case.becomes(lambda: leaked, 401)
        await second.go_on()
        await third.go_on()
        assert await status(site, case.sidecar, kept) == 200
        audits = [line for line in case.sidecar.decisions if line["event"] == "token"]
        assert [(line["actor"], line["action"]) for line in audits] == [
            ("oauth2:soc", "revoke_token")
        ]
        assert await case.counted("revoke_token") == 1
    assert leaked.split(".")[1] not in "".join(case.sidecar.output)
    assert SOC["secret"] not in "".join(case.sidecar.output)


async def test_without_redis_the_revocation_endpoint_says_that_nothing_is_revoked(
    site: Site,
) -> None:
    admin = {"host": "127.0.0.1", "port": 0, "revocation_clients": [SOC]}
    async with running(site, admin=admin) as case:
        await site.redis.kill()

        assert await case.revoke(site.token()) == 503


async def test_a_realms_tokens_are_revoked_by_command_and_another_realms_are_not(
    site: Site,
) -> None:
    clients = [Client(OTHER, "a secret", OTHER, ())]
    async with IdentityProvider(clients, audiences=(AUDIENCE,)) as partner:
        await site.redis.command("HSET", f"sidecar:account:partners:{OTHER}", "status", "active")
        ours = identity_provider_verifier(site.identity_provider.jwks_url)
        theirs = identity_provider_verifier(partner.jwks_url)

        async def verify(token: str) -> str | None:
            return await ours(token) or await theirs(token)

        site.gateway._verifier = verify
        issuers = [
            {"issuer": each.issuer, "realm": realm, "audiences": [AUDIENCE], "insecure_http": True}
            for each, realm in ((site.identity_provider, "default"), (partner, "partners"))
        ]
        tokens = (site.token(), site.token(sub=OTHER), partner.issue(OTHER))
        async with (
            running(site, issuers=issuers) as case,
            opened(site, case.sidecar, tokens) as (first, second, third),
        ):
            await case.command("realm", "revoke-tokens", "default", "--yes")

            await first.are_cut()
            await second.are_cut()
            assert await status(site, case.sidecar, tokens[0]) == 401
            assert await status(site, case.sidecar, tokens[1]) == 401
            await third.go_on()
            assert await status(site, case.sidecar, tokens[2]) == 200
            await case.becomes(site.token, 200)
