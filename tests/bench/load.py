"""The load: wrk, one thread, and what it and the kernel say of a peer meanwhile."""

import asyncio
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.bench.peers.peer import Peer
from tests.bench.processes import cpu_seconds, find_program

_SCRIPT = Path(__file__).parent / "load.lua"


class Expected(StrEnum):
    """How the requests of a load have to end."""

    GRANTED = "granted"
    REFUSED = "refused"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Case:
    """One way to ask."""

    title: str
    tokens: Path
    """A file with a token a line; the requests take turns through it."""
    path: str = "/api/100"
    body_bytes: int = 0
    connections: int = 32
    expected: Expected = Expected.GRANTED


@dataclass(frozen=True, slots=True)
class Sample:
    """What one load came to, or the medians of several."""

    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds."""
    p99: float
    """Milliseconds."""
    cpu: float
    """Microseconds of the peer's CPU for a request."""
    requests: int = 0
    refused: int = 0


def program() -> str:
    return find_program("wrk", "Debian: wrk")


async def load(peer: Peer, case: Case, seconds: int) -> Sample:
    """Put a peer under load for some seconds.

    Raises:
        SystemExit: requests broke, or ended otherwise than expected.
    """
    method = "POST" if case.body_bytes else "GET"
    before = cpu_seconds(peer.pid)
    process = await asyncio.create_subprocess_exec(
        *(program(), "-t1", f"-c{case.connections}", f"-d{seconds}s", "--timeout", "10s"),
        *("-s", str(_SCRIPT), peer.url, "--"),
        *(method, case.path, str(case.body_bytes), str(case.tokens)),
        stdout=asyncio.subprocess.PIPE,
    )
    out = (await process.communicate())[0].decode()
    spent = cpu_seconds(peer.pid) - before
    if process.returncode:
        raise SystemExit(f"wrk ended with {process.returncode}:\n{out}")
    told = json.loads(out.splitlines()[-1])
    requests, refused = told["requests"], told["refused"]
    wrong = {Expected.GRANTED: refused, Expected.REFUSED: requests - refused, Expected.EITHER: 0}
    if told["broken"] or wrong[case.expected] or not requests:
        raise SystemExit(f"{peer.name}, {case.title}: not all {case.expected}:\n{out}")
    return Sample(
        rate=requests / told["microseconds"] * 1e6,
        p50=told["p50"] / 1e3,
        p99=told["p99"] / 1e3,
        cpu=spent / requests * 1e6,
        requests=requests,
        refused=refused,
    )


async def load_in_turn(
    peers: Sequence[Peer], case: Case, rounds: int, seconds: int, warm_seconds: int = 0
) -> dict[str, Sample]:
    """Load the peers one after another, several rounds, so that noise strikes all; medians."""
    if warm_seconds:
        for peer in peers:
            await load(peer, case, warm_seconds)
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            samples[peer.name].append(await load(peer, case, seconds))
    return {name: median(each) for name, each in samples.items()}


def median(samples: Sequence[Sample]) -> Sample:
    return Sample(
        rate=statistics.median(each.rate for each in samples),
        p50=statistics.median(each.p50 for each in samples),
        p99=statistics.median(each.p99 for each in samples),
        cpu=statistics.median(each.cpu for each in samples),
    )
