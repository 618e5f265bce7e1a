"""Hoop's own way to change accounts, through the sidecar: in force with the caller's answer."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from sidecar.demo.gateway import GatewayAccount
from tests.e2e.conftest import AUDIENCE, SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
ADMIN = "boss"
PATH = "/api/serviceaccounts"


async def send(
    site: Site, sidecar: Sidecar, method: str, path: str, **account: Any
) -> tuple[int, Any]:
    token = site.identity_provider.issue(SUBJECT, aud=AUDIENCE, sub=ADMIN)
    async with site.http.request(
        method, sidecar.url + path, json=account, headers=bearer(token)
    ) as response:
        return response.status, json.loads(await response.read())


async def status_of(site: Site, sidecar: Sidecar) -> int:
    async with site.http.get(
        sidecar.url + "/api/userinfo", headers=bearer(site.token())
    ) as response:
        return response.status


async def becomes(site: Site, sidecar: Sidecar, status: int) -> None:
    """Wait for a moment: the account is in Redis, and its push under way to each worker."""
    async with asyncio.timeout(5):
        while await status_of(site, sidecar) != status:
            pass


@pytest.mark.parametrize("workers", [1, 2])
async def test_hoops_commands_are_in_force_at_once(site: Site, workers: int) -> None:
    site.gateway.accounts = {ADMIN: GatewayAccount(ADMIN, "Boss", ("admin",))}
    await site.redis.command(
        "HSET", f"sidecar:account:default:{ADMIN}", "status", "active", "groups", '["admin"]'
    )
    new = {"subject": SUBJECT, "name": "Api User", "groups": ["devops"], "status": "active"}
    off = {**new, "status": "inactive"}
    settings = site.settings(mirror={}, workers=workers)
    async with running_sidecar(settings, site.directory) as sidecar:
        await becomes(site, sidecar, 401)

        assert (await send(site, sidecar, "POST", PATH, **new))[0] == 201
        await becomes(site, sidecar, 200)

        async with site.http.get(
            sidecar.url + "/api/sessions/1/stream", headers=bearer(site.token())
        ) as stream:
            assert stream.status == 200
            # The command that Hoop documents for disabling: refused, and nothing has changed.
            status, told = await send(site, sidecar, "POST", PATH, **off)
            assert (status, told) == (409, {"message": "resource already exists"})
        await becomes(site, sidecar, 200)

        async with site.http.get(
            sidecar.url + "/api/sessions/1/stream", headers=bearer(site.token())
        ) as stream:
            assert (await send(site, sidecar, "PUT", f"{PATH}/{SUBJECT}", **off))[0] == 200
            await becomes(site, sidecar, 401)
            with pytest.raises(aiohttp.ClientError):
                await stream.read()

        assert (await send(site, sidecar, "PUT", f"{PATH}/{SUBJECT}", **new))[0] == 200
        await becomes(site, sidecar, 200)
        assert (await send(site, sidecar, "PUT", f"{PATH}/nobody", **off))[0] == 404

        # A subject with a slash can be made, and let in; the gateway cannot change it.
        assert (await send(site, sidecar, "POST", PATH, **{**new, "subject": "a/b"}))[0] == 201
        stored = await site.redis.command("HGET", "sidecar:account:default:a/b", "status")
        assert stored == "active"
        assert (await send(site, sidecar, "PUT", f"{PATH}/a%2Fb", **off))[0] == 400
