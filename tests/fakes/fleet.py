"""Sentinels and Cluster nodes of the real server, as child processes of a test."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from sidecar.demo.redis_server import RedisServer, free_port
from tests.fakes.waiting import until_async

SERVICE = "main"


class Sentinel(RedisServer):
    """Watches over one primary, and calls it down after half a second."""

    def __init__(self, primary: RedisServer, quorum: int) -> None:
        super().__init__(arguments=("--sentinel",))
        self._watched = primary.port
        self._quorum = quorum

    @override
    def _write_configuration(self, port: int) -> Path:
        lines = [
            "bind 127.0.0.1",
            f"port {port}",
            f"dir {self._home()}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._watched} {self._quorum}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        path = self._home() / "sentinel.conf"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path

    async def fields(self) -> dict[str, Any]:
        reply: Any = await self.command("SENTINEL", "MASTER", SERVICE)
        return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


@dataclass
class Watched:
    """A primary and a replica that three sentinels watch over."""

    primary: RedisServer
    replica: RedisServer
    sentinels: Sequence[Sentinel]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{places}/{SERVICE}/0"

    async def is_settled(self) -> bool:
        """Say whether all know of each other and have the data: a fail-over can be agreed on."""
        replication: Any = await self.replica.command("INFO", "replication")
        if "up" not in str(replication["master_link_status"]):
            return False
        for sentinel in self.sentinels:
            fields = await sentinel.fields()
            if int(fields["num-other-sentinels"]) != len(self.sentinels) - 1:
                return False
            if int(fields["num-slaves"]) != 1 or fields["flags"] != "master":
                return False
        return True


@asynccontextmanager
async def watched_redis() -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(RedisServer())
        follow = ("--replicaof", f"127.0.0.1 {primary.port}", "--repl-diskless-sync-delay", "0")
        replica = await stack.enter_async_context(RedisServer(arguments=follow))
        sentinels = [await stack.enter_async_context(Sentinel(primary, quorum=2)) for _ in range(3)]
        watched = Watched(primary, replica, sentinels)
        await until_async(watched.is_settled, 20.0)
        yield watched


@dataclass
class Cluster:
    """Primaries that share the slots, and perhaps replicas."""

    nodes: Sequence[RedisServer]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes)

    async def ids(self) -> list[str]:
        return [str(await each.command("CLUSTER", "MYID")) for each in self.nodes]

    async def is_settled(self) -> bool:
        for node in self.nodes:
            said = str(await node.command("CLUSTER", "INFO"))
            if "'ok'" not in said and "cluster_state:ok" not in said:
                return False
        return True


def _node() -> RedisServer:
    # The bus port must be one that there is: 10000 higher by default is past the end for some.
    return RedisServer(
        arguments=(
            "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
            "--cluster-port", str(free_port()), "--cluster-require-full-coverage", "no",
            "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
        )
    )  # fmt: skip


@asynccontextmanager
async def cluster(primaries: int, replicas_of_first: int = 0) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        count = primaries + replicas_of_first
        nodes = [await stack.enter_async_context(_node()) for _ in range(count)]
        share = 16384 // primaries
        for number, node in enumerate(nodes[:primaries]):
            last = 16383 if number == primaries - 1 else (number + 1) * share - 1
            await node.command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            await node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            bus = int(node._arguments[node._arguments.index("--cluster-port") + 1])
            await nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        made = Cluster(nodes)
        await until_async(made.is_settled, 20.0)
        first, *_ = await made.ids()
        for node in nodes[primaries:]:

            async def follows(node: RedisServer = node) -> bool:
                return "OK" in str(await node.command("CLUSTER", "REPLICATE", first))

            await until_async(follows, 20.0)
        yield made
