"""The fronts that the settings ask for, over what they share."""

from pathlib import Path
from typing import Any

import aiohttp

from sidecar.app.fronts import Shared, fronts_of
from sidecar.settings import Settings
from sidecar.streams import Streams
from tests.fakes.world import World
from tests.settings.desk import GOOD, Desk

ASKED = {
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "a.example",
    "X-Forwarded-Uri": "/health",
}


def loaded(directory: Path, **sections: Any) -> Settings:
    rest = {name: value for name, value in GOOD.items() if name != "upstream"}
    listen = {"host": "127.0.0.1", "port": 0}
    return Desk(directory).load({**rest, "listen": listen, **sections})


def shared_in(world: World, settings: Settings) -> Shared:
    return Shared(
        world.authorizer,
        settings.identity(),
        Streams(world.observer),
        world.clock,
        world.observer,
        dict,
    )


async def test_the_forward_auth_door_alone_answers_and_needs_no_upstream(tmp_path: Path) -> None:
    world = World()
    settings = loaded(tmp_path, forward_auth={"dialect": "traefik", "port": 0, "path": "/may/it"})
    async with (
        fronts_of(settings, shared_in(world, settings), {}) as (opening,),
        opening() as front,
        aiohttp.ClientSession() as http,
    ):
        async with http.get(front.url + "/may/it", headers=ASKED) as granted:
            assert granted.status == 200
            assert granted.headers["X-Auth-Subject"] == granted.headers["Api-Key"] == ""
        async with http.get(front.url + "/auth", headers=ASKED) as elsewhere:
            assert elsewhere.status == 400


async def test_both_doors_ask_one_decision(tmp_path: Path) -> None:
    world = World()
    settings = loaded(
        tmp_path,
        upstream={"url": "http://127.0.0.1:9"},
        forward_auth={"dialect": "envoy", "port": 0},
    )
    async with (
        fronts_of(settings, shared_in(world, settings), {}) as (proxied, asked),
        proxied() as proxy,
        asked() as door,
        aiohttp.ClientSession() as http,
    ):
        for url in (proxy.url + "/reports", door.url + "/auth/reports"):
            async with http.get(url) as refused:
                assert refused.status == 401

    assert len(world.observer.decisions) == 2
