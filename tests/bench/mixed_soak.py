"""Hours in minutes: all kinds of traffic, while keys rotate, accounts go, Redis and upstream fail.

In the end every request is accounted for (the clients' count, the metrics and the decision log say
the same), nothing was granted to an account that had none, and memory, descriptors and threads are
what they were after the first third. The first thing that is not so ends it with 1.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer, free_port
from tests.bench.processes import memory_bytes
from tests.chaos.arena import AUDIENCE, LEAVING, STAYING, key
from tests.chaos.load import Load, head
from tests.chaos.tcp_proxy import TcpProxy
from tests.fakes.upstream import OK, Conversation, scripted_upstream

_STALENESS = 0.5
_STREAMS = 20
_PER_SECOND = 100.0
_FAULT_SECONDS = 4.0
_WARM_SHARE = 1 / 3  # by then the memory that a full collection frees has been seen once
_MAX_GROWTH = 0.1
_BAD = "bad"


@dataclass
class Soak:
    """What runs, and what was seen of it. ``is_upstream_broken`` makes upstream reset requests."""

    provider: IdentityProvider
    redis: RedisServer
    proxy: TcpProxy
    load: Load
    pid: int
    admin: str
    is_upstream_broken: bool = False
    streams: Counter[str] = field(default_factory=Counter)
    gone: list[tuple[float, float]] = field(default_factory=list)
    seen: list[tuple[float, int, int, int]] = field(default_factory=list)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def renew_tokens(self) -> None:
        """Give the programs new tokens, by the key that signs now."""
        for subject in (STAYING, LEAVING):
            self.load.tokens[subject] = self.provider.issue(
                "soak", aud=AUDIENCE, sub=subject, lifetime=7200
            )
        self.load.tokens[_BAD] = self.load.tokens[STAYING][:-8] + "AAAAAAAA"

    async def keep_a_stream(self) -> None:
        """Open an event stream, and another one whenever it ends."""
        while not self.load.is_stopped:
            reader, writer = await asyncio.open_connection(*self.load.address)
            writer.write(head(self.load.tokens[LEAVING], "/api/sessions/1/stream"))
            outcome = "no answer"
            with suppress(OSError, EOFError):
                outcome = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            if outcome == "200":
                outcome = await _how_it_ends(reader)
            self.streams[outcome] += 1
            writer.close()
            await asyncio.sleep(0.5)

    def look(self) -> None:
        """Note memory, descriptors and threads."""
        place = Path(f"/proc/{self.pid}")
        threads = len(list((place / "task").iterdir()))
        self.seen.append(
            (self.now, memory_bytes(self.pid), len(list((place / "fd").iterdir())), threads)
        )


async def _how_it_ends(reader: asyncio.StreamReader) -> str:
    got = b""
    with suppress(OSError):
        while data := await reader.read(65536):
            got = got[-16:] + data
    return "complete" if got.endswith(b"0\r\n\r\n") else "cut"


async def _rotate(soak: Soak) -> None:
    soak.provider.rotate()
    soak.renew_tokens()
    await asyncio.sleep(_FAULT_SECONDS)
    for kid in soak.provider.kids[:-1]:
        soak.provider.retire(kid)


async def _disable_and_enable(soak: Soak) -> None:
    await soak.redis.command("HSET", key(LEAVING), "status", "inactive")
    began = soak.now
    await asyncio.sleep(_FAULT_SECONDS)
    soak.gone.append((began + _STALENESS, soak.now))
    await soak.redis.command("HSET", key(LEAVING), "status", "active")


async def _lose_redis(soak: Soak) -> None:
    await soak.redis.kill()
    await asyncio.sleep(_FAULT_SECONDS / 2)
    await soak.redis.restart()


async def _lose_the_network(soak: Soak) -> None:
    soak.proxy.black_hole()
    await asyncio.sleep(_FAULT_SECONDS / 2)
    soak.proxy.heal()


async def _break_upstream(soak: Soak) -> None:
    soak.is_upstream_broken = True
    await asyncio.sleep(_FAULT_SECONDS)
    soak.is_upstream_broken = False


FAULTS: tuple[Callable[[Soak], Awaitable[None]], ...] = (
    _rotate, _disable_and_enable, _lose_redis, _lose_the_network, _break_upstream,
)  # fmt: skip


async def run(minutes: float) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        soak = await stack.enter_async_context(_running(directory))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(soak.load.run())
        for _ in range(_STREAMS):
            tasks.create_task(soak.keep_a_stream())
        until = soak.now + minutes * 60
        turn = 0
        while soak.now < until:
            await FAULTS[turn % len(FAULTS)](soak)
            await asyncio.sleep(_FAULT_SECONDS / 2)
            soak.look()
            turn += 1
            if turn % len(FAULTS) == 0:
                _tell(soak)
        soak.load.is_stopped = True
        # So its streams end, and each is in the log and in the metrics.
        await soak.redis.command("HSET", key(LEAVING), "status", "inactive")
        await asyncio.sleep(2)
        metrics = await _metrics(soak)
        problems = _judge(soak, metrics, _decisions(directory / "decisions"))
        for each in problems:
            print(f"WRONG: {each}")
        if problems:
            sys.exit(1)


@asynccontextmanager
async def _running(directory: Path) -> AsyncIterator[Soak]:
    clients = [Client("soak", "a secret", "soak", ("read",))]
    soak: Soak | None = None

    async def upstream(conversation: Conversation) -> None:
        if soak is not None and soak.is_upstream_broken:
            conversation.abort()
        elif "/stream" in conversation.request_line:
            await conversation.say(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\ne\r\n: connected\r\n\n\r\n"
            )
            await conversation.read_to_end()
        else:
            await conversation.say(OK)

    async with (
        IdentityProvider(clients, audiences=(AUDIENCE,)) as provider,
        RedisServer(directory=directory, arguments=("--appendonly", "yes")) as redis,
        TcpProxy(redis.port) as proxy,
        scripted_upstream(upstream) as found,
    ):
        for subject in (STAYING, LEAVING):
            await redis.command("HSET", key(subject), "status", "active")
        port, admin = free_port(), free_port()
        settings = {
            "listen": {"host": "127.0.0.1", "port": port, "drain_seconds": 0},
            "admin": {"host": "127.0.0.1", "port": admin},
            "upstream": {"url": found.url},
            "preset": "hoop",
            "issuers": [
                {"issuer": provider.issuer, "audiences": [AUDIENCE], "insecure_http": True}
            ],
            "keys": {"cool_down": 1.0},
            "accounts": {
                "url": f"redis://127.0.0.1:{proxy.port}/0", "max_staleness": _STALENESS,
            },
        }  # fmt: skip
        (directory / "sidecar.yaml").write_text(yaml.safe_dump(settings))
        async with _process(directory) as pid:
            address = f"http://127.0.0.1:{admin}"
            await _is_ready(address)
            load = Load(("127.0.0.1", port), {}, _PER_SECOND)
            soak = Soak(provider, redis, proxy, load, pid, address)
            soak.renew_tokens()
            yield soak


@asynccontextmanager
async def _process(directory: Path) -> AsyncIterator[int]:
    with (directory / "decisions").open("wb") as out, (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "run", "--config", str(directory / "sidecar.yaml")),
            stdout=out,
            stderr=log,
        )
        try:
            yield process.pid
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _is_ready(admin: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientConnectorError):
                async with http.get(admin + "/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _metrics(soak: Soak) -> dict[str, Counter[str]]:
    """Return requests by status, and decisions by outcome."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(soak.admin + "/metrics", headers={"Accept": "text/plain"}) as response,
    ):
        text = await response.text()
    found: dict[str, Counter[str]] = {"requests": Counter(), "decisions": Counter()}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "sidecar_requests_total":
                found["requests"][sample.labels["code"]] += int(sample.value)
            if sample.name == "sidecar_decisions_total":
                found["decisions"][sample.labels["outcome"]] += int(sample.value)
    return found


def _decisions(log: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    with log.open("rb") as lines:
        for line in lines:
            event = json.loads(line)
            if event["event"] == "decision":
                found[event["outcome"]] += 1
    return found


def _judge(soak: Soak, metrics: dict[str, Counter[str]], logged: Counter[str]) -> list[str]:
    answers = Counter(str(each.status) for each in soak.load.answers)
    print(f"clients    {dict(answers)}, streams {dict(soak.streams)}")
    print(f"metrics    { ({name: dict(each) for name, each in metrics.items()}) }")
    print(f"log        {dict(logged)}")
    problems = []
    if logged != metrics["decisions"]:
        problems.append("the log and the metrics do not have the same decisions")
    # A stream is a request too.
    asked = len(soak.load.answers) + sum(soak.streams.values())
    counted = metrics["decisions"].total()
    if not 0 <= asked - counted <= answers["0"] + soak.streams["no answer"]:
        problems.append(f"{asked} requests were sent, {counted} were decided")
    late = [
        each
        for each in soak.load.answers
        if each.subject == LEAVING
        and each.status == 200
        and any(first < each.sent and each.done < last for first, last in soak.gone)
    ]
    if late:
        problems.append(f"{len(late)} grants to an account that was disabled")
    if any(each.subject == _BAD and each.status == 200 for each in soak.load.answers):
        problems.append("a bad signature was granted")
    if soak.streams["complete"]:
        problems.append("a stream that was cut looks complete")
    return [*problems, *_leaks(soak)]


def _leaks(soak: Soak) -> list[str]:
    first = soak.seen[int(len(soak.seen) * _WARM_SHARE)]
    # Of the last, the least: a fault may be under way when it is looked at.
    last = [min(each[place] for each in soak.seen[-len(FAULTS) :]) for place in range(4)]
    names = ("", "octets of memory", "descriptors", "threads")
    return [
        f"{first[place]} {names[place]} after the first third, {last[place]} in the end"
        for place in (1, 2, 3)
        if last[place] > first[place] * (1 + _MAX_GROWTH) + (0 if place == 1 else 5)
    ]


def _tell(soak: Soak) -> None:
    _, memory, descriptors, threads = soak.seen[-1]
    statuses = Counter(each.status for each in soak.load.answers)
    print(
        f"{len(soak.load.answers):>9} answers {dict(statuses)}  {memory / 2**20:6.1f} MiB"
        f"  {descriptors} descriptors  {threads} threads",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    asyncio.run(run(parser.parse_args().minutes))
