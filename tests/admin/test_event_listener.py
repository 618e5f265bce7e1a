"""The listener for events: on its own address, and 503 until somebody answers."""

import aiohttp
import pytest

from sidecar.admin.event_listener import EventListener


async def test_until_somebody_answers_it_is_503() -> None:
    async with EventListener("127.0.0.1", 0) as listener, aiohttp.ClientSession() as http:
        assert listener.url.startswith("http://127.0.0.1:")
        async with http.post(listener.url + "/events/idp") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_an_address_that_is_taken_is_told() -> None:
    async with EventListener("127.0.0.1", 0) as listener:
        port = int(listener.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            await EventListener("127.0.0.1", port).__aenter__()
