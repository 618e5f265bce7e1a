"""Which DPoP proofs were used, in one process's memory: for development, as ``memory://`` is."""

from collections import OrderedDict

from sidecar.ports import Clock, StatusUnavailable


class MemoryProofs:
    """Implements ``binding.UsedProofs``. Bounded: one that is full says so, and forgets nothing."""

    def __init__(self, clock: Clock, capacity: int = 100_000) -> None:
        self._clock = clock
        self._capacity = capacity
        # In the order of their ends, as all last equally long.
        self._until: OrderedDict[str, float] = OrderedDict()

    async def use(self, mark: str, seconds: float) -> bool:
        """Remember a proof as used; return whether it had not been. Raises StatusUnavailable."""
        now = self._clock.steady()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if mark in self._until:
            return False
        if len(self._until) >= self._capacity:
            raise StatusUnavailable("too many proofs are remembered")
        self._until[mark] = now + seconds
        return True
