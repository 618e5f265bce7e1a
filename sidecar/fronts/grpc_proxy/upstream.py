"""Upstream: one channel for all calls, and telling its failures from its answers."""

import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from sidecar.fronts.grpc_proxy.metadata import Metadata
from sidecar.ports import UpstreamError

Call = grpc.aio.StreamStreamCall[bytes, bytes]

_FIRST_BACKOFF_MS, _LONGEST_BACKOFF_MS = 100, 1000
_MAX_METADATA_OCTETS = 64 * 1024

# What the library says by itself, not upstream. It names addresses and system errors, and has no
# other mark than its words: tests/fronts/grpc_proxy/test_upstream.py sees when an upgrade changes
# them.
_OF_THE_LIBRARY = re.compile(
    r"Stream removed \(|failed to connect to all addresses|errors resolving |"
    r"DNS resolution failed|empty address list|Cancelling all calls|GOAWAY received"
)
_TOO_LARGE = re.compile(r"essage larger than max")
_UNREACHABLE = re.compile(r"failed to connect|resol|empty address list")
_HANDSHAKE = re.compile(r"andshake|SSL_ERROR|CERTIFICATE|erification")


@dataclass(frozen=True, slots=True)
class Authorities:
    """PEM of whom to trust, and of our own certificate where upstream asks for one.

    ``name`` is what upstream's certificate has to bear, where it is not the target's host.
    """

    roots: bytes
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """Where upstream is (``host:port``) and how it is called; times in seconds.

    ``keepalive`` is how often an otherwise silent connection is probed. Servers end a connection
    that is probed more often than they permit (``too_many_pings``): grpc-go by default more often
    than every 5 minutes.
    """

    target: str
    authorities: Authorities | None = None
    max_message_octets: int = 18 * 1024 * 1024
    connect_timeout: float = 5.0
    keepalive: float = 310.0


class Upstream:
    """The channel, open while in its block."""

    def __init__(self, policy: UpstreamPolicy) -> None:
        self._policy = policy
        self._channel: grpc.aio.Channel

    @property
    def target(self) -> str:
        """Host and port of upstream."""
        return self._policy.target

    async def __aenter__(self) -> Self:
        policy, options = self._policy, _options(self._policy)
        if policy.authorities is None:
            self._channel = grpc.aio.insecure_channel(policy.target, options)
        else:
            credentials = grpc.ssl_channel_credentials(
                policy.authorities.roots, policy.authorities.key, policy.authorities.certificate
            )
            self._channel = grpc.aio.secure_channel(policy.target, credentials, options)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    def call(self, method: str, metadata: Metadata, timeout: float | None) -> Call:
        """Begin a call; what fails, fails when it is read."""
        begin: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        begin = self._channel.stream_stream(method)
        return begin(metadata=metadata, timeout=timeout)

    def failure_of(self, error: grpc.aio.AioRpcError) -> UpstreamError | None:
        """Return how upstream failed; None where it ended the call by itself, in its own words."""
        details = error.details() or ""
        if error.initial_metadata() or error.trailing_metadata():
            return None
        if not _OF_THE_LIBRARY.match(details) and not (
            error.code() is grpc.StatusCode.UNAVAILABLE
            and self._channel.get_state() is not grpc.ChannelConnectivity.READY
        ):
            return None
        if _UNREACHABLE.search(details):
            return UpstreamError.TLS if _HANDSHAKE.search(details) else UpstreamError.CONNECT
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return UpstreamError.RESET
        return UpstreamError.MALFORMED


async def send(call: Call, message: bytes) -> None:
    """Send a message; raises what ``call.write`` raises.

    That one, where upstream has ended the call already, puts an error of its own (INTERNAL) in the
    place of upstream's status, and of whatever upstream said that was not read yet. So the step
    inside it is taken, without what it does in case of failure.
    """
    await call.wait_for_connection()
    inner: Any = call
    await inner._cython_call.send_serialized_message(message)  # noqa: SLF001


def is_too_large(error: grpc.aio.AioRpcError) -> bool:
    """Say whether a message of upstream's was larger than we take."""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and bool(
        _TOO_LARGE.search(error.details() or "")
    )


def message_options(max_message_octets: int) -> list[tuple[str, Any]]:
    """Return the library's limits for either side."""
    return [
        ("grpc.max_receive_message_length", max_message_octets),
        ("grpc.max_send_message_length", max_message_octets),
        # A token of 8 KiB, beside the rest: at its default the library refuses from 8 KiB on.
        ("grpc.max_metadata_size", _MAX_METADATA_OCTETS),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_OCTETS),
    ]


def _options(policy: UpstreamPolicy) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        *message_options(policy.max_message_octets),
        ("grpc.keepalive_time_ms", round(policy.keepalive * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        # Else a probe that upstream's network ate would be noticed only by TCP, after minutes.
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.initial_reconnect_backoff_ms", _FIRST_BACKOFF_MS),
        ("grpc.max_reconnect_backoff_ms", _LONGEST_BACKOFF_MS),
        ("grpc.min_reconnect_backoff_ms", round(policy.connect_timeout * 1000)),
        # Tokens go to upstream and nowhere else, whatever the environment names as a proxy.
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        # A generation's own connections, made with its own certificates.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if policy.authorities is not None and policy.authorities.name is not None:
        options.append(("grpc.ssl_target_name_override", policy.authorities.name))
    return options
