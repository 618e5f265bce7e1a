"""A real Redis-compatible server for the adapters' tests, started once a module."""

from collections.abc import AsyncIterator

import pytest_asyncio

from sidecar.demo.redis_server import RedisServer


@pytest_asyncio.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server
