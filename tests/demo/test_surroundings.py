"""What the demo's containers run beside the sidecar."""

import asyncio
import signal
import socket
import sys

import aiohttp
import pytest

from sidecar.demo import surroundings
from sidecar.demo.site import CLIENT_ID


async def test_the_gateway_takes_the_providers_token(capsys: pytest.CaptureFixture[str]) -> None:
    async with surroundings.surroundings(0, 0) as (provider, gateway):
        port = provider.issuer.rpartition(":")[2]
        await asyncio.to_thread(surroundings.main, ["token", "--provider-port", port])
        token = capsys.readouterr().out.strip()

        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
            http.get(f"{gateway.url}/api/userinfo") as response,
        ):
            assert (await response.json())["id"] == CLIENT_ID


async def test_without_a_provider_there_is_no_token() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(aiohttp.ClientConnectionError):
            await surroundings.get_token(bound.getsockname()[1])


@pytest.mark.e2e
async def test_it_serves_until_it_is_told_to_end() -> None:
    command = ("-m", "sidecar.demo.surroundings", "serve")
    ports = ("--provider-port", "0", "--gateway-port", "0")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, *ports, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = [(await process.stdout.readline()).decode().split(" on ")[0] for _ in range(2)]
    process.send_signal(signal.SIGTERM)

    assert said == ["identity provider", "gateway"]
    assert await asyncio.wait_for(process.wait(), 30) == 0
