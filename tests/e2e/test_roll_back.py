"""Redis comes back with less than was seen in it: 503 until an operator has looked."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.redis_server import RedisServer
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_failures import becomes, readiness
from tests.fakes.waiting import until

pytestmark = pytest.mark.e2e


async def test_a_flushed_store_refuses_everybody_until_it_is_confirmed(site: Site) -> None:
    """Accounts are made by our command, so that the store has a revision (R3)."""
    settings = site.settings()
    async with running_sidecar(settings, site.directory) as sidecar:
        config = ("--config", str(site.directory / "sidecar.yaml"))
        assert (await cli("account", "create", SUBJECT, *config))[0] == 0
        await becomes(site, sidecar, site.token(), 200)

        await site.redis.command("FLUSHALL")
        assert await becomes(site, sidecar, site.token(), 503) <= {200, 401}
        assert (await cli("account", "create", SUBJECT, *config))[0] == 0
        assert not (await readiness(site, sidecar))[1]["accounts"]
        async with site.http.get(sidecar.admin_url + "/metrics") as response:
            assert 'event="rolled_back"} 1.0' in await response.text()
        assert sum("sidecar store confirm" in line for line in sidecar.output) == 1

        code, out, _ = await cli("store", "confirm", "--yes", *config)
        assert (code, "confirmed" in out) == (0, True)
        assert await becomes(site, sidecar, site.token(), 200) <= {503}


async def roll_back_while_away(site: Site, settings: dict[str, Any], redis: RedisServer) -> None:
    """Disable the account before the sidecar's eyes, end it, and bring the old data back."""
    config = ("--config", str(site.directory / "sidecar.yaml"))
    async with running_sidecar(settings, site.directory) as sidecar:
        assert (await cli("account", "create", SUBJECT, *config))[0] == 0
        await becomes(site, sidecar, site.token(), 200)
        await redis.command("SAVE")
        assert (await cli("account", "disable", SUBJECT, *config))[0] == 0
        await becomes(site, sidecar, site.token(), 401)
    await redis.kill()
    await redis.restart()


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_sidecar_that_starts_on_an_old_dump_refuses_until_it_is_confirmed(
    site: Site, tmp_path: Path, workers: int
) -> None:
    """R4, with the sidecar down meanwhile: what it saw in its life before is on disk."""
    (tmp_path / "data").mkdir()
    (tmp_path / "state").mkdir()
    async with RedisServer(directory=tmp_path / "data") as redis:
        accounts = {"url": redis.url, "max_staleness": 3.0, "state_dir": str(tmp_path / "state")}
        settings = site.settings(accounts=accounts, workers=workers)
        await roll_back_while_away(site, settings, redis)

        async with running_sidecar(settings, site.directory, until_ready=False) as sidecar:
            token = site.token()
            await until(lambda: any("store confirm" in line for line in sidecar.output), 20)
            assert await becomes(site, sidecar, token, 503) <= {503}
            assert (await readiness(site, sidecar))[0] == 503

            config = ("--config", str(site.directory / "sidecar.yaml"))
            assert (await cli("store", "confirm", "--yes", *config))[0] == 0
            assert await becomes(site, sidecar, token, 200) <= {503}

        async with running_sidecar(settings, site.directory) as sidecar:
            assert not any("store confirm" in line for line in sidecar.output)


async def test_without_a_place_for_it_nothing_is_remembered(site: Site, tmp_path: Path) -> None:
    """What the settings decide: the same story, and the account of the dump is in."""
    async with RedisServer(directory=tmp_path) as redis:
        settings = site.settings(accounts={"url": redis.url, "max_staleness": 3.0})
        await roll_back_while_away(site, settings, redis)

        async with running_sidecar(settings, site.directory) as sidecar:
            await becomes(site, sidecar, site.token(), 200)
