"""The sockets that are listened on: who gets the connections, and whose queue it is."""

import socket

import pytest

from sidecar.app.sockets import SharedPort, listening_socket


def test_a_duplicate_that_is_closed_leaves_the_queue_to_the_others() -> None:
    with listening_socket("127.0.0.1", 0, 8) as listener:
        first = listener.dup()
        with socket.create_connection(listener.getsockname()) as client:
            first.close()
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"x")
                assert client.recv(1) == b"x"


def test_nobody_who_accepts_on_a_duplicate_can_block() -> None:
    with listening_socket("127.0.0.1", 0, 8) as listener:
        listener.dup().close()
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_an_address_that_is_taken_cannot_be_listened_on() -> None:
    with listening_socket("127.0.0.1", 0, 8) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), listening_socket("127.0.0.1", port, 8):
            pass
        with pytest.raises(OSError, match="in use"):
            SharedPort("127.0.0.1", port, 2)


def test_workers_have_sockets_of_their_own_on_one_port() -> None:
    port = SharedPort("127.0.0.1", 0, 3)

    assert {each.getsockname() for each in port.sockets} == {("127.0.0.1", port.port)}
    port.close()
    assert [each.fileno() for each in port.sockets] == [-1, -1, -1]


def test_a_renewed_socket_gets_nothing_until_it_is_listened_on() -> None:
    port = SharedPort("127.0.0.1", 0, 2)
    for each in port.sockets:
        each.listen()
    port.renew(1)

    clients = [socket.create_connection(("127.0.0.1", port.port)) for _ in range(16)]
    accepted = [port.sockets[0].accept()[0] for _ in clients]
    with pytest.raises(BlockingIOError):
        port.sockets[0].accept()

    for each in (*clients, *accepted):
        each.close()
    port.close()
