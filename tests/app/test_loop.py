"""The loop that serves is uvloop's, and what it runs ends as in any other."""

import asyncio

import pytest
import uvloop

from sidecar.app.loop import run_in_loop


def test_it_serves_in_the_fastest_loop_at_hand() -> None:
    found: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        found.append(asyncio.get_running_loop())

    run_in_loop(main())

    assert isinstance(found[0], uvloop.Loop)
    assert found[0].is_closed()


def test_a_failure_comes_out() -> None:
    async def main() -> None:
        raise OSError("taken")

    with pytest.raises(OSError, match="taken"):
        run_in_loop(main())
