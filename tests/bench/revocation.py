"""How long a disabled account still gets something: until the first refusal, until the cuts.

Counted from the moment the write to Redis begins, against real sidecars in processes of their own,
each with a WebSocket and an event stream open. The refusal is looked for at one of them at a time,
since a poll of each would measure the polls. Then the same with the connection to Redis just
killed, so that the view has to come back before it can hear anything.
"""

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from tests.bench.site import Site, bench_site, percentiles
from tests.e2e.processes import Sidecar, running_sidecar

SUBJECT = "bench"
# A connection that lasted for so long is made again without the pause of repeated failures.
_SETTLED_SECONDS = 1.2
_KILL_OTHERS = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@dataclass
class Times:
    """Seconds from the write on, one entry a round or a stream."""

    refusal: list[float] = field(default_factory=list)
    event_stream: list[float] = field(default_factory=list)
    websocket: list[float] = field(default_factory=list)
    everywhere: list[float] = field(default_factory=list)

    def print(self, title: str) -> None:
        print(title)
        for name, seconds in (
            ("first refusal", self.refusal),
            ("event stream cut", self.event_stream),
            ("WebSocket cut", self.websocket),
            ("last of all cuts", self.everywhere),
        ):
            print(f"  {name:18} {percentiles(seconds)}", flush=True)


@dataclass
class Bench:
    site: Site
    http: aiohttp.ClientSession
    headers: dict[str, str]

    async def rounds(self, number: int, sidecars: list[Sidecar], *, kill: bool = False) -> Times:
        times = Times()
        for turn in range(number):
            await self.one_round(sidecars, sidecars[turn % len(sidecars)], times, kill=kill)
            if kill:
                await asyncio.sleep(_SETTLED_SECONDS)
        return times

    async def one_round(
        self, sidecars: list[Sidecar], asked: Sidecar, times: Times, *, kill: bool
    ) -> None:
        await self.site.set_status(SUBJECT, "active")
        for sidecar in sidecars:
            while await self.status(sidecar) != 200:
                await asyncio.sleep(0.001)
        async with AsyncExitStack() as stack:
            events, websockets = [], []
            for sidecar in sidecars:
                stream = self.http.get(sidecar.url + "/api/sessions/1/stream", headers=self.headers)
                events.append(await stack.enter_async_context(stream))
                await events[-1].content.readline()
                socket = self.http.ws_connect(sidecar.url + "/api/demo/ws", headers=self.headers)
                websockets.append(await stack.enter_async_context(socket))
            if kill:
                await self.site.say(*_KILL_OTHERS)
            began = time.perf_counter()
            async with asyncio.TaskGroup() as tasks:
                refused = tasks.create_task(self.until_refused(asked))
                cuts = [tasks.create_task(until_cut(each)) for each in events]
                closed = [tasks.create_task(until_closed(each)) for each in websockets]
                tasks.create_task(self.site.set_status(SUBJECT, "inactive"))
        times.refusal.append(refused.result() - began)
        times.event_stream.extend(each.result() - began for each in cuts)
        times.websocket.extend(each.result() - began for each in closed)
        times.everywhere.append(max(each.result() for each in (*cuts, *closed)) - began)

    async def status(self, sidecar: Sidecar) -> int:
        async with self.http.get(sidecar.url + "/api/userinfo", headers=self.headers) as response:
            await response.read()
            return response.status

    async def until_refused(self, sidecar: Sidecar) -> float:
        while await self.status(sidecar) == 200:
            pass
        return time.perf_counter()


async def until_cut(events: aiohttp.ClientResponse) -> float:
    try:
        async for _ in events.content:
            pass
    except aiohttp.ClientError:
        return time.perf_counter()
    raise SystemExit("the event stream ended as if it were complete")


async def until_closed(websocket: aiohttp.ClientWebSocketResponse) -> float:
    async for _ in websocket:
        pass
    if websocket.close_code != 1008:
        raise SystemExit(f"the WebSocket was closed with {websocket.close_code}")
    return time.perf_counter()


async def main(processes: list[int], rounds: int, accounts: int) -> None:
    async with (
        bench_site() as site,
        Gateway(identity_provider_verifier(site.provider.jwks_url), tick_seconds=60.0) as gateway,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        gateway.accounts[SUBJECT] = GatewayAccount(SUBJECT, "Bench", ())
        await site.register(accounts)
        bench = Bench(site, http, {"Authorization": f"Bearer {site.token(SUBJECT)}"})
        for number in processes:
            async with AsyncExitStack() as stack:
                sidecars = []
                for _ in range(number):
                    directory = stack.enter_context(tempfile.TemporaryDirectory())
                    running = running_sidecar(site.settings(gateway.url), Path(directory))
                    sidecars.append(await stack.enter_async_context(running))
                times = await bench.rounds(rounds, sidecars)
                times.print(f"{number} sidecar processes, {accounts} accounts registered")
                if number == 1:
                    times = await bench.rounds(max(1, rounds // 5), sidecars, kill=True)
                    times.print("1 process, its connection to Redis killed just before the write")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", default="1,4,16")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--accounts", type=int, default=100_000)
    given = parser.parse_args()
    counts = [int(each) for each in given.processes.split(",")]
    asyncio.run(main(counts, given.rounds, given.accounts))
