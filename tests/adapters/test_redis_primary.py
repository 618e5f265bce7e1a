"""Who is believed about where the primary is. The real things: test_sentinel, test_cluster."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected
from typing_extensions import override

from sidecar.adapters.redis_primary import (
    FollowingConnection,
    FollowingTlsConnection,
    Named,
    Witnesses,
    ask_node,
    ask_sentinel,
    pool_for,
)

A, B = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


class Voice(Redis):
    """A witness that says one thing to everybody."""

    def __init__(self, reply: Any, host: str = "10.0.0.9") -> None:
        super().__init__(host=host)
        self.reply = reply

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        del args, options
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


async def find(*said: Named | Exception | None) -> Any:
    async def ask(client: Any) -> Named | None:
        return await client.execute_command()  # type: ignore[no-any-return]

    return await Witnesses([Voice(each) for each in said], ask).find()


OLD, NEW, DOWN = Named(3, A), Named(4, B), Named(3, None)
GONE = NotConnected("gone")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([OLD], A),
        ([OLD, OLD, OLD], A),
        ([OLD, OLD, GONE], A),
        ([OLD, OLD, NEW], B),
        ([OLD, GONE, NEW], B),
        ([DOWN, GONE, NEW], B),
        ([OLD, OLD, TimeoutError()], A),
    ],
)
async def test_the_newest_configuration_counts_if_a_majority_speaks(
    said: list[Named | Exception], expected: Any
) -> None:
    assert await find(*said) == expected


@pytest.mark.parametrize(
    "said",
    [
        [GONE],
        [OLD, GONE],
        [OLD, GONE, GONE],
        [NEW, GONE, None],
        [OLD, OLD, DOWN],  # one knows that it is down
        [OLD, OLD, Named(3, B)],  # a dispute
        [GONE, ValueError(), LookupError()],
    ],
)
async def test_else_nobody_knows(said: list[Named | Exception | None]) -> None:
    with pytest.raises(NotConnected):
        await find(*said)


def sentinel_reply(**changed: str) -> list[bytes]:
    fields = {"name": "main", "ip": A[0], "port": "6379", "flags": "master", "config-epoch": "7"}
    return [word.encode() for item in {**fields, **changed}.items() for word in item]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Named(7, A)),
        ({"flags": "s_down,master"}, Named(7, A)),
        ({"flags": "s_down,o_down,master"}, Named(7, None)),
        ({"flags": "master,failover_in_progress"}, Named(7, None)),
    ],
)
async def test_a_sentinel_names_the_primary_unless_most_hold_it_for_down(
    changed: dict[str, str], expected: Named
) -> None:
    assert await ask_sentinel(Voice(sentinel_reply(**changed)), "main") == expected


NODES = """\
aaa 10.0.0.1:6379@16379,one.example myself,master - 0 0 3 connected 0-99 200 [150->-bbb]
bbb 10.0.0.2:6379@16379 master - 0 0 4 connected 100-150
ccc 10.0.0.3:6379@16379 slave bbb 0 0 4 connected
ddd :6380@16380 master - 0 0 5 connected 300
eee 10.0.0.4:6379@16379 master,fail - 0 0 6 connected 400
fff 10.0.0.5:6379@16379 master,fail? - 0 0 7 connected 500
"""


@pytest.mark.parametrize(
    ("slot", "expected"),
    [
        (0, Named(3, A)),
        (99, Named(3, A)),
        (200, Named(3, A)),
        (150, Named(4, B)),
        (300, Named(5, ("10.0.0.9", 6380))),
        (400, Named(6, None)),
        (500, Named(7, ("10.0.0.5", 6379))),
        (201, None),
    ],
)
async def test_a_node_names_the_owner_of_the_slot(slot: int, expected: Named | None) -> None:
    assert await ask_node(Voice(NODES.encode()), slot) == expected


async def test_all_are_asked_at_once() -> None:
    present = asyncio.Barrier(3)

    async def ask(client: Redis) -> Named:
        del client
        await present.wait()
        return OLD

    async with asyncio.timeout(5):
        assert await Witnesses([Voice(None) for _ in range(3)], ask).find() == A


ACCOUNTS_USER = {"username": "sidecar", "password": "hunter2"}


def logins(url: str) -> tuple[Any, list[Any]]:
    """Return who we are to the servers, and to the witnesses."""
    pool = pool_for(url, ACCOUNTS_USER, "{a}:", 0.1)
    options = pool.connection_kwargs
    clients = options["witnesses"]._clients
    said = [each.connection_pool.connection_kwargs for each in clients]
    return (options["username"], options["password"]), [
        (each["host"], each["port"], each.get("username"), each.get("password")) for each in said
    ]


def test_sentinels_have_users_of_their_own() -> None:
    servers, sentinels = logins("redis+sentinel://eve:secret@a,b:1/main/0")
    assert servers == ("sidecar", "hunter2")
    assert sentinels == [("a", 26379, "eve", "secret"), ("b", 1, "eve", "secret")]
    assert logins("redis+sentinel://a/main/0")[1] == [("a", 26379, None, None)]


def test_the_nodes_of_a_cluster_are_asked_by_the_user_of_the_accounts() -> None:
    assert logins("redis+cluster://a")[1] == [("a", 6379, "sidecar", "hunter2")]
    pool = pool_for("redis+cluster://eve:secret@a", {}, "{a}:", 0.1)
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == (
        "eve",
        "secret",
    )


def test_tls_is_for_servers_and_witnesses(tmp_path: Any) -> None:
    certificate = {"ssl_ca_certs": str(tmp_path / "ca.pem")}
    pool = pool_for("rediss+sentinel://a/main/3", certificate, "a:", 0.1)

    assert pool.connection_class is FollowingTlsConnection
    assert pool.connection_kwargs["ssl_ca_certs"] == certificate["ssl_ca_certs"]
    assert pool.connection_kwargs["db"] == 3
    (client,) = pool.connection_kwargs["witnesses"]._clients
    assert client.connection_pool.connection_kwargs["ssl_ca_certs"] == certificate["ssl_ca_certs"]
    assert pool_for("redis+cluster://a", {}, "{a}:", 0.1).connection_class is FollowingConnection
