"""A server in every state but well: bounded in time, size and trust."""

import gzip
import ssl
from pathlib import Path

import pytest

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.bounded_client import BoundedClient
from tests.fakes.answering import answering, ok

SECRET = {"Authorization": "Bearer sesame"}


async def ask(base: str, max_bytes: int = 1000, **form: str) -> bytes:
    async with BoundedClient(base, 0.5, ssl.create_default_context()) as client:
        return await client.ask("/a", max_bytes, SECRET, form or None)


async def refusal(base: str) -> NotFetched:
    with pytest.raises(NotFetched) as failed:
        await ask(base)
    assert "sesame" not in failed.value.detail
    return failed.value


async def test_an_answer_is_returned_as_it_is() -> None:
    async with answering(ok(b"[]")) as server:
        assert await ask(server.url + "/x/") == b"[]"
        assert server.requests[0].startswith("GET /x/a HTTP/1.1\r\n")
        assert "Authorization: Bearer sesame" in server.requests[0]


async def test_a_form_is_posted() -> None:
    async with answering(ok(b"{}")) as server:
        await ask(server.url, scope="a b")

        assert server.requests[0].startswith("POST /a ")
        assert server.requests[0].endswith("\r\n\r\nscope=a+b")


async def test_a_unix_socket_is_asked_like_an_address(tmp_path: Path) -> None:
    async with answering(ok(b"[]"), str(tmp_path / "s")) as server:
        assert await ask(server.url) == b"[]"
        assert server.requests[0].startswith("GET /a ")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", SyncFailure.STATUS),
        (b"HTTP/1.1 204 No Content\r\n\r\n", SyncFailure.STATUS),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]", SyncFailure.MALFORMED),
        (b"SSH-2.0\r\n\r\n", SyncFailure.MALFORMED),
        (b"", SyncFailure.UNREACHABLE),
        (ok(b"x" * 1001), SyncFailure.TOO_LARGE),
        (ok(gzip.compress(b" " * 100_000), "Content-Encoding: gzip"), SyncFailure.TOO_LARGE),
        (None, SyncFailure.TIMEOUT),
    ],
)
async def test_each_failure_has_its_own_name(answer: bytes | None, expected: SyncFailure) -> None:
    async with answering(answer) as server:
        assert (await refusal(server.url)).reason is expected


async def test_a_redirect_takes_the_credential_nowhere() -> None:
    async with answering(ok(b"[]")) as trap:
        moved = f"HTTP/1.1 302 Found\r\nLocation: {trap.url}/\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved.encode()) as server:
            assert (await refusal(server.url)).reason is SyncFailure.STATUS
        assert trap.requests == []


async def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    async with answering(None) as server:
        gone = server.url

    assert (await refusal(gone)).reason is SyncFailure.UNREACHABLE
    assert (await refusal(f"unix:{tmp_path}/s")).reason is SyncFailure.UNREACHABLE
