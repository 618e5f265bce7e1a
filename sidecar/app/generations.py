"""Generations of what serves: on a reload the new one serves before the old one ends."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.app.administering import Endpoints
from sidecar.app.stopping import Stop
from sidecar.settings import Settings

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.01
_MOST_LEAVING = 2


class Generation(Protocol):
    """What serves with one set of settings."""

    @property
    def endpoints(self) -> Endpoints:
        """What answers at the admin listener after a sign-in."""

    def probes(self) -> Mapping[str, bool]:
        """Return what has to hold for requests to be granted, by name."""

    def is_ready(self) -> bool:
        """Return whether it could take over."""

    def accepts(self) -> bool:
        """Return whether a new connection may still come to it."""

    async def serve(self, stop: Stop) -> None:
        """Serve until ``stop``, then end in good order."""


Opened = Callable[[Settings, bool], AbstractAsyncContextManager[Generation]]
"""Opens one; a successor (True) must not accept anything before it is ready."""


class NotReplaced(Exception):
    """The new generation cannot take over; the one before it goes on."""


@dataclass(slots=True, eq=False)
class _Reign:
    stop: Stop
    begun: asyncio.Future[Generation]
    task: asyncio.Task[None] = field(init=False)
    is_in_force: bool = False


class Generations:
    """The generation in force, and those before it that finish what they have begun.

    ``patience`` is for how many seconds a successor may be on its way to readiness.
    """

    def __init__(
        self, opened: Opened, tasks: asyncio.TaskGroup, stop: Stop, patience: float
    ) -> None:
        self._opened = opened
        self._tasks = tasks
        self._stop = stop
        self._patience = patience
        self._current: _Reign | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def endpoints(self) -> Endpoints:
        """What answers at the admin listener now."""
        return Endpoints() if self._current is None else self._current.begun.result().endpoints

    def probes(self) -> Mapping[str, bool]:
        """Return what has to hold for requests to be granted."""
        if self._current is None:
            return {"started": False}
        probes = self._current.begun.result().probes()
        return {**probes, "staying": not self._stop.asked.is_set()}

    async def begin(self, settings: Settings) -> None:
        """Begin the first one, ready or not. Raises what opening it raises."""
        reign = self._start(settings)
        await reign.begun
        self._current = reign

    async def replace(self, settings: Settings) -> None:
        """Let a new one take over, once it is ready; the one before it then ends in good order.

        Returns when new connections come to the new one only. Where two still end from reloads
        before, that of one of them is waited for.

        Raises:
            NotReplaced: it does not start, or is not ready in time.
        """
        if self._stop.asked.is_set():
            raise NotReplaced("the sidecar is ending")
        while len(self._leaving) >= _MOST_LEAVING:
            await asyncio.wait(self._leaving, return_when=asyncio.FIRST_COMPLETED)
        reign, before = self._start(settings), self._current
        try:
            await self._readiness_of(reign)
        except (NotReplaced, asyncio.CancelledError):
            # Cancelled: the sidecar ends. Nobody else knows of one that waits for its keys.
            await self._abandon(reign)
            raise
        self._current, reign.is_in_force = reign, True
        if before is not None:
            before.is_in_force = False
            before.begun.result().endpoints.retire()
            self._leaving.add(before.task)
            before.task.add_done_callback(self._leaving.discard)
            before.stop.relieve()
            await self._departure_of(before)

    async def _readiness_of(self, reign: _Reign) -> None:
        try:
            async with asyncio.timeout(self._patience):
                generation = await asyncio.shield(reign.begun)
                while not generation.is_ready():
                    if reign.stop.asked.is_set() or reign.task.done():
                        raise NotReplaced("the new one ended before it was ready")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise NotReplaced(f"it was not ready within {self._patience:g} s") from None
        except (OSError, ValueError) as error:
            raise NotReplaced(f"it does not start: {error}") from None

    async def _departure_of(self, reign: _Reign) -> None:
        """Wait until new connections go to the successor alone: before, two settings hold."""
        try:
            async with asyncio.timeout(self._patience):
                while reign.begun.result().accepts() and not reign.task.done():  # noqa: ASYNC110 - workers say so in shared memory
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            log.warning("the settings from before may still serve some: a process of theirs hangs")

    async def _abandon(self, reign: _Reign) -> None:
        reign.stop.hurried.set()
        reign.stop.relieve()
        if not reign.begun.done():
            reign.task.cancel()
        await asyncio.wait((reign.task,))

    def _start(self, settings: Settings) -> _Reign:
        stop = Stop()
        self._stop.followers.append(stop)
        reign = _Reign(stop, asyncio.get_running_loop().create_future())
        reign.task = self._tasks.create_task(
            self._live(reign, settings, succeeds=self._current is not None)
        )
        return reign

    async def _live(self, reign: _Reign, settings: Settings, *, succeeds: bool) -> None:
        try:
            async with self._opened(settings, succeeds) as generation:
                reign.begun.set_result(generation)
                reign.is_in_force = not succeeds
                await generation.serve(reign.stop)
        except Exception as error:
            if reign.is_in_force:
                raise
            if reign.begun.done():
                log.exception("a generation that is not in force failed")
            else:
                reign.begun.set_exception(error)
        finally:
            self._stop.followers.remove(reign.stop)
