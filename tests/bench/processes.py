"""The programs that are measured: how they start and end, and what the kernel counts of them.

Linux only: the counts come from /proc, over a process and all that descend from it, threads
included.
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 30.0
_END_SECONDS = 20.0
_POLL_SECONDS = 0.02


class Missing(Exception):
    """A program is not installed; the message says what to install."""


def find_program(name: str, package: str) -> str:
    """Return where a program is: beside Python, or on the path, where Debian's daemons may not be.

    Raises:
        Missing: it is nowhere.
    """
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Missing(f"{name} is not installed ({package})")
    return found


@asynccontextmanager
async def running(command: Sequence[str], port: int, log: Path) -> AsyncIterator[int]:
    """Run a program until the block ends; yield its process id once it answers on ``port``.

    What it prints goes nowhere, as fast as that goes; its errors go to ``log``.
    """
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=errors)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(port):
                if process.returncode is not None:
                    raise SystemExit(
                        f"{command[0]} ended:\n{await asyncio.to_thread(log.read_text)}"
                    )
                await asyncio.sleep(_POLL_SECONDS)
        yield process.pid
    finally:
        await _end(process)


@asynccontextmanager
async def python_program(*arguments: str) -> AsyncIterator[tuple[str, int]]:
    """Run a Python program that prints where it listens; yield its URL and process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=PIPE, stderr=DEVNULL
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        yield line.split()[-1], process.pid
    finally:
        await _end(process)


async def say(*command: str) -> str:
    """Return what a command prints, on both its outputs."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return (await process.communicate())[0].decode("utf-8", "replace")


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """Return what a process and its descendants have computed, in and out of the kernel."""
    total = 0
    for each in family(pid):
        stat = Path(f"/proc/{each}/stat").read_text()
        total += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return total / _TICKS


def memory_bytes(pid: int) -> int:
    """Return what a process and its descendants hold; a shared page counts by its share."""
    total = 0
    for each in family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))
