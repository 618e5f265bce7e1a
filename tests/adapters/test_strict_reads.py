"""``consistency: strict``: each decision on what Redis says now, for one round trip per turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.redis_push import connection_for
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.authorize import Authorizer
from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.routes import Routes
from sidecar.core.verified_tokens import VerifiedTokens
from sidecar.demo.redis_server import RedisServer
from sidecar.rules import Rules
from tests.chaos.tcp_proxy import TcpProxy
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until
from tests.fakes.world import ISSUERS, REALM, ROUTES, World

# The heart beats so seldom that, once live, nothing is sent that no decision asked for.
STRICT = ViewPolicy(
    max_staleness=60.0, timeout=10.0, read_timeout=10.0, heartbeat=20.0, strict=True
)
MANY = 100


class Asker:
    """Decides for subjects ``robot-0`` and so on, on what is in a real Redis."""

    def __init__(self, view: RedisAccountView) -> None:
        self._world = World()
        self._tokens: dict[int, str] = {}
        self._authorizer = Authorizer(
            Rules(Routes(ROUTES), {each.name: each for each in ISSUERS}, strict=True),
            self._world.keys,
            view,
            self._world.clock,
            VerifiedTokens(MANY),
            RecordingObserver(),
        )

    async def ask(self, number: int) -> Decision:
        token = self._tokens.get(number)
        if token is None:
            token = self._world.sign(sub=f"robot-{number}", jti=f"token-{number}")
            self._tokens[number] = token
        return await self._authorizer.authorize(self._world.request(token=token))

    async def ask_together(self) -> list[Decision]:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self.ask(number)) for number in range(MANY)]
        return [each.result() for each in asked]


@asynccontextmanager
async def asker_on(port: int) -> AsyncIterator[Asker]:
    view = RedisAccountView(
        lambda: connection_for(f"redis://127.0.0.1:{port}/0", {}),
        AccountKeys(),
        STRICT,
        SystemClock(),
        RecordingObserver(),
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(view.run())
        await until(view.is_live)
        yield Asker(view)
        run.cancel()


async def write(redis: RedisServer, number: int, status: str) -> None:
    await redis.command("HSET", f"sidecar:account:{REALM}:robot-{number}", "status", status)


async def hash_reads(redis: RedisServer) -> int:
    stats: Any = await redis.command("INFO", "commandstats")
    return int(stats["cmdstat_hgetall"]["calls"]) if "cmdstat_hgetall" in stats else 0


async def test_a_hundred_decisions_at_once_share_one_round_trip(redis: RedisServer) -> None:
    for number in range(MANY):
        await write(redis, number, "inactive" if number % 2 else "active")
    async with TcpProxy(redis.port) as proxy, asker_on(proxy.port) as asker:
        await asker.ask_together()  # signatures are verified now: each takes a turn of its own
        pieces, reads = proxy.pieces_up, await hash_reads(redis)

        decisions = await asker.ask_together()

        assert proxy.pieces_up - pieces == 1
        assert await hash_reads(redis) - reads == 2 * MANY  # the account and the realm of each
    granted = [isinstance(decision, Grant) for decision in decisions]
    assert granted == [number % 2 == 0 for number in range(MANY)]


async def test_a_decision_that_begins_after_a_write_was_answered_sees_it(
    redis: RedisServer,
) -> None:
    """Linearizable: also while others ask for the same subject all the time."""
    wrong: list[tuple[str, Decision]] = []
    async with TcpProxy(redis.port) as proxy, asker_on(proxy.port) as asker:
        proxy.delay = 0.001  # so that answers from before the write are on the way
        async with asyncio.TaskGroup() as tasks:

            async def keep_asking() -> None:
                while True:
                    await asker.ask(0)

            others = [tasks.create_task(keep_asking()) for _ in range(5)]
            for turn in range(100):
                status = "inactive" if turn % 2 else "active"
                await write(redis, 0, status)
                decision = await asker.ask(0)
                if not _fits(decision, status):
                    wrong.append((status, decision))
            for other in others:
                other.cancel()

    assert wrong == []


def _fits(decision: Decision, status: str) -> bool:
    if status == "active":
        return isinstance(decision, Grant)
    return isinstance(decision, Deny) and decision.reason is DenyReason.SUBJECT_INACTIVE
