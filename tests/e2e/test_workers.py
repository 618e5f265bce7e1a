"""Several workers on one port: one view of revocation, one /metrics, and a parent that watches."""

import asyncio
import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import bearer, status
from tests.e2e.traffic import Traffic, steady
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

WORKERS = 3


def pids(sidecar: Sidecar) -> list[int]:
    forks = [pid for pid in _children(sidecar.process.pid) if _is_forked(pid)]
    return [worker for pid in forks for worker in _children(pid)]


def _children(pid: int) -> list[int]:
    try:
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split())]
    except FileNotFoundError:
        return []


def _is_forked(pid: int) -> bool:
    """Return whether it is what workers are forked from, or such a worker."""
    try:
        return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


async def ask_all(site: Site, sidecar: Sidecar, token: str, times: int = 60) -> set[int]:
    """Return the statuses over many connections, so that every worker is asked."""
    statuses = set()
    for _ in range(times):
        async with (
            aiohttp.ClientSession() as http,
            http.get(sidecar.url + "/api/userinfo", headers=bearer(token)) as response,
        ):
            statuses.add(response.status)
    del site
    return statuses


async def all_ready(site: Site, sidecar: Sidecar, workers: int) -> None:
    """Wait until there are so many workers, and each is ready."""

    async def are_ready() -> bool:
        async with site.http.get(sidecar.admin_url + "/readyz") as response:
            checks = (await response.json())["checks"]
        return [checks.get(f"worker {number}") for number in range(workers)] == [True] * workers

    await until_async(are_ready, 20)


async def metric(site: Site, sidecar: Sidecar, name: str) -> float:
    async with site.http.get(sidecar.admin_url + "/metrics") as response:
        text = await response.text()
    found = re.search(rf"^{re.escape(name)} ([\d.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_every_worker_hears_a_revocation_and_one_page_counts_for_all(site: Site) -> None:
    await site.enable()
    token = site.token()
    async with running_sidecar(site.settings(workers=WORKERS), site.directory) as sidecar:
        await all_ready(site, sidecar, WORKERS)
        assert await ask_all(site, sidecar, token) == {200}
        granted = 'sidecar_decisions_total{outcome="granted",reason=""}'

        async def all_are_counted() -> bool:
            return await metric(site, sidecar, granted) == 60

        await until_async(all_are_counted)
        assert await metric(site, sidecar, "sidecar_account_view_live") == 1

        await site.disable()
        async with asyncio.timeout(5):
            while await ask_all(site, sidecar, token, 20) != {401}:
                pass
        assert await ask_all(site, sidecar, token) == {401}


async def test_a_worker_that_is_killed_is_replaced_while_the_other_serves(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(workers=2), site.directory) as sidecar:
        before = pids(sidecar)
        await all_ready(site, sidecar, 2)
        assert len(before) == 2
        traffic = Traffic(sidecar.url, site.token())
        async with steady(traffic, new_per_second=50, kept=0):
            loop = asyncio.get_running_loop()
            began = loop.time()
            os.kill(before[0], signal.SIGKILL)
            await until(lambda: before[0] not in pids(sidecar))
            await all_ready(site, sidecar, 2)
            took = loop.time() - began

        assert took < 1
        assert set(traffic.statuses) == {200}
        assert len(traffic.failures) <= 1, "what the killed one was about to answer"
        assert traffic.refused == 0
        assert await metric(site, sidecar, "sidecar_worker_restarts_total") == 1


async def test_a_sidecar_without_a_living_worker_is_not_ready(site: Site) -> None:
    async with running_sidecar(site.settings(workers=2), site.directory) as sidecar:
        status = 200
        while status != 503:  # each time the next ones take longer to come
            killed = pids(sidecar)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            await until(lambda killed=killed: not {*killed} & {*pids(sidecar)})  # type: ignore[misc]
            async with site.http.get(sidecar.admin_url + "/readyz") as response:
                status = response.status

        await sidecar.ready()


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_end_under_load_loses_nothing_that_was_accepted(site: Site, workers: int) -> None:
    await site.enable()
    listen = {"host": "127.0.0.1", "port": 0, "drain_seconds": 1, "shutdown_seconds": 10}
    settings = site.settings(workers=workers, listen=listen)
    async with running_sidecar(settings, site.directory) as sidecar:
        traffic = Traffic(sidecar.url, site.token())
        async with steady(traffic, new_per_second=150, kept=15):
            await until(lambda: traffic.statuses[200] > 100, 20)
            assert await sidecar.terminate() == 0

        assert traffic.failures == []
        assert set(traffic.statuses) == {200}
        assert traffic.refused > 0


async def test_workers_end_with_their_parent(site: Site) -> None:
    async with running_sidecar(site.settings(workers=2), site.directory) as sidecar:
        workers = pids(sidecar)
        assert await sidecar.terminate() == 0

        for pid in workers:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)


async def test_workers_do_not_outlive_a_parent_that_is_killed(site: Site) -> None:
    async with running_sidecar(site.settings(workers=2), site.directory) as sidecar:
        workers = pids(sidecar)
        sidecar.process.kill()
        await sidecar.process.wait()

        await until(lambda: not any(_is_forked(pid) for pid in workers), 20)


async def test_one_worker_serves_as_the_process_itself(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(workers=1), site.directory) as sidecar:
        assert pids(sidecar) == []
        assert await status(site, sidecar, site.token()) == 200
        assert await sidecar.terminate() == 0
