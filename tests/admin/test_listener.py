"""The listener for operators, over its socket."""

import json
import socket

import aiohttp
import pytest

from sidecar.admin.listener import AdminListener


class Office:
    def __init__(self) -> None:
        self.probes = {"keys": True, "accounts": False}
        self.asked: list[str] = []

    def render(self, accept: str) -> tuple[bytes, str]:
        self.asked.append(accept)
        return b"metric 1\n", "text/plain; version=0.0.4"

    def listener(self, port: int = 0, host: str = "127.0.0.1") -> AdminListener:
        return AdminListener(
            host,
            port,
            probes=lambda: self.probes,
            render=self.render,
            workers=lambda: b'[{"pid": 7}]',
        )


async def ask(
    url: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, data=body, headers=headers) as response,
    ):
        return response.status, await response.read(), dict(response.headers)


async def test_it_is_alive_whatever_else_is_down() -> None:
    async with Office().listener() as listener:
        status, body, headers = await ask(listener.url + "/livez")

    assert (status, json.loads(body)) == (200, {"alive": True})
    assert headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in headers["Server"]


async def test_it_is_ready_when_every_check_holds_and_says_which_does_not() -> None:
    office = Office()
    async with office.listener() as listener:
        status, body, _ = await ask(listener.url + "/readyz")
        assert status == 503
        assert json.loads(body) == {"ready": False, "checks": {"keys": True, "accounts": False}}

        office.probes["accounts"] = True
        status, body, _ = await ask(listener.url + "/readyz?verbose")
        assert status == 200
        assert json.loads(body) == {"ready": True, "checks": {"keys": True, "accounts": True}}

        listener.shadow_routes = 3
        assert json.loads((await ask(listener.url + "/readyz"))[1])["shadow_routes"] == 3


async def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    office = Office()
    async with office.listener() as listener:
        status, body, headers = await ask(listener.url + "/metrics", Accept="text/x")

    assert (status, body, office.asked) == (200, b"metric 1\n", ["text/x"])
    assert headers["Content-Type"] == "text/plain; version=0.0.4"


async def test_what_each_worker_does_comes_as_json() -> None:
    async with Office().listener() as listener:
        status, body, headers = await ask(listener.url + "/workers")

    assert (status, json.loads(body)) == (200, [{"pid": 7}])
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed_here(method: str) -> None:
    async with Office().listener() as listener:
        status, _, headers = await ask(listener.url + "/livez", method)

    assert (status, headers["Allow"]) == (405, "GET, HEAD")


async def test_head_is_answered_without_a_body_and_other_paths_are_not_there() -> None:
    async with Office().listener() as listener:
        assert (await ask(listener.url + "/livez", "HEAD"))[:2] == (200, b"")
        assert (await ask(listener.url + "/api/userinfo"))[0] == 404


async def test_an_address_that_is_taken_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listener = Office().listener(taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            await listener.__aenter__()
        await listener.__aexit__(None, None, None)


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    async with Office().listener(host="::1") as listener:
        assert listener.url.startswith("http://[::1]:")
        assert (await ask(listener.url + "/livez"))[0] == 200


async def test_the_keys_of_assertions_are_there_where_something_is_signed() -> None:
    path = "/.well-known/jwks.json"
    async with Office().listener() as listener:
        assert (await ask(listener.url + path))[0] == 404

        listener.assertion_keys = lambda: {"keys": [{"kty": "EC"}]}
        status, body, headers = await ask(listener.url + path)

    assert (status, json.loads(body)) == (200, {"keys": [{"kty": "EC"}]})
    assert headers["Cache-Control"] == "public, max-age=300"
