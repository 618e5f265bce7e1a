"""Good key documents on disk, so that a restart survives an identity provider's outage."""

import asyncio
import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A document as it was fetched, and when (epoch seconds)."""

    document: bytes
    fetched_at: float


class KeySnapshot:
    """One file per issuer in ``directory``. Nothing here ever fails a fetch: it warns."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def save(self, issuer: str, document: bytes, fetched_at: float) -> None:
        """Keep the issuer's document, in place of the one before."""
        try:
            await asyncio.to_thread(self._write, issuer, document, fetched_at)
        except OSError as error:
            log.warning("the keys of %s could not be saved: %s", issuer, error.strerror)

    async def load(self, issuer: str) -> Snapshot | None:
        """Return what was kept of this issuer, or None."""
        try:
            return await asyncio.to_thread(self._read, issuer)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("the saved keys of %s cannot be read; they are fetched anew", issuer)
            return None

    def _write(self, issuer: str, document: bytes, fetched_at: float) -> None:
        content = json.dumps(
            {"issuer": issuer, "fetched_at": fetched_at, "document": document.decode("utf-8")}
        )
        # Renamed into place: a reader sees the old file or the new one, never half of it.
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=".keys-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
            Path(name).replace(self._file(issuer))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _read(self, issuer: str) -> Snapshot:
        content = json.loads(self._file(issuer).read_text("utf-8"))
        if content["issuer"] != issuer:
            raise ValueError("another issuer's file")
        return Snapshot(str(content["document"]).encode(), float(content["fetched_at"]))

    def _file(self, issuer: str) -> Path:
        # An issuer is a URL; its hash is a name that leads nowhere else.
        return self._directory / f"keys-{hashlib.sha256(issuer.encode()).hexdigest()}.json"
