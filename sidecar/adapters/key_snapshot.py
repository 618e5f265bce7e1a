"""Good key documents on disk, so that a restart survives an identity provider's outage."""

import asyncio
import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sidecar.core.strict_json import read_json_object

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
        except (OSError, ValueError):
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
        content = read_json_object(self._file(issuer).read_bytes())
        document, fetched_at = content.get("document"), content.get("fetched_at")
        if (
            content.get("issuer") != issuer
            or not isinstance(document, str)
            or not isinstance(fetched_at, float)
        ):
            raise ValueError("not what this issuer's file holds")
        return Snapshot(document.encode(), fetched_at)

    def _file(self, issuer: str) -> Path:
        # An issuer is a URL; its hash is a name that leads nowhere else.
        return self._directory / f"keys-{hashlib.sha256(issuer.encode()).hexdigest()}.json"
