"""Settings of the signed identity that upstream is told."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sidecar.settings.fields import ReadableFile, Section, read_secret

_LEAST_SECRET = 32


class Assertion(Section):
    """A short-lived JWT that says who is calling, for an upstream that trusts no network.

    The keys that verify it are at the admin listener, `/.well-known/jwks.json`.
    """

    audience: Annotated[str, Field(min_length=1, max_length=255)]
    """What upstream is called. It has to demand it as `aud`: else another's assertion passes."""
    issuer: Annotated[str, Field(min_length=1, max_length=255)] = "sidecar"
    """What the sidecar is called, in `iss`."""
    algorithm: Literal["ES256", "Ed25519"] = "ES256"
    """What it is signed with."""
    lifetime: Annotated[float, Field(ge=10, le=600)] = 60.0
    """Seconds that it is good for, and never past the token's own end."""
    rotate_every: Annotated[float, Field(ge=3600, le=7776000)] = 86400.0
    """Seconds until the next key signs; each is published one such time before and after."""
    secret_file: ReadableFile | None = None
    """File with 32 random characters or more, for replicas to have the same keys.

    Without it each start of the sidecar has its own.
    """

    @field_validator("secret_file")
    @classmethod
    def _is_long(cls, file: Path | None) -> Path | None:
        if file is not None and len(read_secret(file).encode()) < _LEAST_SECRET:
            raise ValueError(f"expected {_LEAST_SECRET} characters or more, out of a generator")
        return file

    def read_secret(self) -> bytes | None:
        """Return the secret from its file, if there is one.

        Raises:
            OSError, ValueError: the file is no longer what it was at the start.
        """
        return None if self.secret_file is None else read_secret(self.secret_file).encode()
