"""What systemd is told, by a socket that stands for it."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from sidecar.adapters.service_manager import ServiceManager


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5)
        yield listening


@pytest.mark.parametrize("kind", ["path", "abstract name"])
def test_it_hears_of_the_start_and_of_the_end(kind: str, tmp_path: Path) -> None:
    name = f"sidecar-{uuid4()}"
    shown, address = (
        (f"@{name}", f"\0{name}") if kind != "path" else (str(tmp_path / "s"), str(tmp_path / "s"))
    )
    with manager(address) as systemd:
        told = ServiceManager({"NOTIFY_SOCKET": shown})
        told.ready()
        told.stopping()

        assert [systemd.recv(1024) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_a_reload_bears_the_time_by_which_the_manager_knows_it(tmp_path: Path) -> None:
    with manager(str(tmp_path / "s")) as systemd:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "s")}).reloading()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

        state, at = systemd.recv(1024).decode().split("\n")
        assert state == "RELOADING=1"
        assert before <= int(at.removeprefix("MONOTONIC_USEC=")) <= after


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_manager_nothing_is_said(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager(environ).ready()

    assert caplog.records == []


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("vsock:2:1234", "neither a path nor an abstract name"),
        ("/nowhere/notify", "cannot be told READY=1: [Errno 2]"),
        ("/" + "x" * 200, "cannot be told READY=1: AF_UNIX path too long"),
    ],
    ids=["vsock", "nobody there", "too long"],
)
def test_a_manager_that_cannot_be_told_is_a_line_in_the_log(
    address: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": address}).ready()

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert problem in record.getMessage()


def test_a_manager_that_does_not_read_holds_nobody_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with manager(str(tmp_path / "s")):
        told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "s")})
        for _ in range(10_000):
            told.ready()
            if caplog.records:
                break

        assert "cannot be told" in caplog.text
