"""How many sidecars one Redis carries: measured, foretold, and simulated to ten thousand.

Measures a real server with real views and with crowds of connections, checks what smaller crowds
foretell against larger ones, and puts the measured costs into a model (``fleet_model``). Prints
the tables; ``--write FILE`` puts them into the marked block of a document as well. Four minutes.
"""

import argparse
import asyncio
import os
import platform
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from sidecar.demo.redis_server import RedisServer
from tests.bench.fleet_crowd import ACCOUNT, Crowd, Gauge, fan_out, measure_costs
from tests.bench.fleet_growth import Costs, Growth
from tests.bench.fleet_model import Fleet, Simulation
from tests.bench.fleet_real import Beats, Real, measure_real, memory_of_clients, paced
from tests.bench.fleet_storm import Storm
from tests.bench.fleet_tables import (
    ends_table,
    fleet_table,
    live_again,
    put,
    simulated_load,
    storm_table,
    table,
)

STEPS = (16, 256, 1000, 4000, 8000)
FORETOLD = (4000, 8000)
THREADED = (1000, 4000)
STORMS = (400, 1000, 2000, 4000)
_GIVE_UP = 20.0
_IDLE_LOAD = 0.3
_MOST_PACED = 1000
_WRITES = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What a crowd cost; bytes are those of Redis for one idle connection."""

    number: int
    costs: Costs
    written: Sequence[float]
    beats: Beats | None
    memory: int
    whole_memory: int


def measure_crowd(server: RedisServer, number: int, *, pace: bool) -> Measured:
    assert server.pid is not None
    gauge = Gauge(server.port, server.pid)
    gauge.client.hset(ACCOUNT, mapping={"status": "active"})
    before = int(gauge.info("memory")["used_memory"])
    with Crowd(server.port) as crowd:
        costs = measure_costs(gauge, crowd, number)
        whole = int(gauge.info("memory")["used_memory"]) - before
        _, written = fan_out(gauge, crowd, _WRITES)
        beats = paced(gauge, crowd, 3.0) if pace and number <= _MOST_PACED else None
        return Measured(number, costs, written, beats, memory_of_clients(gauge)[0], whole // number)


async def measure_steps(
    numbers: Sequence[int], *arguments: str, pace: bool = True
) -> list[Measured]:
    found = []
    for number in numbers:
        async with RedisServer(arguments=arguments) as server:
            # It blocks: nothing else is to run beside what is measured.
            found.append(await asyncio.to_thread(measure_crowd, server, number, pace=pace))
    return found


async def storms_table(growth: Growth) -> list[str]:
    """Run storms for real, each against a server of its own, beside what the model foretells."""
    rows = []
    for number in STORMS:
        async with RedisServer() as server:
            storm = Storm(server.port, number)
            live = await asyncio.to_thread(storm.run, _GIVE_UP)
        said = Simulation(Fleet(number), growth.at(number)).storm(0.0, _GIVE_UP)
        both = [
            f"{live_again(live, number, part)} ({live_again(said.live, number, part)})"
            for part in (0.25, 0.5, 0.99, 1.0)
        ]
        rows.append([f"{number:,}", *both, f"{storm.timeouts:,} ({said.dropped:,})"])
    head = ["connections", "25 % live, s", "50 %, s", "99 %, s", "all, s", "came in vain"]
    return table(head, rows)


def machine() -> str:
    busy = os.getloadavg()[0]
    cores = os.cpu_count() or 1
    state = "**busy with other work**" if busy > _IDLE_LOAD else "else idle"
    now = datetime.now(UTC)  # noqa: TID251 - the date of a measurement
    return (
        f"Measured on {now:%Y-%m-%d} with {cores} cores ({platform.machine()}, Linux "
        f"{platform.release().split('-')[0]}), load average {busy:.1f}, {state}. CPU time holds on "
        "a busy machine; times by the clock are worse there than they need be."
    )


def micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"


def costs_table(measured: Sequence[Measured]) -> list[str]:
    names = [each.name for each in fields(Costs) if each.name != "turn"]
    rows = [
        [name, *(micro(getattr(each.costs, name)) for each in measured)]
        for name in (*names, "handshake")
    ]
    rows.append(["lonely turn", micro(measured[0].costs.turn)] + ["" for _ in measured[1:]])
    rows.append(["bytes, at rest", *(f"{each.memory:,}" for each in measured)])
    rows.append(["bytes, just busy", *(f"{each.whole_memory:,}" for each in measured)])
    return table(["µs of CPU for one", *(f"{each.number:,}" for each in measured)], rows)


def foretold_table(measured: Sequence[Measured]) -> list[str]:
    growth = Growth(tuple((each.number, each.costs) for each in measured))
    rows = []
    for each in measured:
        if each.number not in FORETOLD:
            continue
        less = growth.before(each.number)
        grown, same = less.further(each.number), less.at(each.number)
        for name in ("ping", "role", "revision", "push", "read"):
            was = getattr(each.costs, name)
            said = [getattr(foretold, name) for foretold in (same, grown)]
            errors = [f"{micro(one)} ({(one / was - 1) * 100:+.0f} %)" for one in said]
            rows.append([f"{each.number:,}", name, *errors, micro(was)])
    head = ["connections", "µs for one", "if it stays", "if it goes on growing", "measured"]
    return table(head, rows)


def threads_table(measured: Sequence[Measured], threaded: Sequence[Measured]) -> list[str]:
    alone = {each.number: each.costs for each in measured}
    rows = [
        [
            f"{each.number:,}",
            name,
            micro(getattr(alone[each.number], name)),
            micro(getattr(each.costs, name)),
        ]
        for each in threaded
        for name in ("ping", "role", "revision", "read", "push")
    ]
    return table(["connections", "µs for one", "no more threads", "`--io-threads 2`"], rows)


def clock_table(measured: Sequence[Measured]) -> list[str]:
    rows = [
        [
            f"{each.number:,}",
            f"{each.number * each.costs.push * 1000:.1f}",
            f"{each.written[len(each.written) // 2] * 1000:.1f}",
            f"{each.written[-1] * 1000:.1f}",
        ]
        for each in measured
    ]
    head = ["connections", "CPU of all pushes, ms", "last push written, median ms", "slowest, ms"]
    return table(head, rows)


def beats_table(growth: Growth, measured: Sequence[Measured], real: Real) -> list[str]:
    seen = [("16 real views", real.views), ("real sidecars", real.sidecars)]
    seen += [("crowd", each.beats) for each in measured if each.beats is not None]
    rows = []
    for name, beats in seen:
        said = simulated_load(beats.connections, growth.at(beats.connections))
        rows.append(
            [
                name,
                f"{beats.connections:,}",
                f"{beats.commands / beats.connections:.1f}",
                f"{beats.turns:.1f}",
                f"{beats.load * 100:.2f} %",
                f"{said * 100:.2f} %",
            ]
        )
    head = ["what beats", "connections", "commands/s each", "commands a turn"]
    return table([*head, "core measured", "core by the model"], rows)


def real_lines(real: Real) -> Iterator[str]:
    heard = real.heard
    yield f"A real view connects with: {real.connecting}; {micro(real.connect_cpu)} µs of CPU."
    yield (
        f"From the beginning of a write until the last of {real.views.connections} real views had "
        f"heard: median {heard[len(heard) // 2] * 1000:.2f} ms, slowest {heard[-1] * 1000:.2f} ms "
        f"of {len(heard)}."
    )


async def report() -> list[str]:
    state = machine()
    real = await measure_real(16, 3, 4.0)
    measured = await measure_steps(STEPS)
    threaded = await measure_steps(THREADED, "--io-threads", "2", pace=False)
    growth = Growth(tuple((each.number, each.costs) for each in measured))
    stormed = await storms_table(growth)
    return [
        state,
        "\n### Costs by the number of connections\n",
        *costs_table(measured),
        "\n### Foretold from the smaller numbers, then measured\n",
        *foretold_table(measured),
        "\n### A fleet at rest\n",
        *beats_table(growth, measured, real),
        "",
        *real_lines(real),
        "\n### Fan-out by the clock\n",
        *clock_table(measured),
        "\n### A cut for real, and (in brackets) by the model\n",
        *stormed,
        "\n### The main thread with `--io-threads 2`\n",
        *threads_table(measured, threaded),
        "\n### Simulated: N views on one Redis\n",
        *fleet_table(growth),
        "\n### Simulated: until all are live again\n",
        *storm_table(growth),
        "\n### Where one Redis ends\n",
        *ends_table(growth),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the document to put the tables into")
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    said = asyncio.run(report())
    print("\n".join(said))
    if given.write:
        put(said, given.write)
