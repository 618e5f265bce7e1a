"""When several workers are ready together."""

from sidecar.app.supervisor import Readiness
from tests.fakes.clock import FakeClock


def test_in_the_beginning_all_are_waited_for_and_later_the_others_serve() -> None:
    """The kernel gives connections to each that listens, ready or not."""
    clock, readiness = FakeClock(1000.0), Readiness(2)
    assert readiness.probes(clock) == {"workers": False}

    readiness.report(0, clock, ready=True, accepting=True)
    assert readiness.probes(clock) == {"workers": False, "worker 0": True}
    assert not readiness.is_complete(clock)

    readiness.report(1, clock, ready=True, accepting=True)
    assert readiness.probes(clock) == {"workers": True, "worker 0": True, "worker 1": True}
    assert readiness.is_complete(clock)

    readiness.forget(1)
    assert readiness.probes(clock) == {"workers": True, "worker 0": True}
    readiness.forget(0)
    assert readiness.probes(clock) == {"workers": False}
