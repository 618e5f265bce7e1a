"""What was found of header names: strangers choose them, so the memory is bounded twice."""

from collections.abc import Callable
from typing import AnyStr, TypeVar

_MAX_REMEMBERED = 2048
_LONGEST_REMEMBERED = 64

Found = TypeVar("Found")


class NameMemory(dict[AnyStr, Found]):
    """Finds by ``find``, and a name that was asked for before without it.

    What ``find`` raises is raised, and not remembered.
    """

    def __init__(self, find: Callable[[AnyStr], Found]) -> None:
        super().__init__()
        self._find: Callable[[AnyStr], Found] = find

    def __missing__(self, name: AnyStr) -> Found:
        found = self._find(name)
        if len(name) <= _LONGEST_REMEMBERED and len(self) < _MAX_REMEMBERED:
            self[name] = found
        return found
