"""A server that speaks RESP3 and answers what the test wants, byte for byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

_HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
_USUAL = {
    b"HELLO": _HELLO,
    b"CLIENT": b"+OK\r\n",
    b"PING": b"+PONG\r\n",
    b"ROLE": b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
    b"MGET": b"*3\r\n_\r\n_\r\n_\r\n",
    b"CONFIG": b"%1\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n",
    b"HGETALL": b"%1\r\n$6\r\nstatus\r\n$6\r\nactive\r\n",
    b"EXISTS": b":0\r\n",
}


@dataclass
class ScriptedRedis:
    """``answers`` are raw replies by command, instead of the usual ones of an active account."""

    url: str
    answers: dict[bytes, bytes]
    connections: int = 0

    @property
    def port(self) -> int:
        return int(self.url.removesuffix("/0").rpartition(":")[2])


@asynccontextmanager
async def scripted_redis(
    answers: Mapping[bytes, bytes], tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedRedis]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis.connections += 1
        try:
            while True:
                command = await _read_command(reader)
                writer.write({**_USUAL, **redis.answers}[command[0].upper()])
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "redis" if tls is None else "rediss"
    redis = ScriptedRedis(f"{scheme}://127.0.0.1:{port}/0", dict(answers))
    async with server:
        yield redis


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(count):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return words
