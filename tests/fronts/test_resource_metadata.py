"""The metadata at the HTTP doors: for everybody, to be read, and nowhere else."""

import json

import pytest

from sidecar.core.decision import Grant
from sidecar.core.dialect import Dialect
from sidecar.core.protection import Realm
from sidecar.fronts.resource_metadata import ResourceMetadata
from tests.fakes.doors import fields_of, forward_auth_door
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.upstream import scripted_upstream
from tests.fakes.world import World

PATH = "/.well-known/oauth-protected-resource/api"
MEMBERS = {"resource": "https://a.example/api", "bearer_methods_supported": ["header"]}
METADATA = ResourceMetadata.of(PATH, MEMBERS)
REALM = Realm("sidecar", f"https://a.example{PATH}")


async def ask(front: Front, line: str, *fields: str, body: str = "") -> bytes:
    head = "\r\n".join([line, "Host: a.example", "Connection: close", *fields, "", body])
    return await front.send(head.encode())


@pytest.mark.parametrize("path", [PATH, PATH + "?x=1"])
async def test_whoever_asks_the_proxy_is_told(path: str) -> None:
    world = World()
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, world=world, realm=REALM, metadata=METADATA) as front,
    ):
        answer = await ask(front, f"GET {path} HTTP/1.1")
        to_head = await ask(front, f"HEAD {path} HTTP/1.1")

    told = fields_of(answer)
    assert status_of(answer) == status_of(to_head) == 200
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == MEMBERS
    assert told["content-type"] == ["application/json"]
    assert told["cache-control"] == ["public, max-age=600"]
    assert told["access-control-allow-origin"] == ["*"]
    assert to_head.endswith(b"\r\n\r\n")
    assert fields_of(to_head)["content-length"] == told["content-length"]
    assert not upstream.conversations
    assert [type(decision) for _, decision, _ in world.observer.decisions] == [Grant, Grant]
    assert [status for _, status, _ in world.observer.answers] == [200, 200]


async def test_it_can_only_be_read() -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, metadata=METADATA) as front,
    ):
        posted = await ask(front, f"POST {PATH} HTTP/1.1", "Content-Length: 1", body="x")
        deleted = await ask(front, f"DELETE {PATH} HTTP/1.1")

    for answer in (posted, deleted):
        assert status_of(answer) == 405
        assert fields_of(answer)["allow"] == ["GET, HEAD"]
    assert not upstream.conversations


@pytest.mark.parametrize("path", [PATH + "/x", PATH + "x", PATH[:-4], PATH.upper(), "/reports"])
async def test_other_paths_are_decided_on_as_ever(path: str) -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, realm=REALM, metadata=METADATA) as front,
    ):
        answer = await ask(front, f"GET {path} HTTP/1.1")

    assert status_of(answer) == (401 if path == "/reports" else 403)
    assert not upstream.conversations


@pytest.mark.parametrize("fields", [(), ("Authorization: Bearer x",)])
async def test_a_401_points_to_the_metadata(fields: tuple[str, ...]) -> None:
    async with (
        scripted_upstream() as upstream,
        running_front(upstream.url, realm=REALM, metadata=METADATA) as front,
    ):
        answer = await ask(front, "GET /reports HTTP/1.1", *fields)

    (challenge,) = fields_of(answer)["www-authenticate"]
    assert challenge.startswith('Bearer realm="sidecar"')
    assert challenge.endswith(f', resource_metadata="https://a.example{PATH}"')


async def test_a_proxy_that_asks_can_send_its_clients_on_to_the_metadata() -> None:
    world = World()
    async with forward_auth_door(Dialect.NGINX, world, realm=REALM, metadata=METADATA) as door:
        told = await door.send(
            f"GET {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )
        posted = await door.send(
            f"POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
        )

    assert status_of(told) == 200
    assert json.loads(told.partition(b"\r\n\r\n")[2]) == MEMBERS
    assert status_of(posted) == 405


async def test_a_question_about_the_metadata_is_a_question() -> None:
    """An answer of 200 would have the proxy pass on what nobody has decided."""
    world = World()
    below = ResourceMetadata.of("/auth/x", MEMBERS)
    async with forward_auth_door(Dialect.ENVOY, world, realm=REALM, metadata=below) as door:
        answer = await door.send(b"GET /auth/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")

    assert status_of(answer) == 403
