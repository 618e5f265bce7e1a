"""What recording the last use adds to a decision.

``PYTHONPATH=. .venv/bin/python tests/bench/last_use.py``
"""

import time
import timeit
from collections.abc import Callable

from sidecar.adapters.clock import SystemClock
from sidecar.core.decision import Deny, DenyReason
from sidecar.observability.recent_use import RecentUse
from tests.fakes.world import World

_ROUNDS = 7
_CALLS = 100_000


def nanoseconds(act: Callable[[], object]) -> float:
    """Return the CPU time of one call in the best of the rounds: the others were disturbed."""
    rounds = timeit.repeat(act, number=_CALLS, repeat=_ROUNDS, timer=time.process_time)
    return min(rounds) / _CALLS * 1e9


def main() -> None:
    """Print what a grant, a denial and the whole decision take."""
    world = World()
    recent = RecentUse(SystemClock(), 100_000)
    request = world.request(token=world.sign())
    granted = world.authorizer.authorize_now(request)
    assert granted is not None
    denied = Deny(DenyReason.NO_CREDENTIALS)
    print(f"a grant     {nanoseconds(lambda: recent.decided(request, granted, 0.0)):8.0f} ns")
    print(f"a denial    {nanoseconds(lambda: recent.decided(request, denied, 0.0)):8.0f} ns")
    print(f"(a call     {nanoseconds(lambda: None):8.0f} ns)")
    print(f"a decision  {nanoseconds(lambda: world.authorizer.authorize_now(request)):8.0f} ns")


if __name__ == "__main__":
    main()
