"""Asking upstream, through aiohttp's client; its exceptions end here.

Bodies are neither inflated nor kept, redirects are the client's to follow, and nothing is added
to the request but the framing.
"""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import yarl
from typing_extensions import override

from sidecar.ports import UpstreamError


class UpstreamFailed(Exception):
    """Upstream did not answer, or not in HTTP."""

    def __init__(self, error: UpstreamError, detail: str) -> None:
        super().__init__(error, detail)
        self.error = error
        self.detail = detail


@dataclass(frozen=True, slots=True)
class UpstreamPolicy:
    """Where upstream is and how long it may take; times in seconds.

    ``url`` is scheme and authority alone. ``first_byte_timeout`` runs from the request's last octet
    to the answer's head, ``idle_timeout`` between two pieces of its body. ``tls`` and
    ``server_name`` are for an https upstream.
    """

    url: str
    connect_timeout: float = 5.0
    first_byte_timeout: float = 75.0
    idle_timeout: float = 300.0
    max_connections: int = 1000
    max_head_bytes: int = 65536
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


class Upstream:
    """The upstream's connections, kept alive between ``async with`` and its end."""

    def __init__(self, policy: UpstreamPolicy) -> None:
        self.policy = policy
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        policy = self.policy
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=policy.max_connections, ssl=True if policy.tls is None else policy.tls
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=policy.connect_timeout,
                sock_read=policy.first_byte_timeout,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            auto_decompress=False,
            trust_env=False,
            max_line_size=policy.max_head_bytes,
            max_field_size=policy.max_head_bytes,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        body: AsyncIterator[bytes] | None,
    ) -> "Answer":
        """Send a request and return upstream's answer, its body still to come.

        ``target`` is sent as it is, octet for octet. An exception of ``body`` breaks the request
        off, so that upstream does not take the part for the whole.

        Raises:
            UpstreamFailed: there is no answer.
        """
        assert self._session is not None, "inside `async with` only"  # noqa: S101
        url = yarl.URL(self.policy.url + target, encoded=True)
        try:
            response = await self._session.request(
                method,
                url,
                headers=_one_spelling(fields),
                data=body,
                allow_redirects=False,
                server_hostname=self.policy.server_name,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(error) from None
        return Answer(response, self.policy.idle_timeout)


class Answer:
    """Upstream's answer: its head, and its body piece by piece."""

    def __init__(self, response: aiohttp.ClientResponse, idle_seconds: float) -> None:
        self._response = response
        self.status = response.status
        self.reason = response.reason or ""
        self.raw_headers = response.raw_headers
        self.connection = response.connection
        self._protocol = response._protocol  # noqa: SLF001 - it outlives its connection
        names = {name.lower() for name, _ in self.raw_headers}
        self._ends_with_connection = names.isdisjoint((b"content-length", b"transfer-encoding"))
        if self.status < 200 and self._protocol is not None:
            # Switched, or said to be: whatever comes next is no answer to another request.
            self._protocol.force_close()
        if self.connection is not None and self.connection.protocol is not None:
            # From here on the clock runs between two pieces, not up to the first octet.
            self.connection.protocol.read_timeout = idle_seconds
            self.connection.protocol.start_timeout()

    def at_hand(self) -> bytes:
        """Return what has come of the body already, without waiting."""
        return self._response.content.read_nowait()

    async def more(self) -> bytes:
        """Wait for the next piece of the body; empty at its end.

        Raises:
            UpstreamFailed: the body broke off, or nothing came for ``idle_timeout``.
        """
        try:
            piece = await self._response.content.readany()
        except TimeoutError:
            raise UpstreamFailed(UpstreamError.IDLE_TIMEOUT, "no body for too long") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamFailed(UpstreamError.RESET, type(error).__name__) from None
        if not piece and self._ends_with_connection and self._was_reset():
            # aiohttp takes a reset for the end of a body that ends with its connection.
            raise UpstreamFailed(UpstreamError.RESET, "reset before the end")
        return piece

    def _was_reset(self) -> bool:
        return self._protocol is not None and isinstance(self._protocol.exception(), OSError)

    def release(self) -> None:
        """Give the connection back for another request, if all of the answer was read."""
        self._response.release()

    def close(self) -> None:
        """Drop the connection and whatever of the answer is still to come."""
        self._response.close()


class _Connector(aiohttp.TCPConnector):
    """aiohttp's pool, which also looks whether an idle connection has something to say.

    An answer that nobody asked for would be taken for the answer to the next request.
    """

    @override
    async def _get(self, key: Any, traces: Any) -> Any:
        while (found := await super()._get(key, traces)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None


def _one_spelling(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Give all fields of one name the spelling of the first.

    aiohttp's client takes a second field for another one only when it is spelled alike; else it
    keeps the last one and drops the rest.
    """
    first: dict[str, str] = {}
    return [(first.setdefault(name.lower(), name), value) for name, value in fields]


def _failed(error: Exception) -> UpstreamFailed:
    # Names of exceptions, not their texts: those quote what upstream sent.
    name = type(error).__name__
    match error:
        case aiohttp.ConnectionTimeoutError():
            return UpstreamFailed(UpstreamError.CONNECT_TIMEOUT, name)
        case TimeoutError():
            return UpstreamFailed(UpstreamError.FIRST_BYTE_TIMEOUT, name)
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return UpstreamFailed(UpstreamError.TLS, name)
        case aiohttp.ClientConnectorError():
            return UpstreamFailed(UpstreamError.CONNECT, name)
        case aiohttp.ClientConnectionError() | OSError():
            return UpstreamFailed(UpstreamError.RESET, name)
        case _:
            return UpstreamFailed(UpstreamError.MALFORMED, name)
