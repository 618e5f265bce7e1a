"""What every door says to clients without a token, as the settings want it."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import grpc

from sidecar.app.fronts import Shared, fronts_of
from sidecar.app.protecting import realm_of, resource_metadata
from sidecar.core.protection import SIDECAR
from sidecar.core.routes import Route
from sidecar.fronts.ext_authz.health import AUTHORIZATION
from sidecar.streams import Streams
from tests.app.test_parts import settings
from tests.fakes.checks import check_of, read_answer
from tests.fakes.front import IDENTITY
from tests.fakes.grpc_front import ECHO, channel_to
from tests.fakes.world import ROUTES, World

PATH = "/.well-known/oauth-protected-resource/api"
POINTER = f'resource_metadata="https://a.example{PATH}"'
DOORS = {
    "forward_auth": {"dialect": "envoy", "host": "127.0.0.1", "port": 0},
    "grpc": {"upstream": {"url": "grpc://127.0.0.1:9"}, "host": "127.0.0.1", "port": 0},
    "ext_authz": {"host": "127.0.0.1", "port": 0},
}


def test_without_the_section_nothing_is_said(tmp_path: Path) -> None:
    silent = settings(tmp_path)

    assert realm_of(silent) == SIDECAR
    assert resource_metadata(silent) is None


def test_the_document_names_issuers_and_the_routes_scopes(tmp_path: Path) -> None:
    loaded = settings(
        tmp_path,
        resource={"identifier": "https://a.example/api"},
        routes=[{"name": "r", "path": "/r", "scopes": ["write", "read"]}],
    )

    metadata = resource_metadata(loaded)

    assert metadata is not None
    assert metadata.path == PATH
    members = json.loads(metadata.body)
    assert members["authorization_servers"] == list(loaded.issuer_rules())
    assert members["scopes_supported"] == ["read", "write"]


async def test_every_door_points_to_the_metadata(tmp_path: Path) -> None:
    echo = Route("echo", ECHO, frozenset({"POST"}))
    world = World(routes=(*ROUTES, echo))
    loaded = settings(
        tmp_path,
        resource={"identifier": "https://a.example/api"},
        listen={"host": "127.0.0.1", "port": 0},
        **DOORS,
    )
    streams = Streams(world.observer)
    shared = Shared(world.authorizer, IDENTITY, streams, world.clock, world.observer, dict)
    async with AsyncExitStack() as stack:
        openings = await stack.enter_async_context(fronts_of(loaded, shared, {}))
        proxy, ask, call, envoy = [await stack.enter_async_context(each()) for each in openings]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for url in (f"{proxy.url}/reports", f"{ask.url}/auth/reports"):
            async with http.get(url) as refused:
                assert POINTER in refused.headers["WWW-Authenticate"]
        for url in (proxy.url, ask.url):
            async with http.get(url + PATH) as told:
                assert (await told.json())["resource"] == "https://a.example/api"

        channel = await stack.enter_async_context(channel_to(envoy.url))
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        check = channel.unary_unary(f"/{AUTHORIZATION}/Check")
        answer = read_answer(await check(check_of(target="/reports"), timeout=10))
        assert POINTER in answer.client["WWW-Authenticate"]

        channel = await stack.enter_async_context(channel_to(call.url))
        assert POINTER in await _challenge_of(channel)


async def _challenge_of(channel: grpc.aio.Channel) -> str:
    begin: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
    call = begin(b"x", timeout=10)
    trailing = dict(await call.trailing_metadata())
    return str(trailing["www-authenticate"])
