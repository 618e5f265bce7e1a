"""One aiohttp application on 127.0.0.1, which ends quickly however much of it streams."""

import asyncio

from aiohttp import web

_GRACE_SECONDS = 0.2


class Loopback:
    """Serves an application on loopback; ``port`` 0 lets the system choose, a restart keeps it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._closing: asyncio.Future[None] | None = None
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where the application is, without a final slash.

        Raises:
            RuntimeError: it was never started, so nobody knows.
        """
        if not self.port:
            raise RuntimeError("the port is not known before the server is started")
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_closing(self) -> bool:
        """Say whether the server is down or on its way there: streams should end."""
        return self._closing is None or self._closing.done()

    async def start(self, application: web.Application) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def begin_closing(_: web.Application) -> None:
            closing.set_result(None)

        application.on_shutdown.append(begin_closing)
        self._closing = closing
        runner = web.AppRunner(
            application,
            access_log=None,
            # A client that goes ends its handler now, not when the handler next writes to it.
            handler_cancellation=True,
            shutdown_timeout=_GRACE_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """End every request and stop listening, within half a second. Twice is once."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def lasts(self, seconds: float) -> bool:
        """Wait; say True after ``seconds``, False as soon as the server is on its way down."""
        if self._closing is not None:
            await asyncio.wait({self._closing}, timeout=seconds)
        return not self.is_closing
