"""When a server that fails again and again is left alone for a while.

Pure bookkeeping on steady seconds that are passed in. One failure may be one token's; so many in a
row, with no answer in between, are the server's. Then it rests, longer each time, and a single
question finds out whether it is back.
"""

_FAILURES = 5
_SHORTEST_REST, _LONGEST_REST = 1.0, 10.0


class Circuit:
    """Counts one server's failures in a row."""

    def __init__(self) -> None:
        self._failures = 0
        self._rests = 0
        self._until = 0.0
        self._is_tried = False

    def admits(self, now: float) -> bool:
        """Say whether the server may be asked. Who is told so says how it ended."""
        if self._failures < _FAILURES:
            return True
        if now < self._until or self._is_tried:
            return False
        self._is_tried = True
        return True

    def answered(self) -> None:
        """Take that it answered, whatever it was."""
        self._failures = self._rests = 0
        self._is_tried = False

    def failed(self, now: float) -> None:
        """Take that it did not answer."""
        self._failures += 1
        if self._failures >= _FAILURES:
            if self._is_tried:
                self._rests = min(self._rests + 1, 10)
            rest = min(_SHORTEST_REST * 2**self._rests, _LONGEST_REST)
            self._until = max(self._until, now + rest)
        self._is_tried = False

    def abandoned(self) -> None:
        """Take that whoever asked went away before there was an end."""
        self._is_tried = False
