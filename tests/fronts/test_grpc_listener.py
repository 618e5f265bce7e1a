"""gRPC's server as a listener: where it binds, and that it goes on whatever comes."""

import logging
import socket
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.fronts.grpc_listener import Address, Certificate, stop_server
from sidecar.fronts.grpc_proxy.server import ListenPolicy, listening
from tests.fakes.grpc_front import (
    GrpcFront,
    channel_to,
    end_of,
    grpc_upstream,
    running_grpc_front,
)
from tests.fakes.raw_grpc import raw_call
from tests.fakes.waiting import until, until_async

OK = grpc.StatusCode.OK


async def is_served(front: GrpcFront) -> bool:
    return (await front.ask(b"x")).code is OK


async def test_a_certificate_that_is_none_is_an_error() -> None:
    async with grpc_upstream() as upstream:
        listen = ListenPolicy(Address("127.0.0.1", 0, Certificate(b"no", b"no")))
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            async with running_grpc_front(upstream.target, listen=listen):
                pass


async def test_it_listens_on_the_port_that_was_reserved() -> None:
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    listen = ListenPolicy(Address("127.0.0.1", 0, reserved=reserved))
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, listen=listen) as front,
    ):
        assert front.proxy.url == f"grpc://127.0.0.1:{port}"
        assert (await front.ask(b"x")).code is OK
    assert reserved.fileno() == -1


async def test_a_path_that_is_no_text_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The library's server stops accepting for it: another one takes its place, calls go on."""
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.write(b"1")
        assert await call.read() == b"1"

        for _ in range(3):
            with caplog.at_level(logging.ERROR):
                await raw_call(front.proxy.url, b"/test.Echo/\xff")
            async with channel_to(front.proxy.url) as channel:
                front.channel = channel
                await until_async(partial(is_served, front))
        await call.write(b"2")
        assert await call.read() == b"2"
        await call.done_writing()
        assert (await end_of(call)).code is OK
        await until(lambda: front.handler.calls == 0)
        assert front.proxy.is_accepting


async def test_a_listener_that_cannot_be_opened_again_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        port = front.proxy._listener._port
        with socket.create_server(("127.0.0.1", 0)) as taken:
            front.proxy._listener._port = taken.getsockname()[1]
            await raw_call(front.proxy.url, b"/\xff")
            await until(lambda: "cannot be opened again" in caplog.text)
        front.proxy._listener._port = port

        await until_async(partial(is_served, front))


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            policy = ListenPolicy(Address("127.0.0.1", taken.getsockname()[1]))
            with pytest.raises(OSError, match=r"127\.0\.0\.1"):
                async with listening(front.handler, policy):
                    pass


class StoppedByItself:
    """As the library's server after its fault: the first ``stop`` raises what it stopped of."""

    def __init__(self) -> None:
        self.graces: list[float | None] = []

    async def stop(self, grace: float | None) -> None:
        self.graces.append(grace)
        if len(self.graces) == 1:
            raise UnicodeDecodeError("utf-8", b"/\xff", 1, 2, "invalid start byte")


async def test_what_a_server_stopped_of_does_not_keep_it_from_ending() -> None:
    server: Any = StoppedByItself()
    await stop_server(server, 5)

    assert server.graces == [5, 5]
