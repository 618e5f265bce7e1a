"""Which connections a process holds, as the kernel knows it (Linux only)."""

import os
import signal
from contextlib import suppress
from pathlib import Path

from tests.fakes.waiting import until


def ports_of(pid: int) -> set[int]:
    """Return the remote ports of the TCP connections, over IPv4, that a process has open."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text("ascii").splitlines())
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


async def stop(pid: int) -> None:
    """Send SIGSTOP, and wait until it stands still: from then on it accepts nothing more."""
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: _state_of(pid) == "T")


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(") ")[2][0]
