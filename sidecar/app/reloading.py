"""SIGHUP: settings, and the files that they name, are read anew; what is wrong changes nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from sidecar.adapters.service_manager import ServiceManager
from sidecar.app.certificates import tell_of_certificates
from sidecar.app.checking import problems_of
from sidecar.app.doors import doors_of
from sidecar.app.generations import NotReplaced
from sidecar.app.parts import MEMORY
from sidecar.observability.upkeep import Upkeep
from sidecar.ports import Clock
from sidecar.settings import Problem, Settings, SettingsProblems
from sidecar.settings.events import Events

log = logging.getLogger(__name__)

Load = Callable[[], Settings]
"""Reads the settings anew; raises SettingsProblems."""


def _place_of(events: Events | None) -> object:
    """Return where events come in; who pushes them may change."""
    return None if events is None else (events.host, events.port, events.tls)


_RESTART = "cannot change in a reload; restart the sidecar for it"
_FIXED: dict[str, Callable[[Settings], object]] = {
    "admin.host": lambda settings: settings.admin.host,
    "admin.port": lambda settings: settings.admin.port,
    "admin.tls": lambda settings: settings.admin.tls,
    "events": lambda settings: _place_of(settings.events),
    "workers": Settings.worker_count,
}


def read_anew(load: Load, in_force: Settings) -> Settings:
    """Return the new settings, all that can be checked beforehand checked.

    Raises:
        SettingsProblems: they are wrong, or differ from those in force where only a restart helps.
    """
    settings = load()
    problems = [*problems_of(settings), *_fixed(in_force, settings)]
    if problems:
        raise SettingsProblems("these settings", problems)
    return settings


def _fixed(before: Settings, after: Settings) -> list[Problem]:
    changed = [place for place, read in _FIXED.items() if read(before) != read(after)]
    problems = [Problem(place, _RESTART) for place in (*_moved(before, after), *changed)]
    if any(each.accounts.url.startswith(MEMORY) for each in (before, after)):
        problems.append(
            Problem("accounts.url", "a reload would forget what is in memory://; restart instead")
        )
    return problems


def _moved(before: Settings, after: Settings) -> Iterator[str]:
    """Name what differs in where the doors are: the process holds their sockets from its start."""
    old = {door.name: door for door in doors_of(before)}
    new = {door.name: door for door in doors_of(after)}
    yield from sorted(old.keys() ^ new.keys())
    for name in sorted(old.keys() & new.keys()):
        if old[name].host != new[name].host:
            yield f"{name}.host"
        if old[name].port != new[name].port:
            yield f"{name}.port"


class Reloader:
    """Puts new settings in force at each SIGHUP, one after the other."""

    def __init__(
        self,
        load: Load,
        in_force: Settings,
        replace: Callable[[Settings], Awaitable[None]],
        upkeep: Upkeep,
        clock: Clock,
        manager: ServiceManager,
    ) -> None:
        self._load = load
        self._in_force = in_force
        self._replace = replace
        self._upkeep = upkeep
        self._clock = clock
        self._manager = manager

    async def run(self, heard: asyncio.Event) -> None:
        """Reload whenever ``heard`` is set; those that come meanwhile are one more."""
        self._tell_of_certificates()
        while True:
            await heard.wait()
            heard.clear()
            await self.reload()

    async def reload(self) -> None:
        """Read the settings and put them in force, or say why not."""
        log.info("reading the settings anew")
        self._manager.reloading()
        try:
            # Files are read, and PEM parsed: not while requests wait.
            settings = await asyncio.to_thread(partial(read_anew, self._load, self._in_force))
            await self._replace(settings)
        except SettingsProblems as problems:
            for problem in problems.problems:
                log.error("settings: %s", problem)  # noqa: TRY400 - there is nothing to trace
            self._fail()
        except NotReplaced as problem:
            log.error("settings: %s", problem)  # noqa: TRY400
            self._fail()
        else:
            self._in_force = settings
            self._upkeep.reloaded(self._clock.now())
            self._tell_of_certificates()
            log.info("the new settings are in force")
        self._manager.ready()

    def _tell_of_certificates(self) -> None:
        tell_of_certificates(self._in_force, self._upkeep, self._clock.now())

    def _fail(self) -> None:
        self._upkeep.reload_failed()
        log.error("the reload is refused: the settings from before stay in force")
