"""Trying credentials out: a few at once, then one now and then, by peer."""

from sidecar.admin.attempts import Attempts
from tests.fakes.clock import FakeClock


def attempts(clock: FakeClock, peers: int = 100) -> Attempts:
    return Attempts(clock, at_once=3, seconds_each=2.0, most_peers=peers)


def fail(found: Attempts, peer: str, times: int) -> None:
    for _ in range(times):
        found.failed(peer)


def test_after_a_few_failures_a_peer_is_not_listened_to_for_a_while() -> None:
    clock = FakeClock()
    found = attempts(clock)

    fail(found, "192.0.2.1", 2)
    assert found.wait_of("192.0.2.1") == 0
    fail(found, "192.0.2.1", 1)
    assert found.wait_of("192.0.2.1") == 2
    clock.advance(2)
    assert found.wait_of("192.0.2.1") == 0
    fail(found, "192.0.2.1", 1)
    assert found.wait_of("192.0.2.1") == 2


def test_another_peer_is_listened_to() -> None:
    found = attempts(FakeClock())
    fail(found, "192.0.2.1", 3)

    assert found.wait_of("192.0.2.2") == 0
    assert found.wait_of("") == 0


def test_a_network_of_ipv6_is_one_peer() -> None:
    found = attempts(FakeClock())
    fail(found, "2001:db8:0:1::1", 3)

    assert found.wait_of("2001:db8:0:1:ffff::2") == 2
    assert found.wait_of("2001:db8:0:2::1") == 0


def test_so_many_peers_are_remembered_and_no_more() -> None:
    found = attempts(FakeClock(), peers=2)
    for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        fail(found, peer, 3)

    assert found.wait_of("192.0.2.1") == 0
    assert found.wait_of("192.0.2.3") == 2


def test_time_forgives_all() -> None:
    clock = FakeClock()
    found = attempts(clock)
    fail(found, "192.0.2.1", 50)
    assert found.wait_of("192.0.2.1") == 96
    clock.advance(1000)
    fail(found, "192.0.2.1", 2)
    assert found.wait_of("192.0.2.1") == 0
