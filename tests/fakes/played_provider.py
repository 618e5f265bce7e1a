"""An identity provider's documents, played from memory."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.key_source import Provider
from sidecar.ports import FetchOutcome
from tests.fakes.tokens import SigningKey, rsa_key

KEYS_URL = "https://keys.example/jwks"


@dataclass
class PlayedProvider:
    """A provider that answers from memory, and counts. ``held`` keeps its answers back."""

    signing: list[SigningKey] = field(default_factory=lambda: [rsa_key()])
    jwks_url: str = KEYS_URL
    failure: Exception | None = None
    held: asyncio.Event | None = None
    fetched: list[str] = field(default_factory=list)

    async def fetch(self, url: str, provider: Provider) -> bytes:
        self.fetched.append(url)
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure
        if url.endswith("openid-configuration"):
            document: Any = {"issuer": provider.issuer.name, "jwks_uri": self.jwks_url}
        elif url == self.jwks_url:
            document = {
                "keys": [
                    {**key.public.as_dict(private=False), "kid": key.kid} for key in self.signing
                ]
            }
        else:
            raise FetchFailed(FetchOutcome.STATUS, "status 404")
        return json.dumps(document).encode()

    @property
    def key_fetches(self) -> int:
        return self.fetched.count(self.jwks_url)
