"""The gRPC proxy listening on loopback, among fakes; an upstream that does what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from sidecar.core.routes import Requirement, Route
from sidecar.fronts.grpc_listener import Address
from sidecar.fronts.grpc_proxy.handler import Handler, Parts
from sidecar.fronts.grpc_proxy.metadata import MetadataRules, Metadatum
from sidecar.fronts.grpc_proxy.server import GrpcProxy, ListenPolicy, listening
from sidecar.fronts.grpc_proxy.upstream import Upstream, UpstreamPolicy, send
from sidecar.ports import Change, CutReason
from sidecar.streams import Streams
from tests.fakes.front import IDENTITY
from tests.fakes.world import World

ECHO = "/test.Echo/Any"
CONNECT = "/protobuf.Transport/Connect"
_POST = frozenset({"POST"})

ROUTES = (
    Route("open", "/test.Open/**", _POST, Requirement(bearer=False)),
    Route("write", "/test.Write/**", _POST, Requirement(scopes=frozenset({"write"}))),
    Route("echo", "/test.Echo/**", _POST),
    Route("connect", "/protobuf.Transport/**", _POST, Requirement(own_credential=True)),
)


@dataclass
class Conversation:
    """One call as upstream sees it: what came, and when it ended."""

    context: grpc.aio.ServicerContext[bytes, bytes]
    method: str
    metadata: tuple[Metadatum, ...]
    received: list[bytes] = field(default_factory=list)
    half_closed: bool = False
    cancelled: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def values(self, name: str) -> list[str | bytes]:
        return [value for each, value in self.metadata if each == name]

    async def read(self) -> bytes | None:
        """Return the next message, or None after the last one."""
        message = await self.context.read()
        if not isinstance(message, bytes):
            await self.context.read()  # of a cancelled call it says the same, a bit earlier
            self.half_closed = True
            return None
        self.received.append(message)
        return message

    async def say(self, message: bytes) -> None:
        await self.context.write(message)


Talk = Callable[[Conversation], Awaitable[None]]


async def echo(conversation: Conversation) -> None:
    """Send back each message as it comes."""
    while (message := await conversation.read()) is not None:
        await conversation.say(message)


async def hang(conversation: Conversation) -> None:
    """Say one thing and then nothing, until cancelled."""
    await conversation.say(b"hello")
    await asyncio.Event().wait()


@dataclass
class GrpcUpstream(grpc.GenericRpcHandler):
    """``target`` is where it is; ``conversations`` holds every call."""

    talk: Talk
    target: str = ""
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def last(self) -> Conversation:
        return self.conversations[-1]

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.stream_stream_rpc_method_handler(
            partial(self._converse, handler_call_details.method)
        )

    async def _converse(self, method: str, requests: object, context: Any) -> None:
        del requests
        conversation = Conversation(context, method, tuple(context.invocation_metadata()))
        self.conversations.append(conversation)
        try:
            await self.talk(conversation)
        except asyncio.CancelledError:
            conversation.cancelled = True
            raise
        finally:
            conversation.ended.set()


@asynccontextmanager
async def grpc_upstream(
    talk: Talk = echo,
    *,
    credentials: grpc.ServerCredentials | None = None,
    port: int = 0,
    options: Iterable[tuple[str, Any]] = (("grpc.max_receive_message_length", -1),),
) -> AsyncIterator[GrpcUpstream]:
    upstream = GrpcUpstream(talk)
    server = grpc.aio.server(handlers=(upstream,), options=list(options))
    address = f"127.0.0.1:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    upstream.target = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield upstream
    finally:
        await server.stop(None)


@dataclass
class Answer:
    """All that a client sees of a call that has ended."""

    code: grpc.StatusCode
    details: str
    initial: list[Metadatum]
    trailing: list[Metadatum]
    messages: list[bytes]

    def trailer(self, name: str) -> str | bytes | None:
        return dict(self.trailing).get(name)


Call = grpc.aio.StreamStreamCall[bytes, bytes]


@dataclass
class GrpcFront:
    """A running front, and a client's channel to it."""

    world: World
    streams: Streams
    handler: Handler
    proxy: GrpcProxy
    channel: grpc.aio.Channel

    def bearer(self, **claims: Any) -> Metadatum:
        return ("authorization", f"Bearer {self.world.sign(**claims)}")

    def begin(
        self,
        method: str = ECHO,
        metadata: Iterable[Metadatum] | None = None,
        timeout: float | None = None,
    ) -> Call:
        """Begin a call, with a good token where no metadata are given."""
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        begin = self.channel.stream_stream(method)
        told = (self.bearer(),) if metadata is None else tuple(metadata)
        return begin(metadata=told, timeout=timeout)

    async def ask(
        self,
        *messages: bytes,
        method: str = ECHO,
        metadata: Iterable[Metadatum] | None = None,
        more: Iterable[Metadatum] = (),
        timeout: float | None = 20.0,  # noqa: ASYNC109
    ) -> Answer:
        """Make a whole call; ``more`` goes with a good token."""
        told = (self.bearer(), *more) if metadata is None else metadata
        call = self.begin(method, told, timeout)
        try:
            for message in messages:
                await send(call, message)
            await call.done_writing()
        except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
            pass  # it was ended before it was sent
        return await end_of(call)

    def cut(self, reason: CutReason = CutReason.REVOKED) -> int:
        return self.streams.cut(self.streams.of(Change()), reason)


async def end_of(call: Call) -> Answer:
    """Read a call to its end."""
    messages: list[bytes] = []
    try:
        while isinstance(message := await call.read(), bytes):
            messages.append(message)
    except grpc.aio.AioRpcError:
        pass
    return Answer(
        await call.code(),
        await call.details() or "",
        list(await call.initial_metadata()),
        list(await call.trailing_metadata()),
        messages,
    )


def channel_to(
    url: str, credentials: grpc.ChannelCredentials | None = None, *options: tuple[str, Any]
) -> grpc.aio.Channel:
    """Return a client's channel, of any message size and with connections of its own."""
    target = url.partition("://")[2]
    told = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
        *options,
    ]
    if credentials is None:
        return grpc.aio.insecure_channel(target, told)
    told.append(("grpc.ssl_target_name_override", "localhost"))
    return grpc.aio.secure_channel(target, credentials, told)


@asynccontextmanager
async def running_grpc_front(
    target: str,
    *,
    world: World | None = None,
    rules: MetadataRules | None = None,
    listen: ListenPolicy | None = None,
    upstream: UpstreamPolicy | None = None,
    client: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[GrpcFront]:
    world = world or World(routes=ROUTES)
    streams = Streams(world.observer)
    policy = replace(upstream or UpstreamPolicy(""), target=target)
    listen = listen or ListenPolicy(Address("127.0.0.1", 0))
    async with Upstream(policy) as channel:
        parts = Parts(
            world.authorizer,
            streams,
            channel,
            rules or MetadataRules(IDENTITY, traces=world.tracer is not None),
            world.clock,
            world.observer,
            scheme="http" if listen.address.certificate is None else "https",
            tracer=world.tracer,
        )
        handler = Handler(parts)
        async with (
            listening(handler, listen) as proxy,
            channel_to(proxy.url, client) as to_front,
        ):
            yield GrpcFront(world, streams, handler, proxy, to_front)
