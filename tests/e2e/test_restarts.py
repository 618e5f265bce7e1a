"""Two hundred open streams while a worker dies, settings are read anew, and the end comes."""

import asyncio
import os
import shutil
import signal
import ssl
from collections import Counter
from pathlib import Path

import pytest

from tests.app.test_tls import Certificates
from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_reloading import listen, reload
from tests.e2e.test_workers import all_ready, pids
from tests.e2e.traffic import Traffic, steady
from tests.fakes.connections_of import ports_of, stop
from tests.fakes.open_streams import WEBSOCKET_ROUTE, End, OpenStream, open_streams
from tests.fakes.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

STREAMS = 200
WORKERS = 2
DRAIN_SECONDS, SHUTDOWN_SECONDS = 0.5, 1.0
ENDED_BY_US = {End.GOING_AWAY: STREAMS // 2, End.BROKEN: STREAMS // 2}


def those_open(streams: list[OpenStream]) -> list[OpenStream]:
    return [each for each in streams if each.end is End.OPEN]


async def go_on(streams: list[OpenStream]) -> None:
    """Wait until each has got something more."""
    before = [each.pieces for each in streams]
    await until(lambda: all(each.pieces > had for each, had in zip(streams, before, strict=True)))


def are_let_go_on(streams: list[OpenStream], told: float) -> None:
    """Assert that all ended as they should, and none before its time after ``told``."""
    assert Counter(each.end for each in streams) == ENDED_BY_US
    first = min(each.ended.result() for each in streams)
    assert first >= told + DRAIN_SECONDS + SHUTDOWN_SECONDS


async def kill_one(
    site: Site, sidecar: Sidecar, traffic: Traffic, streams: list[OpenStream]
) -> None:
    victim = pids(sidecar)[0]
    await stop(victim)  # so that what it has stays what it is
    its_own = ports_of(victim)
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in pids(sidecar))
    await all_ready(site, sidecar, WORKERS)
    its_streams = {each.port for each in streams if each.port in its_own}
    await until(lambda: len(those_open(streams)) == STREAMS - len(its_streams))

    assert 0 < len(its_streams) < STREAMS
    assert {each.port for each in streams if each.end is not End.OPEN} == its_streams
    assert len(traffic.failures) <= len(its_own - its_streams)
    await go_on(those_open(streams))


async def test_what_is_open_ends_with_its_worker_or_after_its_time_and_no_request_is_lost(
    site: Site, tmp_path: Path
) -> None:
    """Rows D1 to D3 of the threat matrix, in one process."""
    await site.enable()
    loop = asyncio.get_running_loop()
    served, other = Certificates(tmp_path, "served"), Certificates(tmp_path, "other")
    believes = ssl.create_default_context(cafile=served.ca)
    believes.load_verify_locations(other.ca)
    believes_other = ssl.create_default_context(cafile=other.ca)
    tls = {"certificate": str(served.certificate), "key": str(served.key)}
    settings = site.settings(
        workers=WORKERS,
        routes=[WEBSOCKET_ROUTE],
        listen=listen(DRAIN_SECONDS, SHUTDOWN_SECONDS, tls=tls),
    )
    async with running_sidecar(settings, site.directory) as sidecar:
        token = site.token()
        await all_ready(site, sidecar, WORKERS)
        async with open_streams(sidecar.url, token, STREAMS, believes) as streams:
            killed = Traffic(sidecar.url, token, tls=believes)
            async with steady(killed, new_per_second=50, kept=0):
                await kill_one(site, sidecar, killed, streams)

        async with open_streams(sidecar.url, token, STREAMS, believes) as streams:
            reloaded = Traffic(sidecar.url, token, tls=believes)
            async with steady(reloaded, new_per_second=50, kept=10):
                shutil.copy(other.certificate, served.certificate)
                shutil.copy(other.key, served.key)
                told = loop.time()
                await reload(sidecar, site.directory, settings)
                asked = Traffic(sidecar.url, token, tls=believes_other)
                await asked.ask_on_new_connections(5)
                await until(lambda: not those_open(streams))
                are_let_go_on(streams, told)

        async with open_streams(sidecar.url, token, STREAMS, believes) as streams:
            ended = Traffic(sidecar.url, token, tls=believes)
            async with steady(ended, new_per_second=50, kept=10):
                told = loop.time()
                assert await sidecar.terminate() == 0
            are_let_go_on(streams, told)

    assert asked.statuses == {200: 5}
    for each in (reloaded, ended):
        assert each.failures == []
        assert set(each.statuses) == {200}
    assert reloaded.refused == 0
