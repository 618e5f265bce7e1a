"""Status lists: those that the test has at hand, and tokens of lists."""

import zlib
from collections.abc import Iterable
from typing import Any

from joserfc.util import urlsafe_b64encode

from sidecar.core.status_list import StatusList
from sidecar.status_lists import StatusListUnavailable
from tests.fakes.tokens import SigningKey, rsa_key, seal

URI = "https://idp.example/statuslists/1"


class FakeStatusLists:
    """Implements ``status_lists.StatusLists``: what is in ``stored`` is at hand once it is read."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], StatusList] = {}
        self.at_hand: dict[tuple[str, str], StatusList] = {}
        self.reads: list[tuple[str, str]] = []

    def look_up(self, issuer: str, uri: str) -> StatusList | None:
        return self.at_hand.get((issuer, uri))

    async def read(self, issuer: str, uri: str) -> StatusList:
        self.reads.append((issuer, uri))
        found = self.stored.get((issuer, uri))
        if found is None:
            raise StatusListUnavailable("none")
        self.at_hand[issuer, uri] = found
        return found


def statuses(values: Iterable[int], bits: int = 1) -> bytes:
    """Return the octets of a list with these statuses, the first in the lowest bits."""
    number = 0
    found = list(values)
    for place, value in enumerate(found):
        number |= value << (place * bits)
    return number.to_bytes((len(found) * bits + 7) // 8, "little")


def list_claims(octets: bytes, bits: int = 1, **changed: Any) -> dict[str, Any]:
    """Return the claims of a list's token; those changed to None are left out."""
    compressed = urlsafe_b64encode(zlib.compress(octets, 9)).decode()
    claims = {
        "sub": URI,
        "iat": 1_700_000_000 - 10,
        "exp": 1_700_000_000 + 3600,
        "ttl": 100,
        "status_list": {"bits": bits, "lst": compressed},
        **changed,
    }
    return {name: value for name, value in claims.items() if value is not None}


def list_token(claims: dict[str, Any], key: SigningKey | None = None, **header: Any) -> bytes:
    """Return the token as it is served."""
    key = key or rsa_key()
    members = {"alg": key.algorithm, "kid": key.kid, "typ": "statuslist+jwt", **header}
    return seal(members, claims, key).encode()
