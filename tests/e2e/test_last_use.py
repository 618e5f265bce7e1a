"""Who was used, and how often, through workers, reloads and the end of the process."""

import json
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_main_job import bearer
from tests.e2e.test_reloading import listen, reload
from tests.e2e.test_workers import metric
from tests.fakes.waiting import until_async

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# As docs/redis.md gives them.
READER = (
    "%R~sidecar:*", "-@all", "+hello", "+auth", "+ping", "+select", "+client|tracking", "+hgetall",
    "+exists", "+mget", "+role",
)  # fmt: skip
RECORDS = (
    "~used:sidecar:*", "+multi", "+exec", "+hget", "+hsetnx", "+hincrby", "+zadd", "+hdel", "+zrem",
)  # fmt: skip


async def settings_for(site: Site, rights: Iterable[str], workers: int) -> dict[str, Any]:
    await site.redis.command("ACL", "SETUSER", "sidecar", "on", ">hunter2", *rights)
    plain = site.settings(workers=workers, listen=listen(drain_seconds=0))
    user = {"username": "sidecar", "password": "hunter2", "last_use": {"every": 1}}
    return {**plain, "accounts": {**plain["accounts"], **user}}


async def ask(url: str, token: str, times: int) -> None:
    """Ask on new connections, so that every worker is asked."""
    for _ in range(times):
        async with (
            aiohttp.ClientSession() as http,
            http.get(url + "/api/userinfo", headers=bearer(token)) as response,
        ):
            assert response.status == 200


async def show(site: Site) -> dict[str, Any]:
    manager = {"SIDECAR_ACCOUNTS__USERNAME": "default", "SIDECAR_ACCOUNTS__PASSWORD": "x"}
    file = str(site.directory / "sidecar.yaml")
    code, out, err = await cli(
        *("account", "show", SUBJECT, "-o", "json", "--config", file), environ=manager
    )
    assert code == 0, err
    shown: dict[str, Any] = json.loads(out)
    return shown


@pytest.mark.parametrize("workers", [1, 2])
async def test_every_request_counts_once_through_reload_and_end(site: Site, workers: int) -> None:
    await site.enable()
    settings = await settings_for(site, (*READER, *RECORDS), workers)
    async with running_sidecar(settings, site.directory) as sidecar:
        await ask(sidecar.url, site.token(), 20)

        async def is_written() -> bool:
            return bool((await show(site))["uses"] == 20)

        await until_async(is_written, 30)
        await ask(sidecar.url, site.token(), 15)
        await reload(sidecar, site.directory, settings)
        await ask(sidecar.url, site.token(), 10)
        assert await sidecar.terminate() == 0

    shown = await show(site)
    assert shown["uses"] == 45
    assert shown["last_seen"] > 1_700_000_000


async def test_without_the_rights_requests_go_on_and_operators_are_told(site: Site) -> None:
    await site.enable()
    settings = await settings_for(site, READER, 1)
    async with running_sidecar(settings, site.directory) as sidecar:
        await ask(sidecar.url, site.token(), 5)

        async def is_told() -> bool:
            name = 'sidecar_last_use_writes_total{outcome="failed"}'
            return await metric(site, sidecar, name) >= 2

        await until_async(is_told, 30)
        await ask(sidecar.url, site.token(), 5)
        assert await sidecar.terminate() == 0

    said = [line for line in sidecar.output if "last use cannot be written" in line]
    assert len(said) == 1
    assert "NoPermission" in said[0]
    assert any("could not be written and is lost: 1" in line for line in sidecar.output)
