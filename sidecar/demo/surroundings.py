"""What stands around a sidecar in the demo's containers: an identity provider and a gateway.

    python -m sidecar.demo.surroundings serve     until SIGTERM
    python -m sidecar.demo.surroundings token     an access token of the provider's

They are on loopback, so nothing gets past the sidecar: deploy/compose.yaml has it share theirs.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from sidecar.app.stopping import stop_on_signals
from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import IdentityProvider
from sidecar.demo.site import AUDIENCE, CLIENT_ID, CLIENT_SECRET, GROUPS, NAME
from sidecar.demo.token_request import Client

PROVIDER_PORT = 8001
GATEWAY_PORT = 8009  # the Hoop gateway's
_PATIENCE = aiohttp.ClientTimeout(total=10)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the two commands; ``arguments`` are the process's own where none are given."""
    parser = argparse.ArgumentParser(prog="sidecar.demo.surroundings")
    parser.add_argument("command", choices=["serve", "token"])
    parser.add_argument("--provider-port", type=int, default=PROVIDER_PORT)
    parser.add_argument("--gateway-port", type=int, default=GATEWAY_PORT)
    given = parser.parse_args(arguments)
    if given.command == "token":
        sys.stdout.write(asyncio.run(get_token(given.provider_port)) + "\n")
    else:
        asyncio.run(_serve(given.provider_port, given.gateway_port))


@asynccontextmanager
async def surroundings(
    provider_port: int, gateway_port: int
) -> AsyncIterator[tuple[IdentityProvider, Gateway]]:
    """Run both until the block ends. Raises OSError where a port is taken."""
    clients = [Client(CLIENT_ID, CLIENT_SECRET, CLIENT_ID, ())]
    async with IdentityProvider(
        clients, port=provider_port, audiences=(AUDIENCE,), lifetime=3600
    ) as provider:
        verifier = identity_provider_verifier(provider.jwks_url)
        account = GatewayAccount(CLIENT_ID, NAME, GROUPS)
        async with Gateway(verifier, [account], port=gateway_port) as gateway:
            yield provider, gateway


async def get_token(provider_port: int) -> str:
    """Return an access token of the demo's client.

    Raises:
        aiohttp.ClientError, TimeoutError: the provider is not there, or refuses.
    """
    async with (
        aiohttp.ClientSession(timeout=_PATIENCE, raise_for_status=True) as http,
        http.post(
            f"http://127.0.0.1:{provider_port}/token",
            data={"grant_type": "client_credentials"},
            headers={"Authorization": aiohttp.encode_basic_auth(CLIENT_ID, CLIENT_SECRET)},
        ) as response,
    ):
        return str((await response.json())["access_token"])


async def _serve(provider_port: int, gateway_port: int) -> None:
    async with stop_on_signals() as stop, surroundings(provider_port, gateway_port) as running:
        provider, gateway = running
        sys.stdout.write(f"identity provider on {provider.issuer}\ngateway on {gateway.url}\n")
        sys.stdout.flush()
        await stop.asked.wait()


if __name__ == "__main__":
    main()
