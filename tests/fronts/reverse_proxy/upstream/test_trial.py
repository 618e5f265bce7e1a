"""The request that tries an address again: its answer decides, and its receiver notices nothing."""

import pytest

from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead
from sidecar.fronts.reverse_proxy.upstream.breaker import Breaker, BreakerRules, State
from sidecar.fronts.reverse_proxy.upstream.carriage import Carriage
from sidecar.fronts.reverse_proxy.upstream.policy import UpstreamFailed
from sidecar.fronts.reverse_proxy.upstream.trial import Trial, end_trial
from sidecar.ports import UpstreamError
from tests.fakes.receiver import RecordingReceiver


def tried() -> tuple[Breaker, RecordingReceiver, Trial]:
    breaker = Breaker(BreakerRules(connect_suffices=False))
    breaker.failed(0.0)
    breaker.try_once(1.0)
    receiver = RecordingReceiver()
    return breaker, receiver, Trial(receiver, breaker, lambda: 1.0)


@pytest.mark.parametrize(("status", "closes"), [(200, True), (404, True), (500, False)])
def test_an_answer_closes_the_breaker_unless_it_is_an_error_of_the_servers(
    status: int,
    closes: bool,  # noqa: FBT001
) -> None:
    breaker, receiver, trial = tried()
    head = AnswerHead(status, b"", [])

    trial.begun(head)
    trial.continued(b"ok")
    trial.received()
    trial.writable()
    trial.ended()

    assert breaker.is_closed is closes
    assert receiver.heads == [head]
    assert (bytes(receiver.body), receiver.turns, receiver.ends) == (b"ok", 1, [None])


def test_a_failure_opens_it_anew() -> None:
    breaker, receiver, trial = tried()
    trial.failed(UpstreamFailed(UpstreamError.RESET, ""))

    assert breaker.state is State.OPEN
    assert receiver.failure.error is UpstreamError.RESET


def test_what_is_sent_elsewhere_tries_nothing_any_more() -> None:
    _, receiver, trial = tried()
    carriage = Carriage("GET", b"", trial)
    for _ in range(2):
        end_trial(carriage)

    assert carriage.receiver is receiver
