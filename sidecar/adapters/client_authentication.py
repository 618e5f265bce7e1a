"""How the sidecar shows an authorization server who asks (RFC 6749, 2.3; RFC 7523, 2.2; RFC 8705).

Secrets and keys are read from their files for each question: others renew them there. Never in a
log.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sidecar.ports import Clock

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 60

ReadSecret = Callable[[], str]
"""Returns a secret from its file; raises OSError or ValueError where there is none any more."""


class NoCredential(Exception):
    """The secret or key cannot be used; the text names no part of it."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is sent beside the question."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)


Prove = Callable[[], Awaitable[Proof]]
"""Makes the proof for one question; raises ``NoCredential``."""


def by_basic(client_id: str, read: ReadSecret) -> Prove:
    """Return ``client_secret_basic``."""

    async def prove() -> Proof:
        secret = await _read(read)
        # RFC 6749, 2.3.1: both are form-encoded before they are put into the header.
        basic = aiohttp.encode_basic_auth(quote_plus(client_id), quote_plus(secret))
        return Proof(headers={"Authorization": basic})

    return prove


def by_post(client_id: str, read: ReadSecret) -> Prove:
    """Return ``client_secret_post``."""

    async def prove() -> Proof:
        return Proof(form={"client_id": client_id, "client_secret": await _read(read)})

    return prove


def by_certificate(client_id: str) -> Prove:
    """Return ``tls_client_auth`` (RFC 8705, 2): the connection itself is the proof."""

    async def prove() -> Proof:
        return Proof(form={"client_id": client_id})

    return prove


@dataclass(frozen=True, slots=True)
class AssertionRules:
    """What an assertion says. ``audience`` is who may take it: the issuer, for most providers."""

    client_id: str
    audience: str
    algorithm: str
    key_id: str | None = None


def by_assertion(rules: AssertionRules, read: ReadSecret, clock: Clock) -> Prove:
    """Return ``private_key_jwt``: each is made anew, since a server may take one only once."""

    async def prove() -> Proof:
        text = await _read(read)
        try:
            assertion = await asyncio.to_thread(_sign, rules, text, clock.now())
        except (JoseError, ValueError, TypeError) as problem:
            detail = f"its key does not sign by {rules.algorithm}: {type(problem).__name__}"
            raise NoCredential(detail) from None
        return Proof(
            form={
                "client_id": rules.client_id,
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": assertion,
            }
        )

    return prove


def read_private_key(text: str, algorithm: str) -> RSAKey | ECKey | OKPKey:
    """Return a private key out of its PEM, of the kind that ``algorithm`` signs with.

    Raises:
        ValueError: it is none.
    """
    kind = RSAKey if algorithm[:2] in ("RS", "PS") else ECKey if algorithm[:2] == "ES" else OKPKey
    try:
        key = kind.import_key(text)
    except (JoseError, ValueError, TypeError):
        raise ValueError(f"expected the PEM of a private key for {algorithm}") from None
    if not key.is_private:
        raise ValueError("this is a public key; the private one is needed")
    return key


def _sign(rules: AssertionRules, text: str, now: float) -> str:
    header = {"alg": rules.algorithm, "typ": "JWT"}
    if rules.key_id is not None:
        header["kid"] = rules.key_id
    claims = {
        "iss": rules.client_id,
        "sub": rules.client_id,
        "aud": rules.audience,
        "iat": int(now),
        "exp": int(now) + _ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    key = read_private_key(text, rules.algorithm)
    return jwt.encode(header, claims, key, algorithms=[rules.algorithm])


async def _read(read: ReadSecret) -> str:
    try:
        return await asyncio.to_thread(read)
    except (OSError, ValueError) as problem:
        raise NoCredential(f"its file cannot be used: {type(problem).__name__}") from None
