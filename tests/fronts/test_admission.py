"""Who gets a place at a door that holds only so many."""

import logging
from ipaddress import ip_network

import pytest

from sidecar.core.connections import ConnectionRefusal
from sidecar.fronts.admission import Admission, Place, Room
from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.observer import RecordingObserver


async def test_no_more_come_in_than_there_is_room_for() -> None:
    observer = RecordingObserver()
    admission = Admission(Room(2), observer)
    first, second = admission.enter("192.0.2.1"), admission.enter("192.0.2.2")

    assert admission.enter("192.0.2.3") is None
    assert isinstance(first, Place)
    first.leave()
    first.leave()
    assert admission.enter("192.0.2.3") is not None
    assert admission.enter("192.0.2.4") is None
    assert second is not None
    assert observer.connected_now == admission.present == 2
    assert observer.connections_refused == {ConnectionRefusal.LIMIT: 2}


async def test_one_peer_leaves_room_for_the_others() -> None:
    observer = RecordingObserver()
    admission = Admission(Room(10, per_peer=2), observer)
    first, _ = admission.enter("192.0.2.1"), admission.enter("192.0.2.1")

    assert admission.enter("192.0.2.1") is None
    assert admission.enter("192.0.2.2") is not None
    assert first is not None
    first.leave()
    assert admission.enter("192.0.2.1") is not None
    assert observer.connections_refused == {ConnectionRefusal.PEER_LIMIT: 1}


async def test_behind_the_address_of_a_proxy_are_many() -> None:
    proxies = TrustedProxies((ip_network("10.0.0.0/8"),))
    admission = Admission(Room(5, per_peer=1, exempt=proxies), RecordingObserver())

    places = [admission.enter("10.1.2.3") for _ in range(5)]
    assert None not in places
    assert admission.enter("10.1.2.3") is None


async def test_peers_that_have_gone_are_forgotten() -> None:
    admission = Admission(Room(10, per_peer=2), RecordingObserver())
    for number in range(1000):
        place = admission.enter(f"192.0.2.{number}")
        assert place is not None
        place.leave()

    assert not admission._of_peer


async def test_a_flood_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    admission = Admission(Room(1), RecordingObserver())
    admission.enter("192.0.2.1")
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            admission.enter("192.0.2.2")

    assert [line.getMessage() for line in caplog.records] == [
        "connections are refused (limit); 1 are open"
    ]
