"""The one request that tries an address whose breaker is not closed."""

from collections.abc import Callable

from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.breaker import Breaker
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage, Receiver
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed

_SERVER_ERRORS = 500


class Trial:
    """Hands on what a receiver is told, and tells the breaker how it went. A ``Receiver``."""

    def __init__(self, receiver: Receiver, breaker: Breaker, now: Callable[[], float]) -> None:
        self.receiver = receiver
        self._breaker = breaker
        self._now = now

    def begun(self, head: AnswerHead) -> None:
        if head.status < _SERVER_ERRORS:
            self._breaker.answered()
        else:
            self._breaker.failed(self._now())
        self.receiver.begun(head)

    def continued(self, data: bytes) -> None:
        self.receiver.continued(data)

    def received(self) -> None:
        self.receiver.received()

    def ended(self) -> None:
        self.receiver.ended()

    def failed(self, why: UpstreamFailed) -> None:
        self._breaker.failed(self._now())
        self.receiver.failed(why)

    def writable(self) -> None:
        self.receiver.writable()


def end_trial(carriage: Carriage) -> None:
    """Let a request that is to be sent elsewhere try nothing any more."""
    if isinstance(carriage.receiver, Trial):
        carriage.receiver = carriage.receiver.receiver
