"""The attack corpus at the gRPC door: the same verdicts as at every other."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest

from sidecar.core.decision import DenyReason
from tests.attacks.test_corpus import REQUESTS, TOKENS, forge, named, verdict
from tests.fakes.grpc_front import ROUTES, grpc_upstream, running_grpc_front
from tests.fakes.raw_grpc import raw_call
from tests.fakes.world import World

HOSTILE_PATHS = sorted(
    {
        row["path"]
        for row in REQUESTS
        if row["expected"] == "malformed_request" and "\n" not in row["path"]
    }
)


@pytest.mark.parametrize("row", TOKENS, ids=named)
async def test_a_token_of_the_corpus(row: Mapping[str, Any]) -> None:
    world = World(routes=ROUTES)
    token = forge(world, row)
    if not (token.isascii() and token.isprintable()):
        pytest.skip("no value of metadata")
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        answer = await front.ask(b"x", metadata=[("authorization", f"Bearer {token}")])

        if not world.observer.decisions:  # too large for the metadata that are taken
            assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert row["expected"] != "granted"
            return
        found = verdict(world.observer.decisions[-1][1])
        assert found == row["expected"]
        if found == "granted":
            assert answer.messages == [b"x"]
        else:
            assert answer.code.value[0] == DenyReason(found).grpc_code
            assert upstream.conversations == []


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
