"""A loop that turns when the test says so, and turns of verification in it."""

from collections.abc import Callable

from sidecar.rules import Admission
from sidecar.turns import Bounds, Turns
from tests.fakes.clock import FakeClock
from tests.fakes.world import ISSUERS, World


class HeldLoop:
    """Calls what it was given when it ``turn``s; what is given meanwhile waits for the next."""

    def __init__(self) -> None:
        self.ready: list[Callable[[], None]] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.ready.append(call)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            ready, self.ready = self.ready, []
            for call in ready:
                call()

    def run_out(self) -> None:
        """Turn until nothing is left to call."""
        while self.ready:
            self.turn()


def busy(loop: HeldLoop, clock: FakeClock, bounds: Bounds) -> Turns:
    """Return turns of which those of this turn of the loop are taken."""
    turns = Turns(clock, loop.soon, bounds)
    while turns.take():
        pass
    return turns


def world_with(turns: Callable[[World], Turns]) -> World:
    """Return a world in which tokens that are not remembered wait for their turn."""
    world = World()
    world.rules["admission"] = Admission(turns=turns(world))
    world.settle(ISSUERS)
    return world
