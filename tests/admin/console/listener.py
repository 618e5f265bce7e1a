"""Somebody who listens to what keeps a page up to date, as a browser's EventSource does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.admin.console.visitor import Visitor


class Listener:
    """Reads events off an answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, *wanted: str) -> tuple[str, str]:
        """Return the next event that has one of these names, and its data."""
        async with asyncio.timeout(10):
            while True:
                name, data = await self._read()
                if name in wanted:
                    return name, data

    async def _read(self) -> tuple[str, str]:
        name = ""
        lines: list[str] = []
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                return name, "\n".join(lines)
            key, _, value = line.rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                lines.append(value)
        raise AssertionError("the stream has ended")

    async def until_end(self) -> None:
        async with asyncio.timeout(10):
            await self.response.content.read()


@asynccontextmanager
async def listening(visitor: Visitor, path: str) -> AsyncIterator[Listener]:
    """Listen at the path; what comes before the first event has come."""
    async with visitor.http.get(visitor.office.url + path) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await response.content.readline() == b": listening\n"
        yield Listener(response)
