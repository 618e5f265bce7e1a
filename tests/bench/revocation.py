"""How long a disabled account still gets something: until the first refusal, until the cuts.

Counted from the moment the write to Redis begins, against the real sidecar in its own process,
with a WebSocket and an event stream open. Medians and 99th percentiles of many rounds.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import IdentityProvider
from sidecar.demo.redis_server import RedisServer
from sidecar.demo.token_request import Client
from tests.e2e.processes import Sidecar, running_sidecar

ROUNDS = 200
KEY = "sidecar:account:default:bench"


async def main() -> None:
    async with (
        IdentityProvider([Client("bench", "secret", "bench", ())], lifetime=3600) as provider,
        RedisServer() as redis,
        Gateway(identity_provider_verifier(provider.jwks_url)) as gateway,
        aiohttp.ClientSession() as http,
    ):
        gateway.accounts["bench"] = GatewayAccount("bench", "Bench", ())
        settings = {
            "listen": {"host": "127.0.0.1", "port": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "upstream": {"url": gateway.url},
            "preset": "hoop",
            "issuers": [
                {"issuer": provider.issuer, "audiences": ["hoop-gateway"], "insecure_http": True}
            ],
            "accounts": {"url": redis.url},
            "routes": [{"name": "ws", "path": "/api/demo/ws", "websocket": True}],
            "log": {"decisions": "none"},
        }
        token = provider.issue("bench", lifetime=3600)
        headers = {"Authorization": f"Bearer {token}"}
        with tempfile.TemporaryDirectory() as directory:
            async with running_sidecar(settings, Path(directory)) as sidecar:
                times = [await one_round(sidecar, redis, http, headers) for _ in range(ROUNDS)]
    for number, name in enumerate(("first refusal", "event stream cut", "WebSocket cut")):
        column = sorted(each[number] for each in times)
        print(
            f"{name:18} median {statistics.median(column):6.2f} ms"
            f"  p99 {column[int(len(column) * 0.99) - 1]:6.2f} ms  of {len(column)}"
        )


async def one_round(
    sidecar: Sidecar, redis: RedisServer, http: aiohttp.ClientSession, headers: dict[str, str]
) -> tuple[float, float, float]:
    await redis.command("HSET", KEY, "status", "active")
    while await status(sidecar, http, headers) != 200:
        await asyncio.sleep(0.001)
    async with (
        http.get(sidecar.url + "/api/sessions/1/stream", headers=headers) as events,
        http.ws_connect(sidecar.url + "/api/demo/ws", headers=headers) as websocket,
    ):
        await events.content.readline()
        await websocket.receive()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            refused = tasks.create_task(until_refused(sidecar, http, headers))
            cut = tasks.create_task(until_cut(events))
            closed = tasks.create_task(until_closed(websocket))
            tasks.create_task(disable(redis))
    return tuple((task.result() - began) * 1000 for task in (refused, cut, closed))  # type: ignore[return-value]


async def disable(redis: RedisServer) -> None:
    await redis.command("HSET", KEY, "status", "inactive")


async def status(sidecar: Sidecar, http: aiohttp.ClientSession, headers: dict[str, str]) -> int:
    async with http.get(sidecar.url + "/api/userinfo", headers=headers) as response:
        await response.read()
        return response.status


async def until_refused(
    sidecar: Sidecar, http: aiohttp.ClientSession, headers: dict[str, str]
) -> float:
    while await status(sidecar, http, headers) == 200:
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


if __name__ == "__main__":
    asyncio.run(main())
