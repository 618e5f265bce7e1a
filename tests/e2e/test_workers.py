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
from tests.fakes.waiting import until

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


async def metric(site: Site, sidecar: Sidecar, name: str) -> float:
    async with site.http.get(sidecar.admin_url + "/metrics") as response:
        text = await response.text()
    found = re.search(rf"^{re.escape(name)} ([\d.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_every_worker_hears_a_revocation_and_one_page_counts_for_all(site: Site) -> None:
    await site.enable()
    token = site.token()
    async with running_sidecar(site.settings(workers=WORKERS), site.directory) as sidecar:
        assert await ask_all(site, sidecar, token) == {200}
        granted = 'sidecar_decisions_total{outcome="granted",reason=""}'
        assert await metric(site, sidecar, granted) == 60
        assert await metric(site, sidecar, "sidecar_account_view_live") == 1

        await site.disable()
        async with asyncio.timeout(5):
            while await ask_all(site, sidecar, token, 20) != {401}:
                pass
        assert await ask_all(site, sidecar, token) == {401}


async def test_a_worker_that_is_killed_is_replaced(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(workers=WORKERS), site.directory) as sidecar:
        before = pids(sidecar)
        assert len(before) == WORKERS
        os.kill(before[0], signal.SIGKILL)

        await until(lambda: len(set(pids(sidecar)) - {before[0]}) == WORKERS, 20)
        await sidecar.ready()

        assert await ask_all(site, sidecar, site.token()) == {200}
        assert before[0] not in pids(sidecar)


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
