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
from functools import partial

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

    Once it ``has_come``, ``problem`` says why there is nothing to verify then, if there is not.
    """

    __slots__ = ("come", "has_come", "peer", "problem", "request", "since")

    def __init__(self, request: AccessRequest, since: float, come: Callable[[], None]) -> None:
        self.request = request
        self.peer = network_of(request.peer)
        self.since = since
        self.come = come
        self.has_come = False
        self.problem = ""


class Turns:
    """Gives everybody a turn whose token has to be verified. One for each process."""

    def __init__(self, clock: Clock, soon: Soon, bounds: Bounds = Bounds()) -> None:
        self._clock = clock
        self._soon = soon
        self._bounds = bounds
        # By peer, whose turn is next first; each in the order of their coming.
        self._queues: OrderedDict[str, OrderedDict[Turn, None]] = OrderedDict()
        self._waiting = 0
        self._by_length: dict[int, OrderedDict[str, None]] = {}  # the peers of so long a queue
        self._longest = 0
        self._sent_away: set[Turn] = set()  # and not yet told
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

        Return None where there is no room. Before there is none for whoever has few waiting, the
        latest of those who have the most is sent away: one subscriber may have hundreds of networks
        (RFC 6177), and must not keep everybody else out.
        """
        turn = Turn(request, self._clock.steady(), come)
        waiting = len(self._queues.get(turn.peer, ()))
        if waiting >= self._bounds.most - self._waiting and not self._make_room(waiting):
            return None
        self._queues.setdefault(turn.peer, OrderedDict())[turn] = None
        self._resize(turn.peer, waiting, waiting + 1)
        self._ask()
        return turn

    def _make_room(self, waiting: int) -> bool:
        """Send one away for a peer of whom so many wait, if another has more than that peer then.

        Not at once: whoever joins may be in the middle of something.
        """
        if self._longest < waiting + 2:
            return False
        turn = next(reversed(self._queues[next(iter(self._by_length[self._longest]))]))
        self.leave(turn)
        turn.problem = TOO_MANY
        self._sent_away.add(turn)
        self._soon(partial(self._tell, turn))
        return True

    def _tell(self, turn: Turn) -> None:
        if turn in self._sent_away:
            self._sent_away.discard(turn)
            turn.has_come = True
            turn.come()

    def _resize(self, peer: str, before: int, after: int) -> None:
        """Take note of how many of a peer's wait; if none do any more, its queue goes."""
        self._waiting += after - before
        if before:
            peers = self._by_length[before]
            del peers[peer]
            if not peers:
                del self._by_length[before]
        if after:
            self._by_length.setdefault(after, OrderedDict())[peer] = None
        else:
            del self._queues[peer]
        if after > self._longest or self._longest not in self._by_length:
            self._longest = after

    def leave(self, turn: Turn) -> None:
        """Give a turn up. Nothing happens where it has come."""
        self._sent_away.discard(turn)
        queue = self._queues.get(turn.peer)
        if queue is not None and turn in queue:
            del queue[turn]
            self._resize(turn.peer, len(queue) + 1, len(queue))

    async def wait(self, request: AccessRequest) -> None:
        """Return when a request's turn has come.

        Raises:
            Overloaded: there is no room, or no more of it, or it came too late.
        """
        come = asyncio.Event()
        turn = self.join(request, come.set)
        if turn is None:
            raise Overloaded(TOO_MANY)
        try:
            await come.wait()
        finally:
            self.leave(turn)
        if turn.problem:
            raise Overloaded(turn.problem)

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
        peer, queue = next(iter(self._queues.items()))
        turn, _ = queue.popitem(last=False)
        self._queues.move_to_end(peer)
        self._resize(peer, len(queue) + 1, len(queue))
        turn.has_come = True
        if now - turn.since > self._bounds.patience:
            turn.problem = TOO_LATE
        return turn
