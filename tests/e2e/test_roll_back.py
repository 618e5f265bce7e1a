"""Redis comes back with less than was seen in it: 503 until an operator has looked."""

import pytest

from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_failures import becomes, readiness

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
