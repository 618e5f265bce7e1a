"""Doors: where requests come in. Each is an address and the front that translates there.

The process that stays holds the sockets of all of them; each generation, in each worker, opens its
fronts on them.
"""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sidecar.app.sockets import SharedPort, listening_socket
from sidecar.settings import Settings


class Front(Protocol):
    """What serves at a door.

    ``url`` is where it is, and it ``is_accepting`` until new connections go elsewhere.
    """

    url: str
    is_accepting: bool

    def dismiss(self) -> None:
        """Go on serving, and tell each client to come back on another connection."""

    async def stop_accepting(self) -> None:
        """Accept no more connections, and go on serving those that there are."""

    async def drain(self, seconds: float) -> None:
        """Accept no more connections, let requests in flight end, and cut the rest at the end."""


Opening = Callable[[], AbstractAsyncContextManager[Front]]
"""Opens a front until the block ends; raises OSError where its address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class Door:
    """An address, named as its section of the settings.

    ``binds_itself`` is true where the library that serves takes no socket but an address. Its
    socket is then only bound: it names the port, one for all workers.
    """

    name: str
    host: str
    port: int
    scheme: str = "http"
    backlog: int = 1024
    binds_itself: bool = False

    def url(self, at: socket.socket) -> str:
        """Return where clients reach it."""
        host, port = at.getsockname()[:2]
        return (
            f"{self.scheme}://[{host}]:{port}" if ":" in host else f"{self.scheme}://{host}:{port}"
        )


Sockets = Mapping[str, socket.socket]
"""The socket of each door, by its name."""


def doors_of(settings: Settings) -> tuple[Door, ...]:
    """Return the doors that these settings open, the main one first."""
    listen, ask, grpc = settings.listen, settings.forward_auth, settings.grpc
    doors = []
    if settings.upstream is not None:
        doors.append(Door("listen", listen.host, listen.port, _scheme(listen.tls), listen.backlog))
    if ask is not None:
        doors.append(Door("forward_auth", ask.host, ask.port, _scheme(ask.tls), ask.backlog))
    if grpc is not None:
        scheme = "grpc" if grpc.tls is None else "grpcs"
        doors.append(Door("grpc", grpc.host, grpc.port, scheme, binds_itself=True))
    envoy = settings.ext_authz
    if envoy is not None:
        scheme = "grpc" if envoy.tls is None else "grpcs"
        doors.append(Door("ext_authz", envoy.host, envoy.port, scheme, binds_itself=True))
    return tuple(doors)


def _scheme(tls: object) -> str:
    return "http" if tls is None else "https"


def close_all(sockets: Sockets) -> None:
    """Let go of these; duplicates stay open."""
    for each in sockets.values():
        each.close()


@contextmanager
def duplicates_of(sockets: Sockets) -> Iterator[Sockets]:
    """Give duplicates for one generation, until the block ends.

    One that never comes to listen does not close them, and a queue that nobody accepts from must
    not stay open.
    """
    with ExitStack() as stack:
        yield {name: stack.enter_context(closing(each.dup())) for name, each in sockets.items()}


class SharedDoors:
    """The sockets of all doors, for each of several workers."""

    def __init__(self, doors: tuple[Door, ...], workers: int) -> None:
        """Bind. Raises OSError where an address cannot be used."""
        self.workers = workers
        self._ports: dict[str, SharedPort] = {}
        try:
            for door in doors:
                self._ports[door.name] = SharedPort(door.host, door.port, workers)
        except OSError:
            self.close()
            raise

    def of_worker(self, number: int) -> Sockets:
        """Return what this worker listens on."""
        return {name: port.sockets[number] for name, port in self._ports.items()}

    def renew(self, number: int) -> None:
        """Give up this worker's sockets and their queues: until it listens the others get all."""
        for port in self._ports.values():
            port.renew(number)

    def close(self) -> None:
        """Let go of all ports."""
        for port in self._ports.values():
            port.close()


@contextmanager
def open_doors(doors: tuple[Door, ...]) -> Iterator[Sockets]:
    """Hold the sockets of one process that serves alone, until the block ends.

    Raises:
        OSError: an address cannot be listened on.
    """
    with ExitStack() as stack:
        yield {door.name: stack.enter_context(_socket_of(door)) for door in doors}


@contextmanager
def _socket_of(door: Door) -> Iterator[socket.socket]:
    if door.binds_itself:
        with closing(SharedPort(door.host, door.port, 1)) as port:
            yield port.sockets[0]
        return
    with listening_socket(door.host, door.port, door.backlog) as listener:
        yield listener
