"""The look for leaks finds those that there are."""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sidecar.demo.loopback import Loopback
from tests.e2e.leaks import check_told, check_written, secrets_in, watching

TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"


@pytest.mark.parametrize(
    "line",
    [
        '{"message": "' + TOKEN + '"}\n',
        '{"message": "it is hunter2"}\n',
        '{"message": "a"}\r\n',
        '{"message": "\x1b[2J"}\n',
        "Traceback (most recent call last):\n",
        '"a text"\n',
    ],
)
def test_what_leaks_is_found(line: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check_written([line], {"accounts": {"password": "hunter2"}})


def test_what_is_harmless_is_none() -> None:
    check_written(['{"message": "a key"}\n', '{"mess'], {"accounts": {"password": "hunter2"}})


def test_secrets_are_found_wherever_settings_have_them(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("in a file\n")
    settings = {
        "accounts": {"url": "redis://user:in-a-url@127.0.0.1:6379/0", "password": "a password"},
        "admin": {"revocation_clients": [{"secret_file": str(file)}], "host": "127.0.0.1"},
        "sync": {"token": "a token", "api_key_file": "/nowhere"},
    }

    assert set(secrets_in(settings)) == {"in-a-url", "a password", "in a file", "a token"}


async def test_the_bodies_of_errors_are_looked_at_and_others_are_not() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.path.strip("/")), text=TOKEN)

    application = web.Application()
    application.router.add_get("/{status}", answer)
    server = Loopback(0)
    await server.start(application)
    try:
        async with aiohttp.ClientSession(trace_configs=[watching()]) as http:
            async with http.get(f"{server.url}/200") as response:
                assert await response.text() == TOKEN
            async with http.get(f"{server.url}/401") as response:
                with pytest.raises(AssertionError):
                    await response.text()
    finally:
        await server.stop()


def test_a_secret_is_found_in_any_text() -> None:
    with pytest.raises(AssertionError):
        check_told("hunter2", {"hunter2"})
