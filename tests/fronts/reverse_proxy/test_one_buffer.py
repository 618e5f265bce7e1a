"""One buffer for all: each connection gets what was sent to it, and nothing else."""

import asyncio

from typing_extensions import override

from sidecar.fronts.reverse_proxy.one_buffer import OneBuffer
from tests.fakes.waiting import until


class Reader(OneBuffer):
    def __init__(self) -> None:
        self.read = b""

    @override
    def octets_received(self, octets: memoryview) -> None:
        self.read += octets


async def test_connections_that_are_read_side_by_side_do_not_mix() -> None:
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []

    def make() -> Reader:
        readers.append(Reader())
        return readers[-1]

    async with await loop.create_server(make, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        writers = [(await asyncio.open_connection(*address))[1] for _ in range(20)]
        await until(lambda: len(readers) == len(writers))
        sent = [bytes([number]) * (30_000 * number + 1) for number in range(len(writers))]
        for part in range(3):
            for writer, octets in zip(writers, sent, strict=True):
                writer.write(octets[part::3])
        for writer in writers:
            await writer.drain()
        await until(lambda: sum(len(each.read) for each in readers) == sum(map(len, sent)))

        assert sorted(each.read for each in readers) == sorted(sent)
        for writer in writers:
            writer.close()
