"""Bad tokens by what is wrong with them; thousands of each, no two alike."""

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from tests.bench.peers.peer import SUBJECT
from tests.bench.site import Site
from tests.bench.tokens import garbage

_FORGED = 25_000  # more than the sidecar keeps refusals of, sent in turn
_SIGNED = 2_000  # more than it remembers where these are used


def bad_signature(site: Site) -> Iterator[str]:
    """Yield tokens whose signature has a key's size and is nobody's."""
    return _forged(site, {})


def unknown_kid(site: Site) -> Iterator[str]:
    """Yield tokens of a key that nobody has heard of."""
    return _forged(site, {"kid": "nobody's"})


def expired(site: Site) -> Iterator[str]:
    """Yield tokens of an hour ago: no leeway reaches so far."""
    return (site.provider.issue("bench", lifetime=-3600, sub=SUBJECT) for _ in range(_SIGNED))


def wrong_audience(site: Site) -> Iterator[str]:
    """Yield tokens that their issuer made for somebody else."""
    return (
        site.provider.issue("bench", lifetime=3600, sub=SUBJECT, aud="another") for _ in range(2000)
    )


def no_token(site: Site) -> Iterator[str]:
    """Yield what has the length of a token and is none."""
    del site
    return (garbage() for _ in range(_FORGED))


KINDS: Mapping[str, Callable[[Site], Iterable[str]]] = {
    "bad signature": bad_signature,
    "unknown kid": unknown_kid,
    "expired": expired,
    "wrong audience": wrong_audience,
    "garbage": no_token,
}


def _forged(site: Site, header: Mapping[str, Any]) -> Iterator[str]:
    parts = [urlsafe_b64decode(each.encode()) for each in site.token(SUBJECT).split(".")]
    head = _segment({**json.loads(parts[0]), **header})
    claims, octets = json.loads(parts[1]), len(parts[2])
    for _ in range(_FORGED):
        # The first octet is 0: as a number it is less than any modulus, so all of it is computed.
        signature = urlsafe_b64encode(b"\0" + secrets.token_bytes(octets - 1)).decode()
        yield f"{head}.{_segment({**claims, 'jti': secrets.token_hex(16)})}.{signature}"


def _segment(members: Mapping[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(members).encode()).decode()
