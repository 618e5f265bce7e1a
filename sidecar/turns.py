"""Whose token is verified next, so that those who are known do not wait behind those who are not.

A signature costs ten times what a remembered token does, and whoever sends bad ones pays nothing
for it. So only a slice of each turn of the event loop goes to them. What does not fit waits here
while the sockets of all others are served: in the order of its coming, and in turn between peers,
so that one peer's flood does not delay another's first request.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.admission import network_of
from sidecar.core.decision import DenyReason
from sidecar.core.request import AccessRequest
from sidecar.ports import Clock, Unavailable

Soon = Callable[[Callable[[], None]], object]
"""Calls a function in the next turn of the event loop, after what is ready has been served."""

TOO_MANY = "too many tokens wait to be verified"
TOO_LATE = "its token was not verified in time"


class Overloaded(Unavailable):
    """There are more tokens to verify than can be."""

    reason = DenyReason.OVERLOADED


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many tokens that are not remembered are verified before other sockets are looked at.

    That ``number``, or what takes so many ``seconds`` if these are less. At most ``most`` wait, for
    ``patience`` seconds.
    """

    seconds: float = 0.00025
    number: int = 4
    most: int = 4096
    patience: float = 5.0


class Turn:
    """The place of a request among those that wait, ``since`` then (steady seconds).

    Once it ``has_come``, ``is_late`` says that it came too late: there is nothing to verify then.
    """

    __slots__ = ("come", "has_come", "is_late", "peer", "request", "since")

    def __init__(self, request: AccessRequest, since: float, come: Callable[[], None]) -> None:
        self.request = request
        self.peer = network_of(request.peer)
        self.since = since
        self.come = come
        self.has_come = self.is_late = False


class Turns:
    """Gives everybody a turn whose token has to be verified. One for each process."""

    def __init__(self, clock: Clock, soon: Soon, bounds: Bounds = Bounds()) -> None:
        self._clock = clock
        self._soon = soon
        self._bounds = bounds
        # By peer, whose turn is next first; each in the order of their coming.
        self._queues: OrderedDict[str, OrderedDict[Turn, None]] = OrderedDict()
        self._waiting = 0
        self._left = bounds.number  # may be verified before the loop turns
        self._is_due = False  # that it turns has been asked for

    def __len__(self) -> int:
        """Return how many wait."""
        return self._waiting

    def take(self) -> bool:
        """Say whether a token may be verified here and now; else join those who wait."""
        if self._waiting or not self._left:
            return False
        self._left -= 1
        if not self._left:
            # Only now: a turn of the loop for each would cost a good part of its verification.
            self._ask()
        return True

    def join(self, request: AccessRequest, come: Callable[[], None]) -> Turn | None:
        """Have a request wait for its peer's turn; ``come`` is called when it is there.

        Return None where there is no room: no peer may have more waiting than there is room left
        for others, so whoever comes next finds some.
        """
        turn = Turn(request, self._clock.steady(), come)
        queue = self._queues.get(turn.peer, OrderedDict())
        if len(queue) >= self._bounds.most - self._waiting:
            return None
        queue[turn] = None
        self._queues[turn.peer] = queue
        self._waiting += 1
        self._ask()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give a turn up. Nothing happens where it has come."""
        queue = self._queues.get(turn.peer)
        if queue is not None and turn in queue:
            del queue[turn]
            self._waiting -= 1
            if not queue:
                del self._queues[turn.peer]

    async def wait(self, request: AccessRequest) -> None:
        """Return when a request's turn has come.

        Raises:
            Overloaded: there is no room, or it came too late.
        """
        come = asyncio.Event()
        turn = self.join(request, come.set)
        if turn is None:
            raise Overloaded(TOO_MANY)
        try:
            await come.wait()
        finally:
            self.leave(turn)
        if turn.is_late:
            raise Overloaded(TOO_LATE)

    def _ask(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._soon(self._go_on)

    def _go_on(self) -> None:
        self._is_due = False
        self._left = self._bounds.number
        if not self._waiting:
            return
        # First of all: whatever one of them does, the others' turns have to come. And nobody else's
        # token is verified in this turn of the loop.
        self._ask()
        self._left = 0
        now = self._clock.steady()
        ends = now + self._bounds.seconds
        for _ in range(min(self._bounds.number, self._waiting)):
            self._next(now).come()
            now = self._clock.steady()
            if now >= ends:
                break

    def _next(self, now: float) -> Turn:
        peer, queue = self._queues.popitem(last=False)
        turn, _ = queue.popitem(last=False)
        self._waiting -= 1
        if queue:
            self._queues[peer] = queue
        turn.has_come = True
        turn.is_late = now - turn.since > self._bounds.patience
        return turn
