"""Protected-resource metadata (RFC 9728): how a client without a token finds out whom to ask.

A front answers for them itself, before any decision: there is nothing in them that is not meant
for everybody.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.core.decision import Grant
from sidecar.core.routes import Requirement, Route
from sidecar.fronts.refusal import Field, Refusal

_READ = frozenset({"GET", "HEAD"})
_SECONDS = 600  # as long as a client may go on believing what settings have changed since


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """The document, ``body``, and the ``path`` that it is at."""

    path: str
    body: bytes

    @classmethod
    def of(cls, path: str, members: Mapping[str, Any]) -> "ResourceMetadata":
        """Return the metadata with these members."""
        return cls(path, json.dumps(members).encode())

    @property
    def grant(self) -> Grant:
        """Return the decision that metrics and the decision log get to see."""
        return Grant(Route("resource-metadata", self.path, _READ, Requirement(bearer=False)))

    def answer(self, method: str) -> Refusal:
        """Return what to tell whoever asks; to HEAD a front sends no body."""
        if method not in _READ:
            return Refusal(405, ((b"Allow", b"GET, HEAD"), (b"Cache-Control", b"no-store")), b"")
        fields: tuple[Field, ...] = (
            (b"Content-Type", b"application/json"),
            (b"Cache-Control", b"public, max-age=%d" % _SECONDS),
            # For clients that are web pages. What is read has no secrets, and takes none.
            (b"Access-Control-Allow-Origin", b"*"),
        )
        return Refusal(200, fields, self.body)
