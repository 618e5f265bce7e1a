"""The channel to upstream, and facts of the library that an upgrade could change."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.fronts.grpc_proxy.upstream import Authorities, Call, Upstream, UpstreamPolicy, send
from sidecar.ports import UpstreamError
from tests.app.test_tls import Certificates
from tests.fakes.grpc_front import ECHO, Conversation, grpc_upstream, hang
from tests.fakes.waiting import until_async

OUR_WORDS = "user is not active"


async def error_of(call: Call) -> grpc.aio.AioRpcError:
    try:
        while isinstance(await call.read(), bytes):
            pass
    except grpc.aio.AioRpcError as error:
        return error
    pytest.fail("it ended well")


async def is_ok(call: Call) -> bool:
    """Make a call without a message; say whether it ended well."""
    with suppress(grpc.aio.InternalError):  # it had ended before that was sent
        await call.done_writing()
    return await call.code() is grpc.StatusCode.OK


async def failure_at(target: str) -> UpstreamError | None:
    async with Upstream(UpstreamPolicy(target)) as upstream:
        return upstream.failure_of(await error_of(upstream.call(ECHO, (), 10)))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
async def test_what_upstream_says_itself_is_no_failure(code: grpc.StatusCode) -> None:
    async def refuse(conversation: Conversation) -> None:
        await conversation.context.abort(code, OUR_WORDS)

    async with grpc_upstream(refuse) as upstream:
        assert await failure_at(upstream.target) is None


async def test_writing_to_a_call_that_has_ended_loses_its_status_but_for_our_way() -> None:
    """A fact of the library; when this fails for ``write``, ``send`` can go."""
    refused = grpc.StatusCode.NOT_FOUND

    async def refuse(conversation: Conversation) -> None:
        await conversation.context.abort(refused, OUR_WORDS)

    async def codes(write: Callable[[Call, bytes], Awaitable[None]]) -> set[grpc.StatusCode]:
        found = set()
        for _ in range(100):
            call = upstream.call(ECHO, (), 10)
            with suppress(grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
                for _ in range(20):
                    await write(call, b"x" * 100_000)
            found.add(await call.code())
        return found

    async with grpc_upstream(refuse) as behind, Upstream(UpstreamPolicy(behind.target)) as upstream:
        assert grpc.StatusCode.INTERNAL in await codes(lambda call, message: call.write(message))
        assert await codes(send) == {refused}


async def test_nobody_listens() -> None:
    assert await failure_at("127.0.0.1:1") is UpstreamError.CONNECT


async def test_a_name_that_does_not_resolve() -> None:
    assert await failure_at("upstream.invalid:8010") is UpstreamError.CONNECT


async def test_a_server_that_speaks_http_1() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await failure_at(f"127.0.0.1:{port}") is UpstreamError.CONNECT
    server.close()


@dataclass
class Relay:
    """Stands before upstream and breaks the connection in one way or another."""

    target: str = ""
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def reset(self) -> None:
        for writer in self.writers:
            taken = writer.get_extra_info("socket")
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()

    def garble(self) -> None:
        for writer in self.writers:
            writer.write(b"\xff" * 100)


@asynccontextmanager
async def relay_to(target: str) -> AsyncIterator[Relay]:
    relay = Relay()
    host, _, port = target.rpartition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay.writers.append(writer)
        from_there, to_there = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pump(reader, to_there))
            tasks.create_task(pump(from_there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay.target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        relay.close()


@pytest.mark.parametrize(
    ("breaks", "failure"),
    [
        (Relay.reset, UpstreamError.RESET),
        (Relay.close, UpstreamError.RESET),
        (Relay.garble, UpstreamError.MALFORMED),
    ],
)
async def test_a_connection_that_breaks_is_a_failure(
    breaks: Callable[[Relay], None], failure: UpstreamError
) -> None:
    async with (
        grpc_upstream(hang) as behind,
        relay_to(behind.target) as relay,
        Upstream(UpstreamPolicy(relay.target)) as upstream,
    ):
        call = upstream.call(ECHO, (), None)
        await call.read()
        breaks(relay)

        assert upstream.failure_of(await error_of(call)) is failure


async def test_upstream_is_found_again_soon_after_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    async with Upstream(UpstreamPolicy(f"127.0.0.1:{port}")) as upstream:
        await error_of(upstream.call(ECHO, (), 10))
        async with grpc_upstream(port=port):
            await until_async(lambda: is_ok(upstream.call(ECHO, (), 10)), 5)


async def test_tls_is_verified_by_the_authorities_that_are_named(tmp_path: Path) -> None:
    served, other = Certificates(tmp_path, "served"), Certificates(tmp_path, "other")
    credentials = grpc.ssl_server_credentials(
        [(served.key.read_bytes(), served.certificate.read_bytes())]
    )

    async def ask(roots: bytes, name: str | None) -> UpstreamError | None:
        policy = UpstreamPolicy(behind.target, Authorities(roots, name=name))
        async with Upstream(policy) as upstream:
            call = upstream.call(ECHO, (), 10)
            if await is_ok(call):
                return None
            return upstream.failure_of(await error_of(call))

    async with grpc_upstream(credentials=credentials) as behind:
        assert await ask(served.ca.read_bytes(), "localhost") is None
        assert await ask(other.ca.read_bytes(), "localhost") is UpstreamError.TLS
        assert await ask(served.ca.read_bytes(), "elsewhere.example") is UpstreamError.TLS


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with grpc_upstream() as behind, Upstream(UpstreamPolicy(behind.target)) as upstream:
        assert await is_ok(upstream.call(ECHO, (), 10))
