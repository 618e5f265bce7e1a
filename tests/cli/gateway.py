"""The stand-in gateway in an event loop of its own: the commands start loops of theirs."""

import asyncio
import threading
from types import TracebackType
from typing import Self

from sidecar.demo.gateway import Gateway, GatewayAccount


async def _nobody(_: str) -> str | None:
    return None


class GatewayThread:
    """Runs between ``with`` and its end."""

    def __init__(self) -> None:
        self.url = ""
        self._gateway = Gateway(_nobody, api_key="key")
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def put(self, subject: str, groups: tuple[str, ...] = ()) -> None:
        self._gateway.accounts[subject] = GatewayAccount(subject, "", groups)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with self._gateway:
            self.url = self._gateway.url
            self._started.set()
            await self._stop.wait()
