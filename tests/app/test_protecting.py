"""What every door says to clients without a token, as the settings want it."""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from sidecar.app.fronts import Shared, fronts_of
from sidecar.app.protecting import realm_of, resource_metadata
from sidecar.core.protection import SIDECAR
from sidecar.core.routes import Route
from sidecar.fronts.ext_authz.health import AUTHORIZATION
from sidecar.streams import Streams
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
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


def told_of(directory: Path, *modes: dict[str, str]) -> dict[str, Any]:
    issuers = [
        {"issuer": f"https://{number}.example/", "audiences": ["api"], **mode}
        for number, mode in enumerate(modes)
    ]
    loaded = settings(
        directory,
        resource={"identifier": "https://a.example"},
        issuers=issuers,
        bound_tokens={"public_urls": ["https://a.example"], "algorithms": ["ES256"]},
        listen={"tls": tls_of(directory)},
    )
    metadata = resource_metadata(loaded)
    assert metadata is not None
    members: dict[str, Any] = json.loads(metadata.body)
    return {name: value for name, value in members.items() if name.startswith(("dpop", "tls"))}


def tls_of(directory: Path) -> dict[str, str]:
    ours = Certificates(directory, "ours")
    return {
        "certificate": str(ours.certificate),
        "key": str(ours.key),
        "client_ca": str(ours.ca),
    }


def test_bound_tokens_are_told_as_they_are_taken(tmp_path: Path) -> None:
    required, allowed = {"dpop": "required"}, {"dpop": "allowed"}

    assert told_of(tmp_path, required) == {
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": True,
    }
    assert told_of(tmp_path, required, allowed)["dpop_bound_access_tokens_required"] is False
    assert told_of(tmp_path, {"mtls": "allowed"}, {"dpop": "off"}) == {
        "tls_client_certificate_bound_access_tokens": True
    }


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
