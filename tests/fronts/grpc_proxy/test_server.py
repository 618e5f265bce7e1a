"""The listener: TLS, keep-alive, leaving in good order, and going on whatever comes."""

import asyncio
import logging
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.fronts.grpc_listener import Address, Certificate
from sidecar.fronts.grpc_proxy.server import GrpcProxy, ListenPolicy
from tests.app.test_tls import Certificates
from tests.fakes.grpc_front import (
    ECHO,
    Conversation,
    channel_to,
    end_of,
    grpc_upstream,
    hang,
    running_grpc_front,
)
from tests.fakes.waiting import until

OK = grpc.StatusCode.OK


def certificate(files: Certificates, client_ca: Path | None = None) -> Certificate:
    return Certificate(
        files.key.read_bytes(),
        files.certificate.read_bytes(),
        None if client_ca is None else client_ca.read_bytes(),
    )


async def test_over_tls_upstream_learns_of_it(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    listen = ListenPolicy(Address("127.0.0.1", 0, certificate(ours)))
    client = grpc.ssl_channel_credentials(ours.ca.read_bytes())
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, listen=listen, client=client) as front,
    ):
        assert front.proxy.url.startswith("grpcs://127.0.0.1:")
        assert (await front.ask(b"x")).messages == [b"x"]
        assert upstream.last.values("x-forwarded-proto") == ["https"]


async def test_a_client_has_to_show_a_certificate_where_it_is_asked_for(tmp_path: Path) -> None:
    ours, theirs = Certificates(tmp_path, "ours"), Certificates(tmp_path, "theirs")
    listen = ListenPolicy(Address("127.0.0.1", 0, certificate(ours, theirs.ca)))
    client = grpc.ssl_channel_credentials(
        ours.ca.read_bytes(), theirs.key.read_bytes(), theirs.certificate.read_bytes()
    )
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, listen=listen, client=client) as front,
        channel_to(front.proxy.url, grpc.ssl_channel_credentials(ours.ca.read_bytes())) as bare,
    ):
        assert (await front.ask(b"x")).messages == [b"x"]
        front.channel = bare
        assert (await front.ask(b"x")).code is grpc.StatusCode.UNAVAILABLE


async def test_clients_that_probe_every_second_are_not_thrown_out() -> None:
    """The library's default is one probe in 5 minutes; others are answered too_many_pings."""
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        options = [
            ("grpc.keepalive_time_ms", 1100),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.ping_timeout_ms", 1000),
        ]
        async with channel_to(front.proxy.url, None, *options) as channel:
            front.channel = channel
            call = front.begin()
            await call.read()
            await asyncio.sleep(5)

            assert not call.done()
            call.cancel()


async def test_more_calls_than_are_taken_are_turned_away() -> None:
    listen = ListenPolicy(Address("127.0.0.1", 0), max_calls=2)
    async with (
        grpc_upstream(hang) as upstream,
        running_grpc_front(upstream.target, listen=listen) as front,
    ):
        calls = [front.begin() for _ in range(2)]
        for call in calls:
            await call.read()

        assert (await front.ask(b"x")).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in calls:
            call.cancel()


async def test_what_was_cut_holds_no_place_though_its_client_reads_nothing() -> None:
    """Else a disabled account could shut the door to all others for as long as it likes."""
    said: list[float] = []

    async def flood(conversation: Conversation) -> None:
        while conversation.method == ECHO:
            await conversation.say(bytes(100_000))
            said.append(asyncio.get_running_loop().time())

    listen = ListenPolicy(Address("127.0.0.1", 0), max_calls=2)
    async with (
        grpc_upstream(flood) as upstream,
        running_grpc_front(upstream.target, listen=listen) as front,
    ):
        calls = [front.begin() for _ in range(2)]
        loop = asyncio.get_running_loop()
        await until(lambda: len(said) > 1 and loop.time() - said[-1] > 0.3)
        assert len(upstream.conversations) == 2
        assert front.cut() == 2
        await until(lambda: front.handler.calls == 0)

        async with channel_to(front.proxy.url) as channel:
            front.channel = channel
            assert (await front.ask(method="/test.Open/Any")).code is OK
        for call in calls:
            call.cancel()


async def test_one_that_accepts_no_more_lets_its_calls_go_on() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.write(b"1")
        assert await call.read() == b"1"

        front.proxy.dismiss()
        await front.proxy.stop_accepting()
        assert not front.proxy.is_accepting
        async with channel_to(front.proxy.url) as channel:
            front.channel = channel
            assert (await front.ask(b"x")).code is grpc.StatusCode.UNAVAILABLE

        await call.write(b"2")
        assert await call.read() == b"2"
        await call.done_writing()
        assert (await end_of(call)).code is OK
        await front.proxy.drain(5)


async def test_draining_waits_for_calls_and_cuts_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.read()
        with caplog.at_level(logging.WARNING):
            await front.proxy.drain(0.3)

        answer = await end_of(call)
        assert (answer.code, answer.details) == (
            grpc.StatusCode.UNAVAILABLE,
            "going away, try again",
        )
        await asyncio.wait_for(upstream.last.ended.wait(), 10)
        assert "1 calls are cut" in caplog.text


async def test_draining_ends_as_soon_as_nothing_is_under_way() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        assert (await front.ask(b"x")).code is OK

        await asyncio.wait_for(front.proxy.drain(600), 10)


async def test_a_client_that_never_reads_does_not_hold_a_drain_up() -> None:
    async def flood(conversation: Conversation) -> None:
        while True:
            await conversation.say(b"x" * 100_000)

    async with grpc_upstream(flood) as upstream, running_grpc_front(upstream.target) as front:
        call = front.begin()
        await call.initial_metadata()

        await asyncio.wait_for(front.proxy.drain(0.1), 15)
        call.cancel()


async def test_ipv6_is_listened_on_too() -> None:
    listen = ListenPolicy(Address("::1", 0))
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, listen=listen) as front,
    ):
        assert front.proxy.url.startswith("grpc://[::1]:")
        assert (await front.ask(b"x")).code is OK
        assert front.world.observer.decisions[0][0].peer == "::1"
        assert isinstance(front.proxy, GrpcProxy)
