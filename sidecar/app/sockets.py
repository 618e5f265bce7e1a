"""The sockets that are listened on. They outlive whoever accepts on them.

A socket that is closed resets the connections that wait in its queue. So the process that stays
holds them, and what serves gets duplicates: in a reload, or when a worker is killed, the queue is
still there and the successor takes it over.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listening_socket(host: str, port: int, backlog: int) -> Iterator[socket.socket]:
    """Listen on ``port`` (0: one that the system chooses) until the block ends.

    Raises:
        OSError: the address cannot be listened on.
    """
    with socket.create_server((host, port), family=_family(host), backlog=backlog) as listener:
        # Duplicates share this, and one made of a blocking socket would make all of them block.
        listener.setblocking(False)  # noqa: FBT003
        yield listener


class SharedPort:
    """One socket a worker, all on one port: the kernel deals the connections out.

    They are bound, and listened on by the first worker that gets them.
    """

    def __init__(self, host: str, port: int, workers: int) -> None:
        """Bind. Raises OSError where the address cannot be used."""
        with _bound(host, port, shared=False) as probe:
            # Somebody who has it already, shared, would get a part of the requests; now nobody has.
            port = probe.getsockname()[1] if port == 0 else port
        self._host = host
        self.port = port
        self.sockets: list[socket.socket] = []
        try:
            for _ in range(workers):
                self.sockets.append(_bound(host, port, shared=True))
        except OSError:
            self.close()
            raise

    def renew(self, number: int) -> None:
        """Give up this worker's socket and its queue: until it listens again the others get all."""
        self.sockets[number].close()
        self.sockets[number] = _bound(self._host, self.port, shared=True)

    def close(self) -> None:
        """Let go of the port."""
        for each in self.sockets:
            each.close()


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(_family(host), socket.SOCK_STREAM)
    bound.setblocking(False)  # noqa: FBT003
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
