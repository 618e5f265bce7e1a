"""A transport that does what a test wants."""

import asyncio
from typing import Any

from typing_extensions import override


class FakeTransport(asyncio.Transport):
    """Remembers what was done to it, in order. ``unwritten`` is what the client leaves unread."""

    def __init__(self, *, unwritten: int = 0, can_end: bool = True) -> None:
        super().__init__()
        self.unwritten = unwritten
        self.can_end = can_end
        self.failure: OSError | None = None
        self.done: list[str] = []

    @override
    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    @override
    def can_write_eof(self) -> bool:
        return self.can_end

    @override
    def write_eof(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.done.append("end")

    @override
    def resume_reading(self) -> None:
        self.done.append("resume")

    @override
    def get_write_buffer_size(self) -> int:
        return self.unwritten

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    @override
    def close(self) -> None:
        self.done.append("close")

    @override
    def abort(self) -> None:
        self.done.append("abort")
