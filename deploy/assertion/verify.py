"""How an upstream verifies who is calling: ``python verify.py KEYS_URL AUDIENCE ASSERTION``."""

import json
import sys
from urllib.request import urlopen

from joserfc import jwt
from joserfc.jwk import KeySet


def verify(keys_url: str, audience: str, assertion: str) -> dict[str, object]:
    """Return the claims of an X-Auth-Assertion; raises where it is not good."""
    keys = KeySet.import_key_set(json.load(urlopen(keys_url)))  # keep it for some minutes
    token = jwt.decode(assertion, keys, algorithms=["ES256", "Ed25519"])
    if token.header.get("typ") != "sidecar-identity+jwt":
        raise ValueError("this token is something else")
    required = {"essential": True}
    rules = jwt.JWTClaimsRegistry(
        leeway=5,  # seconds by which the clocks may differ
        aud={**required, "value": audience},
        exp=required,
        sub=required,
    )
    rules.validate(token.claims)
    return token.claims


if __name__ == "__main__":
    print(json.dumps(verify(*sys.argv[1:])))
