"""The highest mark of the account store (``store_revision``), kept on disk through restarts.

All processes of a machine share the file: the highest mark wins, under a lock. The file belongs to
one store, by URL (without credentials) and prefix; that of another is not believed. Nothing here
ever fails the view: what cannot be read or written is told in the log, and then the store is judged
by what its process alone has seen.
"""

import asyncio
import fcntl
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sidecar.adapters.store_revision import Mark
from sidecar.core.strict_json import read_json_object

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


class MarkFile:
    """Implements ``store_revision.Memory`` in ``directory``; ``run`` does the writing."""

    def __init__(
        self,
        directory: Path,
        url: str,
        prefix: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = f"{_CREDENTIALS.sub('', url)} {prefix}"
        self._directory = directory
        # A URL and a prefix may hold anything; their hash is a name that leads nowhere else.
        self._file = directory / f"mark-{hashlib.sha256(self._store.encode()).hexdigest()}.json"
        self._sleep = sleep
        self._noted = Mark()
        self._moved = asyncio.Event()
        self._said: set[str] = set()

    async def load(self) -> Mark:
        """Return the highest mark that was kept; that of an empty store if none was."""
        return await asyncio.to_thread(self._load)

    def note(self, mark: Mark) -> None:
        """Have the mark kept, soon and off the hot path."""
        if mark.rank > self._noted.rank:
            self._noted = mark
            self._moved.set()

    async def run(self) -> None:
        """Write what is noted until cancelled, at most about once a second; then a last time."""
        try:
            while True:
                await self._moved.wait()
                await self._save()
                await self._sleep(_PAUSE_SECONDS)
        finally:
            if self._moved.is_set():
                await self._save()

    async def _save(self) -> None:
        self._moved.clear()
        try:
            await asyncio.to_thread(self._raise_to, self._noted)
        except OSError as error:
            self._say_once(
                logging.WARNING,
                f"the account store's revision cannot be kept: {error.strerror}",
            )

    def _load(self) -> Mark:
        try:
            return self._read()
        except FileNotFoundError:
            self._say_once(
                logging.INFO,
                f"no revision of the account store is remembered in {self._directory} yet;"
                " whether it was rolled back before now cannot be told",
            )
        except (OSError, ValueError):
            self._say_once(
                logging.WARNING,
                f"{self._file} cannot be read, or is another store's;"
                " whether the account store was rolled back before now cannot be told",
            )
        return Mark()

    def _raise_to(self, mark: Mark) -> None:
        with self._locked():
            try:
                kept = self._read()
            except (OSError, ValueError):
                kept = Mark()
            if mark.rank > kept.rank:
                self._write(mark)

    def _read(self) -> Mark:
        content = read_json_object(self._file.read_bytes())
        revision, epoch = content.get("revision"), content.get("epoch")
        if (
            content.get("store") != self._store
            or not (revision is None or type(revision) is int)
            or not isinstance(epoch, str)
        ):
            raise ValueError("not what this store's file holds")
        return Mark(revision, epoch)

    def _write(self, mark: Mark) -> None:
        content = {"store": self._store, "revision": mark.revision, "epoch": mark.epoch}
        # Renamed into place: a reader sees the old file or the new one, never half of it.
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=".mark-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # On the directory, since the file is another one after each write.
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _say_once(self, level: int, words: str) -> None:
        if words not in self._said:  # it would come back with every connection
            self._said.add(words)
            log.log(level, "%s", words)
