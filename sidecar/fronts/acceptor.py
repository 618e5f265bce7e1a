"""Taking connections off the queues that the kernel keeps for a listener.

By ourselves, and not by ``create_server``: the place of a connection has to be counted before its
TLS handshake and not after it, and event loops differ in what they do when there are no more
descriptors. uvloop's accepts and drops everything that waits, asyncio's logs a trace each time.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sidecar.core.connections import ConnectionRefusal
from sidecar.fronts.admission import Admission, Place

_MOST_AT_ONCE = 64  # then others have their turn
# Else the kernel keeps megabytes for each client that reads slowly, and a container's limit counts
# them. What is under way to a fast one is not bounded by it.
_UNSENT_BYTES = 128 * 1024
_RETRY_SECONDS = 0.25
_TLS_CLOSE_SECONDS = 2.0
_BUSY = b'{"message":"service unavailable, try again","error":"temporarily_unavailable"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
    b"Cache-Control: no-store\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BUSY), _BUSY)
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What becomes of an accepted connection: the protocol that gets it, and TLS before that.

    ``handshake_seconds`` bounds the TLS handshake, a client's trickle included.
    """

    protocol: Callable[[Place], asyncio.BaseProtocol]
    tls: ssl.SSLContext | None
    handshake_seconds: float


class Acceptor:
    """Accepts from ``queues``, which are listening and do not block; they are closed with it."""

    def __init__(
        self, queues: Sequence[socket.socket], greeting: Greeting, admission: Admission
    ) -> None:
        self._queues = list(queues)
        self._greeting = greeting
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._greeted: set[asyncio.Task[None]] = set()
        self._retries: dict[socket.socket, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Accept from now on."""
        for queue in self._queues:
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # what is accepted has it from its queue
                queue.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            self._loop.add_reader(queue.fileno(), self._accept, queue)

    async def stop(self) -> None:
        """Accept no more, once all who wait in a queue are taken: closing it would reset them."""
        queues, self._queues = self._queues, []
        for queue in queues:
            self._rest(queue)
            while self._accept_one(queue):
                pass
            queue.close()
        while self._greeted:
            await asyncio.wait(self._greeted)

    async def close(self) -> None:
        """Accept no more, and let go of all that has not come to its protocol yet."""
        queues, self._queues = self._queues, []
        for queue in queues:
            self._rest(queue)
            queue.close()
        for task in self._greeted:
            task.cancel()
        while self._greeted:
            await asyncio.wait(self._greeted)

    def _rest(self, queue: socket.socket) -> None:
        self._loop.remove_reader(queue.fileno())
        if queue in self._retries:
            self._retries.pop(queue).cancel()

    def _accept(self, queue: socket.socket) -> None:
        for _ in range(_MOST_AT_ONCE):
            if not self._accept_one(queue):
                return

    def _accept_one(self, queue: socket.socket) -> bool:
        """Take one connection; say whether there may be another."""
        try:
            connection, address = queue.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            self._wait_for_resources(queue, error)
            return False
        connection.setblocking(False)  # noqa: FBT003
        with suppress(OSError):  # it may have gone already
            # asyncio does so only for sockets that it made itself.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        place = self._admission.enter(address[0])
        if place is None:
            self._turn_away(connection)
        else:
            # No task group: a handshake that fails must not end the others.
            task = self._loop.create_task(self._greet(connection, place))
            self._greeted.add(task)
            task.add_done_callback(self._greeted.discard)
        return True

    async def _greet(self, connection: socket.socket, place: Place) -> None:
        tls = self._greeting.tls
        seconds = (
            {}
            if tls is None
            else {
                "ssl_handshake_timeout": self._greeting.handshake_seconds,
                "ssl_shutdown_timeout": _TLS_CLOSE_SECONDS,
            }
        )
        # The socket is the transport's now: to close it here would be to close it twice, and the
        # second time may be another one's of the same number.
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._greeting.protocol(place), connection, ssl=tls, **seconds
            )
        except OSError:  # TLS that fails or takes too long, or a client that has gone
            place.leave()
        except BaseException:
            place.leave()
            raise

    def _turn_away(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if self._greeting.tls is None:
                # It may be lost with the reset, where the request is here already. That says the
                # same.
                connection.send(_REFUSAL)

    def _wait_for_resources(self, queue: socket.socket, error: OSError) -> None:
        """Leave the queue alone for a while: it stays readable, and asking again would spin."""
        self._admission.refused(ConnectionRefusal.RESOURCES, str(error))
        self._loop.remove_reader(queue.fileno())
        if queue in self._queues:
            self._retries[queue] = self._loop.call_later(_RETRY_SECONDS, self._try_again, queue)

    def _try_again(self, queue: socket.socket) -> None:
        del self._retries[queue]
        self._loop.add_reader(queue.fileno(), self._accept, queue)


async def listening_queues(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Listen on each address of ``host``.

    Raises:
        OSError: one of them cannot be listened on.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    queues: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            queue = socket.create_server(address[:2], family=family, backlog=backlog)
            queues.append(queue)
            queue.setblocking(False)  # noqa: FBT003
    except OSError:
        for queue in queues:
            queue.close()
        raise
    return queues
