"""What this machine shows of upstream: whether others can reach it past the sidecar."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.app.probing import _TABLES, exposures, read_listening
from tests.app.test_parts import settings

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F49 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:1F4A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0202000A:1F49 0302000A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1
"""
TABLE_6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:1F4B 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
   1: 00000000000000000000000001000000:1F4C 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
   2: 0000000000000000FFFF00000100007F:1F4D 00000000000000000000000000000000:0000 0A 0 0 0 0 0 0
"""


def said(directory: Path, url: str, *more: str, tables: bool = True) -> list[str]:
    for name, text in {"tcp": TABLE, "tcp6": TABLE_6}.items():
        if tables:
            (directory / name).write_text(text)
    loaded = settings(directory, upstream={"url": url, "more_urls": list(more)})
    return [each.text for each in exposures(loaded, (directory / "tcp", directory / "tcp6"))]


@pytest.mark.skipif("sys.byteorder != 'little'", reason="the table is of such a machine")
def test_the_kernels_list_is_read() -> None:
    addresses = ("127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1")  # noqa: S104

    assert list(read_listening(TABLE + TABLE_6.split("\n", 1)[1])) == [
        (ip_address(address), 8009 + number) for number, address in enumerate(addresses)
    ]


@pytest.mark.parametrize("port", [8009, 8012, 8013, 8099])
def test_an_upstream_on_loopback_alone_is_no_warning(tmp_path: Path, port: int) -> None:
    assert said(tmp_path, f"http://127.0.0.1:{port}") == []


@pytest.mark.parametrize(("port", "where"), [(8010, "0.0.0.0"), (8011, "::")])  # noqa: S104
def test_an_upstream_that_others_reach_too_is_one(tmp_path: Path, port: int, where: str) -> None:
    [text] = said(tmp_path, f"http://localhost:{port}")

    assert f"port {port} is listened on at {where} too" in text


def test_every_address_is_looked_at(tmp_path: Path) -> None:
    texts = said(tmp_path, "http://127.0.0.1:8009", "http://127.0.0.1:8010", "http://[::1]:8011")

    assert len(texts) == 2


def test_an_upstream_elsewhere_cannot_be_judged_from_here(tmp_path: Path) -> None:
    [text] = said(tmp_path, "http://gateway:8009")

    assert "let nobody but the sidecar reach it" in text


def test_an_upstream_that_is_the_proxys_alone_cannot_be_judged(tmp_path: Path) -> None:
    loaded = settings(tmp_path, upstream=None, ext_authz={})

    assert [each.text for each in exposures(loaded)] == [
        "is not named here: who reaches it past the proxy is not seen"
    ]


def test_a_unix_socket_is_nobody_elses(tmp_path: Path) -> None:
    assert said(tmp_path, "unix:/run/gateway.sock") == []


def test_a_system_without_the_list_says_so(tmp_path: Path) -> None:
    [text] = said(tmp_path, "http://127.0.0.1:8009", tables=False)

    assert "cannot be seen" in text


def test_a_real_socket_on_loopback_is_found_and_is_no_warning(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = [each for table in _TABLES for each in read_listening(table.read_text())]
        loaded = settings(tmp_path, upstream={"url": f"http://127.0.0.1:{port}"})

        assert (ip_address("127.0.0.1"), port) in found
        assert exposures(loaded) == []
