"""The keys of the demo's identity provider: the newest one signs, all of them are published."""

from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jwt
from joserfc.jwk import ECKey, KeyParameters, RSAKey

Algorithm = Literal["RS256", "ES256"]


class SigningKeys:
    """Keys of one algorithm, oldest first; the last one signs."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self._keys: dict[str, RSAKey | ECKey] = {}
        self.rotate()

    @property
    def kids(self) -> list[str]:
        return list(self._keys)

    def rotate(self) -> str:
        """Make a new signing key; return its ``kid``, the RFC 7638 thumbprint."""
        parameters: KeyParameters = {"use": "sig", "alg": self.algorithm}
        key: RSAKey | ECKey
        if self.algorithm == "RS256":
            key = RSAKey.generate_key(2048, parameters, auto_kid=True)
        else:
            key = ECKey.generate_key("P-256", parameters, auto_kid=True)
        kid = str(key.kid)
        self._keys[kid] = key
        return kid

    def retire(self, kid: str) -> None:
        """Forget a key. Raises KeyError for an unknown one, ValueError for the one that signs."""
        if kid not in self._keys:
            raise KeyError(kid)
        if kid == self.kids[-1]:
            raise ValueError("this key signs; rotate before it is retired")
        del self._keys[kid]

    def public(self) -> list[Mapping[str, Any]]:
        """Return the JSON Web Keys (RFC 7517), the public halves only."""
        return [key.as_dict(private=False) for key in self._keys.values()]

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return the claims as a JWT access token (RFC 9068, 2.1: ``typ`` is ``at+jwt``)."""
        kid = self.kids[-1]
        header = {"alg": self.algorithm, "typ": "at+jwt", "kid": kid}
        return jwt.encode(header, dict(claims), self._keys[kid], algorithms=[self.algorithm])
