"""The gRPC door of the real process, in front of a gateway's gRPC port."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.fronts.grpc_proxy.upstream import send
from tests.app.test_tls import Certificates
from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_reloading import listen, reload, said
from tests.e2e.test_workers import all_ready, metric
from tests.fakes.grpc_front import (
    CONNECT,
    Answer,
    Call,
    GrpcUpstream,
    channel_to,
    end_of,
    grpc_upstream,
)
from tests.fakes.raw_grpc import raw_call
from tests.fakes.waiting import until, until_async

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OK = grpc.StatusCode.OK
each_number_of_workers = pytest.mark.parametrize("workers", [1, 2])


@dataclass
class Client:
    """A program with a token, on a channel of its own."""

    channel: grpc.aio.Channel
    token: str

    def begin(self, method: str = CONNECT, **options: Any) -> Call:
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self.channel.stream_stream(method)
        metadata = (("authorization", f"Bearer {self.token}"), ("origin", "client"))
        return begin(metadata=metadata, **options)

    async def ask(self, message: bytes = b"x") -> Answer:
        call = self.begin(timeout=10)
        with contextlib.suppress(
            grpc.aio.BaseError, grpc.aio.AioRpcError, asyncio.InvalidStateError
        ):
            await send(call, message)
            await call.done_writing()
        return await end_of(call)


@asynccontextmanager
async def client_of(
    sidecar: Sidecar, token: str, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Client]:
    async with channel_to(sidecar.urls["grpc"], credentials) as channel:
        yield Client(channel, token)


def settings(site: Site, upstream: GrpcUpstream, **more: Any) -> dict[str, Any]:
    tls = more.pop("tls", None)
    section: dict[str, Any] = {
        "upstream": {"url": f"grpc://{upstream.target}"}, "host": "127.0.0.1", "port": 0,
    }  # fmt: skip
    if tls is not None:
        section["tls"] = tls
    return site.settings(grpc=section, **more)


async def opened(call: Call) -> Call:
    """Return a call that has exchanged a message."""
    await call.write(b"1")
    assert await call.read() == b"1"
    return call


@each_number_of_workers
async def test_a_program_gets_through_and_its_calls_end_with_its_account(
    site: Site, workers: int
) -> None:
    await site.enable()
    async with (
        grpc_upstream() as upstream,
        running_sidecar(settings(site, upstream, workers=workers), site.directory) as sidecar,
        client_of(sidecar, site.token()) as client,
        client_of(sidecar, site.token()) as another,
    ):
        if workers > 1:
            await all_ready(site, sidecar, workers)
        assert (await client.ask(b"x")).messages == [b"x"]
        assert upstream.last.values("x-auth-subject") == ["api-user"]
        assert upstream.last.values("x-auth-groups") == ["devops,ops"]
        calls = [await opened(each.begin()) for each in (client, another)]

        await site.disable()
        for call in calls:
            ended = await asyncio.wait_for(end_of(call), 5)
            assert (ended.code, ended.details) == (
                grpc.StatusCode.UNAUTHENTICATED,
                "access revoked",
            )
        assert (await client.ask()).code is grpc.StatusCode.UNAUTHENTICATED
        await until(lambda: all(each.cancelled for each in upstream.conversations[1:3]))

        async def are_counted() -> bool:
            name = 'sidecar_grpc_calls_total{code="UNAUTHENTICATED"}'
            return await metric(site, sidecar, name) == 3

        await until_async(are_counted)

        async def have_ended() -> bool:
            return await metric(site, sidecar, 'sidecar_in_flight{kind="grpc"}') == 0

        await until_async(have_ended)
        assert not [line for line in sidecar.output if "eyJ" in line], "a token in a log"


async def test_the_presets_open_paths_and_agents_pass_and_nothing_else(site: Site) -> None:
    async with (
        grpc_upstream() as upstream,
        running_sidecar(settings(site, upstream), site.directory) as sidecar,
        client_of(sidecar, site.token()) as client,
    ):
        begin: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        begin = client.channel.unary_unary("/protobuf.Transport/HealthCheck")
        assert await begin(b"") == b""
        agent = (
            ("origin", "agent"),
            ("authorization", "Bearer grpc://prod:secret@gateway:8010?mode=standard"),
        )
        begin = client.channel.unary_unary(CONNECT)
        assert await begin(b"x", metadata=agent) == b"x"
        begin = client.channel.unary_unary("/protobuf.Transport/Other")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await begin(b"x", metadata=agent)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await client.ask()).code is grpc.StatusCode.UNAUTHENTICATED, "no account yet"
        assert len(upstream.conversations) == 2


@dataclass
class Traffic:
    """Calls one after the other on one channel, and what became of them."""

    codes: Counter[grpc.StatusCode] = field(default_factory=Counter)
    is_over: bool = False

    async def run(self, client: Client) -> None:
        while not self.is_over:
            self.codes[(await client.ask()).code] += 1
            await asyncio.sleep(0.01)


@each_number_of_workers
async def test_a_reload_changes_routes_and_certificate_and_open_calls_go_on(
    site: Site, tmp_path: Path, workers: int
) -> None:
    await site.enable()
    old, new = Certificates(tmp_path, "served"), Certificates(tmp_path, "new")
    tls = {"certificate": str(old.certificate), "key": str(old.key)}
    believes_old = grpc.ssl_channel_credentials(old.ca.read_bytes())
    believes_new = grpc.ssl_channel_credentials(new.ca.read_bytes())
    traffic = Traffic()
    async with grpc_upstream() as upstream:
        told = settings(
            site, upstream, workers=workers, tls=tls, listen=listen(0, shutdown_seconds=60)
        )
        async with (
            running_sidecar(told, site.directory) as sidecar,
            client_of(sidecar, site.token(), believes_old) as client,
            client_of(sidecar, site.token(), believes_new) as later,
        ):
            if workers > 1:
                await all_ready(site, sidecar, workers)
            call = await opened(client.begin())
            old.certificate.write_bytes(new.certificate.read_bytes())
            old.key.write_bytes(new.key.read_bytes())
            await reload(sidecar, site.directory, told)
            assert said(sidecar, "the new settings are in force")

            async def is_served() -> bool:
                return (await later.ask()).code is OK

            await until_async(is_served, 20)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(traffic.run(later))
                closed = {"name": "closed", "path": CONNECT, "scopes": ["nobody-has-it"]}
                await reload(sidecar, site.directory, {**told, "routes": [closed]})

                async def is_closed() -> bool:
                    async with client_of(sidecar, site.token(), believes_new) as anew:
                        return (await anew.ask()).code is grpc.StatusCode.PERMISSION_DENIED

                await until_async(is_closed, 20)
                await asyncio.sleep(0.5)
                traffic.is_over = True
            # A call that is on its way when its listener closes may end with CANCELLED.
            expected = {OK, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.CANCELLED}
            assert set(traffic.codes) <= expected | {grpc.StatusCode.UNAVAILABLE}, traffic.codes

            await call.write(b"2")
            assert await call.read() == b"2"
            await call.done_writing()
            assert (await end_of(call)).code is OK


@each_number_of_workers
async def test_sigterm_lets_calls_end_and_cuts_the_rest(site: Site, workers: int) -> None:
    await site.enable()
    async with grpc_upstream() as upstream:
        told = settings(site, upstream, workers=workers, listen=listen(0.2, shutdown_seconds=3))
        async with (
            running_sidecar(told, site.directory) as sidecar,
            client_of(sidecar, site.token()) as client,
            client_of(sidecar, site.token()) as another,
        ):
            if workers > 1:
                await all_ready(site, sidecar, workers)
            ends, stays = await opened(client.begin()), await opened(another.begin())

            sidecar.process.send_signal(signal.SIGTERM)
            await until(lambda: said(sidecar, "ending: requests in flight may finish"))
            await ends.write(b"2")
            assert await ends.read() == b"2"
            await ends.done_writing()
            assert (await end_of(ends)).code is OK

            ended = await asyncio.wait_for(end_of(stays), 20)
            assert ended.code is grpc.StatusCode.UNAVAILABLE
            assert await asyncio.wait_for(sidecar.process.wait(), 20) == 0


async def test_a_path_that_is_no_text_harms_nobody(site: Site) -> None:
    await site.enable()
    async with (
        grpc_upstream() as upstream,
        running_sidecar(settings(site, upstream), site.directory) as sidecar,
        client_of(sidecar, site.token()) as client,
    ):
        call = await opened(client.begin())
        await raw_call(sidecar.urls["grpc"], b"/\xff")
        async with client_of(sidecar, site.token()) as anew:

            async def is_served() -> bool:
                return (await anew.ask()).code is OK

            await until_async(is_served, 20)
        await call.write(b"2")
        assert await call.read() == b"2"
        call.cancel()
        assert said(sidecar, "another one takes its place")
        assert not [line for line in sidecar.output if not line.startswith("{")], "all is our log"
