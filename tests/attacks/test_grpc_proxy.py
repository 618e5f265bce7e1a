"""The paths of the attack corpus at the gRPC door: none leads anywhere."""

import pytest

from tests.attacks.tables import REQUESTS, verdict
from tests.fakes.grpc_front import grpc_upstream, running_grpc_front
from tests.fakes.raw_grpc import raw_call
from tests.fakes.world import World

HOSTILE_PATHS = sorted(
    {
        row["path"]
        for row in REQUESTS
        if row["expected"] == "malformed_request" and "\n" not in row["path"]
    }
)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
async def test_a_path_of_the_corpus_reaches_nobody(path: str) -> None:
    world = World()
    world.enroll("robot", "admin")
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        octets = path.encode("utf-8", "surrogateescape")
        if len(octets) < 127:
            await raw_call(front.proxy.url, octets)

        assert all(verdict(each) != "granted" for _, each, _ in world.observer.decisions)
        assert upstream.conversations == []
