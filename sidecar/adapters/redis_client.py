"""A client of Redis for those who may wait, and what its errors mean."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.adapters.redis_primary import pool_for
from sidecar.ports import StatusUnavailable


@asynccontextmanager
async def open_redis(
    url: str, options: Mapping[str, Any], prefix: str, timeout_seconds: float
) -> AsyncIterator[Redis]:
    """Open a client that gives up on a silent server after ``timeout_seconds``.

    It connects when it is asked; texts come back as ``str``.
    """
    pool = pool_for(
        url,
        options,
        prefix,
        timeout_seconds,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
    )
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def mapped() -> AsyncIterator[None]:
    """Raise ``StatusUnavailable`` for whatever the client could not do."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise StatusUnavailable(f"Redis: {type(error).__name__}: {error}"[:200]) from None
