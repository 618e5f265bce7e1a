"""Chaos on the real thing: what is broken, and what holds all the same.

For every fault: the subject that lost its account is granted nothing later than ``max_staleness``
after that; nobody is granted anything while nothing can be proven; whoever cannot be judged gets
503 with Retry-After, never a 500, a reset or silence; the open event stream of the subject is cut;
and it all comes back by itself. ``CHAOS_ROUNDS`` repeats every fault (``make chaos-long``). Each
bears the code of its row in the threat matrix.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from tests.chaos.arena import LEAVING, MAX_STALENESS, STAYING, Arena, arena, key
from tests.chaos.figures import FIGURES
from tests.fakes.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
AWAY_SECONDS = 1.5  # three leases


async def killed_and_back_with_data(arena: Arena) -> None:
    """R2."""
    await arena.disable()
    await arena.redis.kill()
    await arena.blind_for(AWAY_SECONDS)
    await arena.redis.restart()


async def killed_and_back_empty(arena: Arena) -> None:
    """R2 and R3."""
    await arena.redis.kill()
    arena.gone_at = arena.now
    await arena.blind_for(AWAY_SECONDS)
    await arena.redis.restart()
    await asyncio.sleep(0.3)  # so that the empty one is met
    await arena.enable(STAYING)


async def stopped_for_five_seconds(arena: Arena) -> None:
    """R5."""
    await arena.disable()
    arena.redis.pause()
    await arena.blind_for(5.0)
    arena.redis.resume()


async def black_hole(arena: Arena) -> None:
    """R5."""
    arena.proxy.black_hole()
    began = arena.now
    await arena.disable()
    await arena.blind_for(AWAY_SECONDS)
    arena.blind = (began, arena.now)
    arena.proxy.heal()


async def stalled(arena: Arena) -> None:
    """R7."""
    arena.proxy.stall()
    began = arena.now
    await arena.disable()
    await arena.blind_for(AWAY_SECONDS)
    arena.blind = (began, arena.now)
    arena.proxy.heal()


async def delayed(arena: Arena) -> None:
    """R6, by a round trip of 40 ms."""
    arena.proxy.delay = 0.02
    await arena.disable()
    await asyncio.sleep(1.0)
    arena.proxy.heal()


async def connection_reset(arena: Arena) -> None:
    """R7."""
    arena.proxy.cut()
    await arena.disable()


async def connection_half_closed(arena: Arena) -> None:
    """R7."""
    arena.proxy.half_close()
    await arena.disable()


async def clients_killed(arena: Arena) -> None:
    """R8: the write falls into the gap.

    Nobody hears of it, and the new connection has to read it.
    """
    await arena.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await arena.disable()
    await arena.redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def flushed(arena: Arena) -> None:
    """R3."""
    await arena.redis.command("FLUSHALL")
    arena.gone_at = arena.now
    await asyncio.sleep(0.3)
    await arena.enable(STAYING)


async def evicted(arena: Arena) -> None:
    """R10: Redis throws accounts out to make room; they are unknown then, not remembered."""
    used = (await info(arena, "memory"))["used_memory"]
    await arena.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await arena.redis.command("CONFIG", "SET", "maxmemory", int(used) + 256 * 1024)
    for number in range(2000):
        await arena.redis.command("SET", f"ballast:{number}", "x" * 8192)
        if await arena.redis.command("EXISTS", key(LEAVING)) == 0:
            break
    else:
        pytest.fail("nothing was evicted")
    arena.gone_at = arena.now
    await arena.redis.command("CONFIG", "SET", "maxmemory", 0)
    await arena.redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await arena.enable(STAYING)


async def output_buffer_overflow(arena: Arena) -> None:
    """R7: the server gives up on the client that it pushes to; the news was in what is lost."""
    await arena.redis.command("CONFIG", "SET", "client-output-buffer-limit", "normal 65536 65536 1")
    arena.proxy.stall()
    await arena.disable()
    many = [word for number in range(1000) for word in (f"sidecar:{number:08}" + "x" * 8192, "")]
    await arena.redis.command("MSET", *many)
    await arena.blind_for(0.8)
    assert int((await info(arena, "stats"))["client_output_buffer_limit_disconnections"]) > 0
    arena.proxy.heal()
    await arena.redis.command("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


async def out_of_memory(arena: Arena) -> None:
    """R11: writes are refused, so the account stays active; then there is room, and it does not."""
    await arena.redis.command("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(RedisError, match="maxmemory"):
        await arena.disable()
    await asyncio.sleep(1.0)
    await arena.redis.command("CONFIG", "SET", "maxmemory", 0)
    await arena.disable()


async def sidecar_stopped(arena: Arena) -> None:
    """D5: what waited for it meanwhile is not judged by what it knew before."""
    os.kill(arena.load.pid, signal.SIGSTOP)
    try:
        await arena.disable()
        await arena.blind_for(2 * MAX_STALENESS)
    finally:
        os.kill(arena.load.pid, signal.SIGCONT)


async def info(arena: Arena, section: str) -> dict[str, str]:
    found = await arena.redis.command("INFO", section)
    assert isinstance(found, dict)
    return found


@dataclass(frozen=True, slots=True)
class Fault:
    """``forgets``: the data is lost, so that STAYING too is unknown until it is written anew."""

    strike: Callable[[Arena], Awaitable[None]]
    arguments: Sequence[str] = ()
    forgets: bool = False


FAULTS = (
    Fault(killed_and_back_with_data, ("--appendonly", "yes")),
    Fault(killed_and_back_empty, forgets=True),
    Fault(stopped_for_five_seconds),
    Fault(black_hole),
    Fault(stalled),
    Fault(delayed),
    Fault(connection_reset),
    Fault(connection_half_closed),
    Fault(clients_killed),
    Fault(flushed, forgets=True),
    Fault(evicted, forgets=True),
    Fault(output_buffer_overflow),
    Fault(out_of_memory),
    Fault(sidecar_stopped),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.strike.__name__)
async def test_nothing_stale_is_granted_and_it_gets_well_by_itself(
    fault: Fault, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with arena(tmp_path, fault.arguments) as place, asyncio.TaskGroup() as tasks:
        for _ in range(ROUNDS):
            await place.begin(tasks)
            await fault.strike(place)
            place.back_at = place.now
            await place.end()
            name = fault.strike.__name__.replace("_", " ")
            request.config.stash[FIGURES].append(place.judge(name, forgets=fault.forgets))


async def test_the_faults_are_what_they_say(tmp_path: Path) -> None:
    """Without faults there is no 503 at all; so those that are counted are the faults' doing."""
    async with arena(tmp_path, ()) as place, asyncio.TaskGroup() as tasks:
        await place.begin(tasks)
        statuses: set[int] = set()
        for _ in range(10):  # a machine with much else to do may take half a second from anybody
            began = place.now
            await asyncio.sleep(0.5)
            statuses = {each.status for each in place.load.answers if each.sent > began}
            if statuses == {200}:
                break
        assert statuses == {200}
        await place.disable()
        await until(lambda: place.stream.ended is not None)
