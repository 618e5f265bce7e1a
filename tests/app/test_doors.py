"""Doors: their sockets, held by the process that stays, for whoever serves."""

import socket
from pathlib import Path

import pytest

from sidecar.app.doors import (
    Door,
    SharedDoors,
    close_all,
    doors_of,
    duplicates_of,
    open_doors,
)
from tests.settings.desk import GOOD, Desk, changed

ANY = Door("listen", "127.0.0.1", 0)
BINDS_ITSELF = Door("grpc", "127.0.0.1", 0, "grpc", binds_itself=True)


def test_a_door_is_there_for_what_the_settings_have(tmp_path: Path) -> None:
    """Without upstream nothing can be forwarded, and nobody needs `listen`."""
    ask = {"dialect": "nginx", "port": 8181}
    desk = Desk(tmp_path)
    only_asked = {name: value for name, value in GOOD.items() if name != "upstream"}

    assert [door.name for door in doors_of(desk.load(GOOD))] == ["listen"]
    both = doors_of(desk.load(changed(forward_auth=ask)))
    assert [(door.name, door.port) for door in both] == [("listen", 8080), ("forward_auth", 8181)]
    alone = doors_of(desk.load({**only_asked, "forward_auth": ask}))
    assert [door.name for door in alone] == ["forward_auth"]


@pytest.mark.parametrize(
    ("host", "scheme", "shown"),
    [("127.0.0.1", "http", "http://127.0.0.1:"), ("::1", "https", "https://[::1]:")],
)
def test_a_door_says_where_clients_reach_it(host: str, scheme: str, shown: str) -> None:
    door = Door("listen", host, 0, scheme)
    with open_doors((door,)) as sockets:
        port = sockets["listen"].getsockname()[1]
        assert door.url(sockets["listen"]) == f"{shown}{port}"


def test_a_door_is_listened_on_at_once_unless_its_library_does_that() -> None:
    with open_doors((ANY, BINDS_ITSELF)) as sockets:
        socket.create_connection(sockets["listen"].getsockname()).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(sockets["grpc"].getsockname())


def test_all_doors_are_let_go_of_when_one_cannot_be_opened() -> None:
    with open_doors((ANY,)) as sockets:
        host, port = sockets["listen"].getsockname()
        free = Door("free", host, 0)
        with pytest.raises(OSError, match="in use"):
            SharedDoors((free, Door("taken", host, port)), 2)


def test_each_worker_has_a_socket_of_its_own_at_each_door() -> None:
    doors = SharedDoors((ANY, BINDS_ITSELF), 2)
    first, second = doors.of_worker(0), doors.of_worker(1)

    assert first.keys() == second.keys() == {"listen", "grpc"}
    assert first["listen"].getsockname() == second["listen"].getsockname()
    assert first["listen"].fileno() != second["listen"].fileno()

    before = first["listen"].fileno(), first["listen"].getsockname()
    doors.renew(0)
    assert first["listen"].fileno() == -1
    assert doors.of_worker(0)["listen"].getsockname() == before[1]
    doors.close()
    assert doors.of_worker(1)["grpc"].fileno() == -1


def test_a_duplicate_outlives_the_sockets_that_are_closed() -> None:
    with open_doors((ANY,)) as sockets:
        kept = sockets["listen"].dup()
        address = kept.getsockname()
        close_all(sockets)
        socket.create_connection(address).close()
        kept.close()


def test_duplicates_are_let_go_of_whether_or_not_somebody_listened() -> None:
    with open_doors((ANY, BINDS_ITSELF)) as sockets:
        with duplicates_of(sockets) as own:
            assert [each.getsockname() for each in own.values()] == [
                each.getsockname() for each in sockets.values()
            ]
            own["listen"].close()  # as a front does at its end
            mine = list(own.values())
        assert [each.fileno() for each in mine] == [-1, -1]
        assert all(each.fileno() >= 0 for each in sockets.values())


def test_grpc_has_a_door_of_its_own_where_the_settings_open_one(tmp_path: Path) -> None:
    section = {"upstream": {"url": "grpc://127.0.0.1:8010"}, "port": 7}
    door = doors_of(Desk(tmp_path).load(changed(grpc=section)))[1]

    assert (door.name, door.port, door.scheme, door.binds_itself) == ("grpc", 7, "grpc", True)
