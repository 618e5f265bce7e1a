"""A receiver that remembers what it was told of an answer, and a pool seen from outside."""

import asyncio
from dataclasses import dataclass

from sidecar.fronts.reverse_proxy.upstream import UpstreamFailed
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.pool import Pool


class RecordingReceiver:
    """Implements ``Receiver``. ``told`` is set by the answer's end and by a failure."""

    def __init__(self) -> None:
        self.heads: list[AnswerHead] = []
        self.body = bytearray()
        self.ends: list[UpstreamFailed | None] = []
        self.turns = 0  # calls of `writable`
        self.told = asyncio.Event()

    @property
    def failure(self) -> UpstreamFailed:
        (failure,) = self.ends
        assert failure is not None
        return failure

    def begun(self, head: AnswerHead) -> None:
        self.heads.append(head)

    def continued(self, data: bytes) -> None:
        self.body += data

    def received(self) -> None:
        pass

    def ended(self) -> None:
        self._end(None)

    def failed(self, why: UpstreamFailed) -> None:
        self._end(why)

    def writable(self) -> None:
        self.turns += 1

    def _end(self, why: UpstreamFailed | None) -> None:
        self.ends.append(why)
        self.told.set()


@dataclass
class Books:
    """What a pool has on its books."""

    pool: Pool

    @property
    def busy(self) -> int:
        return sum(len(address.busy) for address in self.pool._addresses)

    @property
    def idle(self) -> int:
        return sum(len(address.idle) for address in self.pool._addresses)

    @property
    def connecting(self) -> int:
        return sum(address.connecting for address in self.pool._addresses)

    @property
    def waiting(self) -> int:
        return sum(not each.is_abandoned for each in self.pool._waiting)

    @property
    def are_clear(self) -> bool:
        """Say whether no request is carried, waits, or is being connected for."""
        return not (self.busy or self.connecting or self.waiting or self.pool._connects)
