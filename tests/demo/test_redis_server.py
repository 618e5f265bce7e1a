"""The child process: it is the real thing, it comes up, it goes down, and it never stays behind."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from sidecar.demo.redis_server import RedisNotReady, RedisServer, free_port
from tests.fakes.waiting import until


def is_listening(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


def script(directory: Path, text: str) -> Path:
    """Write a program that stands where the server's would."""
    path = directory / "server"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


async def test_it_answers_commands_as_redis_does() -> None:
    async with RedisServer() as redis:
        assert await redis.command("HSET", "account", "status", "active", "tries", 3) == 2

        assert await redis.command("HGET", "account", "status") == "active"
        assert redis.url == f"redis://127.0.0.1:{redis.port}/0"


async def test_it_listens_on_loopback_only_and_is_gone_afterwards() -> None:
    async with RedisServer() as redis:
        assert await redis.command("CONFIG", "GET", "bind") == {"bind": "127.0.0.1"}

    assert not is_listening(redis.port)
    assert redis.pid is None


async def test_two_servers_share_nothing() -> None:
    async with RedisServer() as one, RedisServer() as other:
        await one.command("SET", "key", "value")

        assert one.port != other.port
        assert await other.command("GET", "key") is None


async def test_a_port_can_be_given() -> None:
    port = free_port()

    async with RedisServer(port=port) as redis:
        assert redis.port == port
        assert await redis.command("PING") is True


async def test_a_given_port_that_is_taken_is_an_error_that_shows_the_servers_words() -> None:
    async with RedisServer() as first:
        with pytest.raises(RedisNotReady, match=r"(?i)address already in use"):
            await RedisServer(port=first.port).__aenter__()

        assert await first.command("PING") is True


async def test_a_port_that_was_lost_to_another_program_is_replaced() -> None:
    async with RedisServer() as first:
        ports = iter([first.port, first.port, free_port()])

        async with RedisServer(choose_port=lambda: next(ports)) as second:
            assert second.port != first.port


async def test_the_search_for_a_port_ends() -> None:
    async with RedisServer() as first:
        with pytest.raises(RedisNotReady, match=r"(?i)address already in use"):
            await RedisServer(choose_port=lambda: first.port).__aenter__()


async def test_a_password_is_asked_for_and_is_in_the_url() -> None:
    password = 'p@ss "w\\ord/ü'
    async with RedisServer(password=password) as redis:
        assert await redis.command("PING") is True
        assert password not in redis.url

        stranger = RedisServer(port=redis.port)
        with pytest.raises(AuthenticationError):
            await stranger.command("PING")


async def test_the_password_is_not_on_the_command_line() -> None:
    async with RedisServer(password="correct-horse") as redis:
        assert redis.pid is not None
        assert b"correct-horse" not in command_line(redis.pid)


async def test_a_refused_command_raises() -> None:
    async with RedisServer() as redis:
        with pytest.raises(ResponseError, match="unknown command"):
            await redis.command("NONSENSE")


async def test_a_restart_keeps_the_port_and_forgets_the_data() -> None:
    async with RedisServer() as redis:
        port, pid = redis.port, redis.pid
        await redis.command("SET", "key", "value")

        await redis.restart()

        assert (redis.port, redis.pid != pid) == (port, True)
        assert await redis.command("GET", "key") is None


async def test_data_can_be_kept(tmp_path: Path) -> None:
    arguments = ("--appendonly", "yes", "--appendfsync", "always")
    async with RedisServer(directory=tmp_path, arguments=arguments) as redis:
        await redis.command("SET", "key", "value")
        await redis.kill()

        await redis.restart()

        assert await redis.command("GET", "key") == "value"
    async with RedisServer(directory=tmp_path, arguments=arguments) as redis:
        assert await redis.command("GET", "key") == "value"


async def test_a_killed_server_is_down_until_it_is_restarted() -> None:
    async with RedisServer() as redis:
        await redis.kill()

        assert redis.pid is None
        with pytest.raises(RedisError):
            await redis.command("PING")
        await redis.restart()
        assert await redis.command("PING") is True


async def test_a_paused_server_answers_nothing_until_it_is_resumed() -> None:
    async with RedisServer() as redis, asyncio.TaskGroup() as tasks:
        redis.pause()
        ping = tasks.create_task(redis.command("PING"))
        done, _ = await asyncio.wait({ping}, timeout=0.1)
        assert not done

        redis.resume()

        assert await ping is True


async def test_a_paused_server_can_be_stopped() -> None:
    async with asyncio.timeout(4), RedisServer() as redis:
        redis.pause()


async def keep_busy(redis: RedisServer, tasks: asyncio.TaskGroup) -> None:
    """Let the server run a script for ever: meanwhile it is deaf to SIGTERM."""

    async def loop_for_ever() -> None:
        with suppress(RedisError):
            await redis.command("EVAL", "while true do end", 0)

    task = tasks.create_task(loop_for_ever())
    while not task.done():
        try:
            async with asyncio.timeout(0.2):
                await redis.command("PING")
        except TimeoutError:
            return


async def test_a_server_that_does_not_hear_sigterm_is_killed_in_the_end() -> None:
    async with asyncio.TaskGroup() as tasks, RedisServer(patience=1.0) as redis:
        await keep_busy(redis, tasks)

        await redis.stop()

        assert not is_listening(redis.port)


async def test_cancelling_a_stop_kills_at_once() -> None:
    async with asyncio.TaskGroup() as tasks, RedisServer(patience=60.0) as redis:
        await keep_busy(redis, tasks)
        stopping = tasks.create_task(redis.stop())
        await asyncio.sleep(0)

        stopping.cancel()
        await asyncio.wait({stopping}, timeout=5)

        assert stopping.cancelled()
        assert not is_listening(redis.port)


async def test_stopping_twice_is_stopping_once() -> None:
    async with RedisServer() as redis:
        await redis.stop()
        await redis.stop()
        redis.pause()


async def test_a_server_that_ended_by_itself_is_no_error_at_the_end() -> None:
    async with RedisServer() as redis:
        pid = redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not is_listening(redis.port))


async def test_cancellation_ends_the_server() -> None:
    started = asyncio.Event()
    redis = RedisServer()

    async def serve() -> None:
        async with redis:
            started.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve())
        await started.wait()
        assert is_listening(redis.port)
        task.cancel()

    assert not is_listening(redis.port)


async def test_cancellation_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = script(tmp_path, f"echo $$ > {note}; exec sleep 60")

    async def serve() -> None:
        async with RedisServer(find=lambda: program):
            pass

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(serve())
        await until(lambda: note.exists() and note.read_text().strip())
        task.cancel()

    assert not is_running(note.read_text().strip())


async def test_a_server_that_fails_to_start_is_quoted(tmp_path: Path) -> None:
    program = script(tmp_path, "echo no such moon; exit 3")

    with pytest.raises(RedisNotReady, match="ended with 3\nno such moon"):
        await RedisServer(find=lambda: program).__aenter__()


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    program = script(tmp_path, "echo thinking; exec sleep 60")

    with pytest.raises(RedisNotReady, match=r"no answer within 1 s\nthinking"):
        await RedisServer(find=lambda: program, patience=1.0).__aenter__()


async def test_it_cannot_be_started_outside_its_block() -> None:
    with pytest.raises(RuntimeError, match="inside"):
        await RedisServer().restart()


async def test_the_server_dies_with_a_parent_that_was_killed() -> None:
    """No clean-up code runs under SIGKILL; the kernel has to do it."""
    program = (
        "import asyncio, os, signal\n"
        "from sidecar.demo.redis_server import RedisServer\n"
        "async def main():\n"
        "    async with RedisServer() as redis:\n"
        "        print(redis.port, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    port = int(await parent.stdout.readline())
    assert is_listening(port)

    parent.kill()
    await parent.wait()

    await until(lambda: not is_listening(port))
