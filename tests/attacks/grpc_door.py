"""The gRPC port as one more door: asked alike, its codes read as the HTTP statuses they mean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from tests.fakes.doors import Answer, Asked, decided, without_id
from tests.fakes.grpc_front import GrpcFront, GrpcUpstream, grpc_upstream, running_grpc_front
from tests.fakes.world import World

STATUSES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 431,
    grpc.StatusCode.UNAVAILABLE: 503,
}


@dataclass
class GrpcDoor:
    """A call for every request; its target is the method, so ``asked.target`` is not sent."""

    world: World
    front: GrpcFront
    upstream: GrpcUpstream

    async def ask(self, asked: Asked) -> Answer:
        heard, before = len(self.world.observer.decisions), len(self.upstream.conversations)
        metadata = [("authorization", value) for value in asked.authorization]
        metadata += [(name.lower(), value) for name, value in asked.fields]
        answer = await self.front.ask(b"x", metadata=metadata)
        told = {
            name: [str(value)]
            for conversation in self.upstream.conversations[before:]
            for name, value in conversation.metadata
        }
        refusal = without_id(
            "\n".join([answer.details, *(f"{name}: {value!r}" for name, value in answer.trailing)])
        )
        return Answer(STATUSES[answer.code], decided(self.world, heard), told, refusal)


@asynccontextmanager
async def grpc_door(world: World) -> AsyncIterator[GrpcDoor]:
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        yield GrpcDoor(world, front, upstream)


def can_be_metadata(value: str) -> bool:
    """Say whether a gRPC client can send the value at all."""
    return value.isascii() and value.isprintable()
