"""The forward-auth door of the real process: alone, beside the reverse proxy, with workers."""

import os
import signal
from typing import Any

import aiohttp
import pytest
import yaml

from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.e2e.test_workers import all_ready
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

WORKERS = 2


def asking(site: Site, **more: Any) -> dict[str, Any]:
    """Return settings with this door alone."""
    settings = site.settings(**more)
    del settings["upstream"]
    return {"forward_auth": {"dialect": "traefik", "port": 0}, **settings}


async def ask(
    sidecar: Sidecar, token: str, uri: str = "/api/userinfo", *, local: str = "127.0.0.1"
) -> tuple[int, dict[str, str]]:
    """Ask as Traefik does, on a connection of its own; return status and headers."""
    told = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "gateway.example",
        "X-Forwarded-Uri": uri,
        "X-Forwarded-For": "203.0.113.9",
    }
    connector = aiohttp.TCPConnector(local_addr=(local, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as http,
        http.get(sidecar.urls["forward_auth"] + "/auth", headers=bearer(token, **told)) as response,
    ):
        return response.status, dict(response.headers)


async def test_a_sidecar_may_do_nothing_but_answer(site: Site) -> None:
    await site.enable()
    token = site.token()
    async with running_sidecar(asking(site), site.directory) as sidecar:
        granted, told = await ask(sidecar, token)
        assert (granted, told["X-Auth-Subject"], told["Api-Key"]) == (200, SUBJECT, "")
        assert (await ask(sidecar, token, "/api/healthz"))[1]["X-Auth-Subject"] == ""
        await site.disable()
        await until_async(lambda: _is(sidecar, token, 401))
        assert await sidecar.terminate() == 0

    assert sidecar.decisions[0]["host"] == "gateway.example"
    assert sidecar.decisions[0]["peer"] == "203.0.113.9"
    assert sidecar.decisions[-1]["reason"] == "subject_inactive"
    assert token not in "".join(sidecar.output)


async def _is(sidecar: Sidecar, token: str, expected: int) -> bool:
    return (await ask(sidecar, token))[0] == expected


async def test_only_a_proxy_that_is_named_may_ask(site: Site) -> None:
    await site.enable()
    settings = asking(site)
    settings["forward_auth"]["trusted_proxies"] = ["127.0.0.2/32"]
    async with running_sidecar(settings, site.directory) as sidecar:
        assert (await ask(sidecar, site.token()))[0] == 403
        assert (await ask(sidecar, site.token(), local="127.0.0.2"))[0] == 200
        async with site.http.get(sidecar.admin_url + "/metrics") as response:
            assert 'reason="untrusted_peer"} 1.0' in await response.text()

    assert [each["reason"] for each in sidecar.decisions] == ["untrusted_peer", ""]
    assert not sidecar.decisions[0]["path"]


async def test_all_doors_of_all_workers_hear_of_one_revocation(site: Site) -> None:
    await site.enable()
    token = site.token()
    settings = site.settings(workers=WORKERS)
    settings["forward_auth"] = {"dialect": "traefik", "port": 0}
    async with running_sidecar(settings, site.directory) as sidecar:
        await all_ready(site, sidecar, WORKERS)
        for _ in range(20):
            assert await status(site, sidecar, token) == 200
            assert (await ask(sidecar, token))[0] == 200
        await site.disable()
        await until_async(lambda: _is(sidecar, token, 401))
        assert {(await ask(sidecar, token))[0] for _ in range(20)} == {401}
        assert await status(site, sidecar, token) == 401
        assert await sidecar.terminate() == 0


async def test_a_reload_changes_the_dialect_and_not_the_address(site: Site) -> None:
    await site.enable()
    settings = asking(site)
    file = site.directory / "sidecar.yaml"
    async with running_sidecar(settings, site.directory) as sidecar:
        assert (await ask(sidecar, site.token()))[0] == 200
        settings["forward_auth"]["dialect"] = "nginx"
        file.write_text(yaml.safe_dump(settings))
        os.kill(sidecar.process.pid, signal.SIGHUP)
        await until_async(lambda: _is(sidecar, site.token(), 400))

        del settings["forward_auth"]
        file.write_text(yaml.safe_dump({**settings, "upstream": {"url": site.gateway.url}}))
        os.kill(sidecar.process.pid, signal.SIGHUP)
        await until(lambda: any("restart the sidecar for it" in line for line in sidecar.output))
        assert (await ask(sidecar, site.token()))[0] == 400
