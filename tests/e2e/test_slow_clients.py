"""Slow clients, and more of them than there is room for, at the real process.

The same with thousands of them, for a minute, is ``tests/bench/slow_clients.py``.
"""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.traffic import Traffic, steady
from tests.fakes.slow_clients import Kind, Slow, answer_slow_clients, slow_clients
from tests.fakes.upstream import scripted_upstream
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

HASTY = {
    "host": "127.0.0.1",
    "port": 0,
    "drain_seconds": 0,
    "head_timeout": 2,
    "body_grace": 2,
    "write_timeout": 2,
}


def address_of(sidecar: Sidecar) -> tuple[str, int]:
    where = urlsplit(sidecar.url)
    assert where.hostname is not None
    assert where.port is not None
    return where.hostname, where.port


async def shows(sidecar: Sidecar, connections: int) -> None:
    """Wait until the sidecar says that so many are open."""

    async def is_so() -> bool:
        return await figure(sidecar, "sidecar_connections") == connections

    await until_async(is_so)


async def figure(sidecar: Sidecar, name: str) -> float:
    """Return the sum of a metric's samples, asked for on a connection of its own."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(sidecar.admin_url + "/metrics") as answer,
    ):
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@asynccontextmanager
async def idle_connections(address: tuple[str, int], number: int) -> AsyncIterator[list[Slow]]:
    opened: list[Slow] = []
    try:
        opened += [await asyncio.open_connection(*address) for _ in range(number)]
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


def ended(connections: Sequence[Slow]) -> int:
    """Return how many of these the other end has ended, its last words being still unread."""
    return sum(
        bool(reader._eof) or reader.exception() is not None  # type: ignore[attr-defined]
        for reader, _ in connections
    )


async def test_good_requests_pass_between_hundreds_of_slow_ones_and_all_those_are_cut(
    site: Site,
) -> None:
    await site.enable()
    token = site.token()
    async with (
        scripted_upstream(answer_slow_clients) as upstream,
        running_sidecar(
            site.settings(listen=HASTY, upstream={"url": upstream.url}), site.directory
        ) as sidecar,
    ):
        traffic = Traffic(sidecar.url, token)
        kinds = {Kind.HEAD: 120, Kind.BODY: 80, Kind.READER: 20, Kind.SIPPER: 20}
        async with (
            slow_clients(address_of(sidecar), token, kinds) as slow,
            steady(traffic, new_per_second=20, kept=2),
        ):
            await until(lambda: slow.connected == 240)
            await until(lambda: slow.cut == 240, 40)

        assert slow.told[Kind.HEAD] == {"408": 120}
        assert slow.told[Kind.BODY] == {"408": 80}
        assert all(min(took) > 1.5 for took in slow.took.values())
        assert not traffic.failures
        assert set(traffic.statuses) == {200}
        assert traffic.statuses[200] > 20
        assert await figure(sidecar, "sidecar_connections") <= 4
        assert await figure(sidecar, "sidecar_slow_readers_total") == 40


async def test_a_full_sidecar_answers_its_operators_and_has_room_again(site: Site) -> None:
    await site.enable()
    settings = site.settings(listen={**HASTY, "max_connections": 20})
    async with running_sidecar(settings, site.directory) as sidecar:
        async with idle_connections(address_of(sidecar), 50) as opened:
            await until(lambda: ended(opened) == 30)
            assert await figure(sidecar, "sidecar_connections") == 20
            assert await figure(sidecar, "sidecar_connections_refused_total") == 30

        await shows(sidecar, 0)
        traffic = Traffic(sidecar.url, site.token())
        await traffic.ask_on_new_connections(5)
        assert traffic.statuses == {200: 5}


async def test_without_descriptors_it_neither_ends_nor_spins_and_gets_well(site: Site) -> None:
    """They are taken away while it runs, so that what it keeps back for itself is not enough."""
    await site.enable()
    async with running_sidecar(site.settings(listen=HASTY), site.directory) as sidecar:
        pid = sidecar.process.pid
        traffic = Traffic(sidecar.url, site.token())
        await traffic.ask_on_new_connections(1)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        taken = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - the loop may wait for it
        async with idle_connections(address_of(sidecar), 5) as first:
            await shows(sidecar, 5)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken + 4, before[1]))
            async with idle_connections(address_of(sidecar), 20):
                await until(lambda: any("refused (resources" in line for line in sidecar.output))
                used = cpu_seconds(pid)
                await asyncio.sleep(1.0)
                # It tries four times a second, and would else try as often as it can.
                assert cpu_seconds(pid) - used < 0.6
                assert not ended(first)

            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            async with asyncio.timeout(10):
                await traffic.ask_on_new_connections(5)

        assert traffic.statuses == {200: 6}
        assert not traffic.failures
        assert sum("refused (resources" in line for line in sidecar.output) <= 2
        assert await figure(sidecar, "sidecar_connections_refused_total") >= 1


async def test_with_few_descriptors_health_and_redis_have_theirs(site: Site) -> None:
    """As under ``ulimit -n 256``: what clients may have is less, and the rest stays well."""
    await site.enable()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running_sidecar(
        site.settings(listen={**HASTY, "head_timeout": 30}), site.directory, descriptors=256
    ) as sidecar:
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits
        async with idle_connections(address_of(sidecar), 300) as opened:
            await until(lambda: ended(opened) > 150)
            async with asyncio.timeout(5):
                await sidecar.ready()
            assert not any("refused (resources" in line for line in sidecar.output)

        traffic = Traffic(sidecar.url, site.token())
        await shows(sidecar, 0)
        await traffic.ask_on_new_connections(5)
        assert traffic.statuses == {200: 5}
