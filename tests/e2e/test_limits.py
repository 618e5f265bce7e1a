"""Limits, and an upstream that is down, with the real process and real servers."""

from collections import Counter

import aiohttp
import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer
from tests.e2e.test_reloading import reload, said
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

BURST = 10


async def ask(sidecar: Sidecar, token: str, times: int) -> Counter[int]:
    """Ask on as many connections, so that every worker is asked."""
    statuses: Counter[int] = Counter()
    for _ in range(times):
        async with (
            aiohttp.ClientSession() as http,
            http.get(sidecar.url + "/api/userinfo", headers=bearer(token)) as response,
        ):
            statuses[response.status] += 1
            if response.status == 429:
                assert int(response.headers["Retry-After"]) >= 1
                assert (await response.json())["error"] == "rate_limited"
    return statuses


async def metric(site: Site, sidecar: Sidecar, name: str) -> float:
    async with site.http.get(sidecar.admin_url + "/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def test_two_workers_share_one_budget_through_redis(site: Site) -> None:
    """Each hears of the other's; and an hour's worth is one token, so none comes back meanwhile."""
    limit = {"requests_per_second": 0.001, "burst": BURST, "shared": "redis"}
    settings = site.settings(workers=2, rate_limit={**limit, "exchange_every": 0.05})
    await site.enable()
    async with running_sidecar(settings, site.directory) as sidecar:
        statuses = await ask(sidecar, site.token(), 60)
        assert set(statuses) == {200, 429}
        # One full bucket more at most, by whoever had not heard yet.
        assert BURST <= statuses[200] <= 2 * BURST

        async def is_counted() -> bool:
            wanted = 'sidecar_decisions_total{outcome="denied",reason="rate_limited"}'
            return await metric(site, sidecar, wanted) == statuses[429]

        await until_async(is_counted)
        assert (await ask(sidecar, site.token(), 10))[200] == 0


async def test_without_redis_each_worker_keeps_the_limit_and_a_reload_fills_nothing_up(
    site: Site,
) -> None:
    limit = {"requests_per_second": 0.001, "burst": BURST, "shared": "redis"}
    settings = site.settings(rate_limit=limit)
    # Nothing but the budgets is refused to this user.
    await site.redis.command("ACL", "SETUSER", "default", "-eval")
    await site.enable()
    async with running_sidecar(settings, site.directory) as sidecar:
        statuses = await ask(sidecar, site.token(), 2 * BURST)

        assert statuses == Counter({200: BURST, 429: BURST})
        await reload(sidecar, site.directory, settings)
        assert await ask(sidecar, site.token(), 3) == Counter({429: 3})


async def test_workers_that_share_a_limit_out_let_no_more_through_together(site: Site) -> None:
    limit = {"requests_per_second": 0.001, "burst": BURST}
    await site.enable()
    settings = site.settings(workers=2, rate_limit=limit)
    async with running_sidecar(settings, site.directory) as sidecar:
        statuses = await ask(sidecar, site.token(), 80)
        await reload(sidecar, site.directory, settings)
        await until(lambda: said(sidecar, "took over what is left") == 2)
        after = await ask(sidecar, site.token(), 20)

    # All connections may have come to one of them.
    assert BURST // 2 <= statuses[200] <= BURST
    assert after[200] <= BURST - statuses[200]


async def test_a_sick_or_dead_upstream_is_told_at_once_and_asked_when_it_is_back(
    site: Site,
) -> None:
    health = {"path": "/api/healthz", "interval": 0.05, "unhealthy_after": 2, "readiness": True}
    settings = site.settings(upstream={"url": site.gateway.url, "health": health})
    await site.enable()
    token = site.token()
    async with running_sidecar(settings, site.directory) as sidecar:

        async def status() -> tuple[int, str | None]:
            url = sidecar.url + "/api/userinfo"
            async with site.http.get(url, headers=bearer(token)) as response:
                return response.status, response.headers.get("Retry-After")

        async def is_told() -> bool:
            return await status() == (503, "1")

        async def is_served() -> bool:
            return await status() == (200, None)

        await until_async(is_served)
        site.gateway.healthy = False
        await until_async(is_told)
        assert await metric(site, sidecar, "sidecar_upstream_healthy") == 0
        async with site.http.get(sidecar.admin_url + "/readyz") as response:
            assert response.status == 503
        await site.gateway.__aexit__(None, None, None)
        await until_async(is_told)

        site.gateway.healthy = True
        await site.gateway.__aenter__()
        await until_async(is_served)
        assert await metric(site, sidecar, "sidecar_upstream_healthy") == 1
        await sidecar.ready()
