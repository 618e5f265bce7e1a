"""Where the primary is: at the URL, or wherever the sentinels or the nodes of a Cluster say.

Those named in the URL are the *witnesses*. All of them are asked each time; more than half must
answer, and the answer of the newest configuration counts. A server that is alive but no longer the
primary answers PING for ever, so nobody relies on a connection alone: it is confirmed again and
again, and the lease of the account view ends with the last confirmation (``redis_accounts``).

A fail-over is decided by the sentinels or the Cluster among themselves, without asking us. What is
promised here: nothing is taken from a server once one reachable witness knows of the newer
configuration, or while fewer than a majority can be asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as NotConnected

from sidecar.settings.store_url import Address, FollowedUrl, read_followed_url

# Error replies of a server that is not, or not alone, the one to ask (MOVED is an AskError, and
# MASTERDOWN a ClusterDownError).
NOT_THE_PRIMARY = (AskError, ClusterDownError, ReadOnlyError, TryAgainError)


@dataclass(frozen=True, slots=True)
class Named:
    """What a witness says. ``address`` is None when it holds the primary for down."""

    epoch: int
    address: Address | None


class Witnesses:
    """Asks all that are named in the URL where the primary is."""

    def __init__(
        self, clients: Sequence[Redis], ask: Callable[[Redis], Awaitable[Named | None]]
    ) -> None:
        self._clients = clients
        self._ask = ask

    async def find(self) -> Address:
        """Return the primary's address.

        Raises:
            redis.exceptions.ConnectionError: no majority answered, or it is down or in dispute.
        """
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(self._hear(client)) for client in self._clients]
        heard = [named for named in (each.result() for each in asking) if named is not None]
        if 2 * len(heard) <= len(self._clients):
            raise NotConnected(
                f"{len(heard)} of {len(self._clients)} named in accounts.url say where the "
                "primary is; more than half are needed"
            )
        newest = max(named.epoch for named in heard)
        addresses = {named.address for named in heard if named.epoch == newest}
        address = addresses.pop()
        if addresses or address is None:
            raise NotConnected("the primary is down, or which it is is in dispute")
        return address

    async def rest(self) -> None:
        """Close the connections to them; the next question opens new ones."""
        for client in self._clients:
            await client.connection_pool.disconnect(inuse_connections=False)

    async def _hear(self, client: Redis) -> Named | None:
        try:
            return await self._ask(client)
        except (RedisError, OSError, ValueError, LookupError, TypeError, AttributeError):
            return None


class Following:
    """A connection that goes where the primary is, and can say whether that is still so."""

    def __init__(self, *, witnesses: Witnesses, **options: Any) -> None:
        self._witnesses = witnesses
        super().__init__(**options)

    async def check_named(self) -> None:
        """Check that this is still where the primary is.

        Raises:
            redis.exceptions.ConnectionError: it is not, or nobody knows.
        """
        mine: Any = self
        named = await self._witnesses.find()
        if named != (mine.host, mine.port):
            raise NotConnected(f"the primary is {named[0]}:{named[1]} now")

    async def connect(self) -> None:
        mine: Any = self
        if mine.is_connected:
            # A pool hands out what is open; meanwhile the primary may be another.
            try:
                await self.check_named()
            except NotConnected:
                await mine.disconnect()
        await super().connect()  # type: ignore[misc]

    async def _connect(self) -> None:
        mine: Any = self
        mine.host, mine.port = await self._witnesses.find()
        await super()._connect()  # type: ignore[misc]

    async def disconnect(self, *arguments: Any, **options: Any) -> None:
        await super().disconnect(*arguments, **options)  # type: ignore[misc]
        await self._witnesses.rest()

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        mine: Any = self
        await super().on_connect_check_health(check_health=check_health)  # type: ignore[misc]
        await mine.send_command("ROLE", check_health=False)
        role = await mine.read_response()
        if role[0] not in (b"master", "master"):
            raise NotConnected(f"{mine.host}:{mine.port} is no primary")

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        mine: Any = self
        try:
            return await super().read_response(*arguments, **options)  # type: ignore[misc]
        except NOT_THE_PRIMARY as error:
            await mine.disconnect(nowait=True)
            raise NotConnected(f"this is not the primary: {error}") from None


class FollowingConnection(Following, Connection):
    """Follows over TCP."""


class FollowingTlsConnection(Following, SSLConnection):
    """Follows over TLS."""


def pool_for(
    url: str, options: Mapping[str, Any], prefix: str, patience: float, **common: Any
) -> ConnectionPool:
    """Return a pool of connections to the primary of ``url``, none of them open yet.

    ``patience`` is how many seconds a witness may take to answer.
    """
    common = {
        **options,
        **common,
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "maint_notifications_config": None,
    }
    followed = read_followed_url(url)
    if followed is None:
        return ConnectionPool.from_url(url, **common)
    witnesses = _witnesses(followed, options, prefix, patience)
    if not followed.service and followed.password is not None:
        # The nodes of a Cluster are witnesses and servers in one.
        common = {"username": followed.username, "password": followed.password, **common}
    return ConnectionPool(
        connection_class=FollowingTlsConnection if followed.tls else FollowingConnection,
        witnesses=witnesses,
        db=followed.database,
        **common,
    )


def _witnesses(
    followed: FollowedUrl, options: Mapping[str, Any], prefix: str, patience: float
) -> Witnesses:
    login: dict[str, Any] = {"username": followed.username, "password": followed.password}
    if followed.password is None:
        # The sentinels have users of their own; the nodes of a Cluster have the accounts' user.
        login = {} if followed.service else {n: options.get(n) for n in ("username", "password")}
    login |= {name: value for name, value in options.items() if name.startswith("ssl_")}
    clients = [
        Redis(
            host=host,
            port=port,
            ssl=followed.tls,
            protocol=2,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
            **login,
        )
        for host, port in followed.hosts
    ]
    if followed.service:
        return Witnesses(clients, lambda client: ask_sentinel(client, followed.service))
    slot = key_slot(prefix.encode())
    return Witnesses(clients, lambda client: ask_node(client, slot))


async def ask_sentinel(client: Redis, service: str) -> Named:
    """Ask a sentinel for the primary of ``service``."""
    reply: Any = await client.execute_command("SENTINEL", "MASTER", service)  # type: ignore[no-untyped-call]
    fields = dict(zip(reply[::2], reply[1::2], strict=True))
    flags = set(fields[b"flags"].decode().split(","))
    is_down = flags & {"o_down", "failover_in_progress"}
    address = fields[b"ip"].decode(), int(fields[b"port"])
    return Named(int(fields[b"config-epoch"]), None if is_down else address)


async def ask_node(client: Redis, slot: int) -> Named | None:
    """Ask a node of a Cluster for the owner of ``slot``; None when it knows of none."""
    reply: Any = await client.execute_command("CLUSTER", "NODES")  # type: ignore[no-untyped-call]
    for line in reply.decode().splitlines():
        _, place, flags, _, _, _, epoch, _, *slots = line.split()
        if any(_holds(each, slot) for each in slots):
            host, _, port = place.partition("@")[0].rpartition(":")
            # A node that has never been met by another does not know its own address.
            own: str = client.connection_pool.connection_kwargs["host"]
            is_down = "fail" in flags.split(",")
            return Named(int(epoch), None if is_down else (host or own, int(port)))
    return None


def _holds(slots: str, slot: int) -> bool:
    if slots.startswith("["):
        return False  # a slot on its way: [5-<-node] or [5->-node]
    first, _, last = slots.partition("-")
    return int(first) <= slot <= int(last or first)
