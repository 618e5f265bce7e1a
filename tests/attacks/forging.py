"""Tokens made as a row of the tables describes them, in a world of several tenants."""

import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sidecar.adapters.jwks import ByKid, read_key_set
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from tests.attacks.hostile_signatures import hostile_signature
from tests.attacks.tables import Row
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, encode, rsa_key
from tests.fakes.world import AUDIENCE, ISSUERS, REALM, ROUTES, World

OTHER = Issuer(
    "https://tenant-b.example",
    realm="tenant-b",
    algorithms=ISSUERS[0].algorithms,
    audiences=frozenset({"api://tenant-b"}),
)
WIDE = Issuer(
    "https://wide.example",
    realm=REALM,
    algorithms=ASYMMETRIC_ALGORITHMS,
    audiences=frozenset({AUDIENCE}),
)
LAX = replace(WIDE, name="https://lax.example", kid_optional=True, leeway=5.0)
STRICT = replace(
    WIDE,
    name="https://strict.example",
    type_required=True,
    token_types=frozenset({"at+jwt"}),
    required_claims={"token_use": "access"},
)
HOSTILE_ISSUERS = (*ISSUERS, OTHER, WIDE, LAX, STRICT)

_SAID_OF_KEYS: Mapping[str, Mapping[str, str]] = {
    "rs512": {"alg": "RS512"},
    "ps256": {"alg": "PS256"},
    "old ed": {"alg": "EdDSA"},
    "for encryption": {"use": "enc"},
}
_PLACEHOLDER = re.compile(r"\{(header|claims|signature)(?::(\w+))?\}")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@cache
def signers() -> Mapping[str, tuple[str, SigningKey]]:
    """Return, by the name of a row's `key`, whose key it is and the key."""
    return {
        "any rsa": ("wide", rsa_key("any-rsa")),
        "rs512": ("wide", rsa_key("rs512", "RS512")),
        "ps256": ("wide", rsa_key("ps256", "PS256")),
        "p256": ("wide", ec_key("p256")),
        "p384": ("wide", ec_key("p384", "ES384")),
        "p521": ("wide", ec_key("p521", "ES512")),
        "any ed": ("wide", ed25519_key("any-ed")),
        "old ed": ("wide", ed25519_key("old-ed", "EdDSA")),
        "twin rsa": ("wide", replace(rsa_key("twin-rsa"), kid="twin")),
        "twin rsa 2": ("wide", replace(rsa_key("twin-rsa-2"), kid="twin")),
        "twin ec": ("wide", replace(ec_key("twin-ec"), kid="twin")),
        "for encryption": ("wide", rsa_key("for-encryption")),
        "small": ("wide", _small_key()),
        "tenant b": ("other", replace(rsa_key("tenant-b"), kid="rsa")),
        "stranger": ("none", replace(rsa_key("stranger"), kid="rsa")),
        "strange ec": ("none", replace(ec_key("strange-ec"), kid="ec")),
        "strange ed": ("none", replace(ed25519_key("strange-ed"), kid="ed")),
        "rsa": ("own", rsa_key()),
        "ec": ("own", ec_key()),
        "ed": ("own", ed25519_key()),
    }


def _small_key() -> SigningKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns, and makes and uses such keys
        return rsa_key("small", bits=1024)


@cache
def published(owner: str) -> ByKid:
    """Return the keys of these signers as they are read from a JWK Set."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as of ``_small_key``
        members = [
            {**key.public.as_dict(private=False), "kid": key.kid, **_SAID_OF_KEYS.get(name, {})}
            for name, (whose, key) in signers().items()
            if whose == owner
        ]
    issuer = {"own": ISSUERS[0], "other": OTHER, "wide": WIDE}[owner]
    return read_key_set(json.dumps({"keys": members}).encode(), issuer, 64).by_kid


def hostile_world(routes: Any = ROUTES, **rules: Any) -> World:
    """Return a world whose issuers are several, with keys that went through our own reading."""
    world = World(issuers=HOSTILE_ISSUERS, routes=routes, **rules)
    world.keys.publish(ISSUERS[0].name, published("own"))
    world.keys.publish(OTHER.name, published("other"))
    for issuer in (WIDE, LAX, STRICT):
        world.keys.publish(issuer.name, published("wide"))
    return world


def forge(world: World, row: Row) -> str:
    """Return the token that a row describes."""
    _, key = signers()[row.get("key", "rsa")]
    signer = replace(key, algorithm=row.get("signs_with", key.algorithm))
    header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt", **row.get("header", {})}
    claims = {**world.claims(), **row.get("claims", {})}
    for members, left_out in ((header, "header_without"), (claims, "claims_without")):
        for name in row.get(left_out, ()):
            del members[name]
    segments = {
        "header": encode(_text(row, "header", header)),
        "claims": encode(_text(row, "claims", claims)),
    }
    message = f"{segments['header']}.{segments['claims']}".encode()
    if "signature" in row:
        octets = hostile_signature(row["signature"], message, signer, str(header.get("alg")))
    elif "signature_of" in row:
        octets = signer.sign(b".".join([encode(row["signature_of"]).encode()] * 2))
    else:
        octets = signer.sign(message)
    segments["signature"] = encode(octets)
    form: str = row.get("form", "{header}.{claims}.{signature}")
    return _PLACEHOLDER.sub(lambda found: _spelled(segments[found[1]], found[2]), form)


def _text(row: Row, name: str, members: Mapping[str, Any]) -> bytes:
    text: str = row.get(f"{name}_text") or json.dumps(members)
    for placeholder, (unit, times) in row.get("stretch", {}).items():
        text = text.replace(placeholder, unit * times)
    return text.encode(row.get(f"{name}_charset", "utf-8"))


def _spelled(segment: str, how: str | None) -> str:
    return segment if how is None else _SPELLINGS[how](segment)


def _with_a_tail(segment: str) -> str:
    assert len(segment) % 4, "all bits of the last character are in use"
    return segment[:-1] + _ALPHABET[_ALPHABET.index(segment[-1]) ^ 1]


def _in_the_standard_alphabet(segment: str) -> str:
    other = segment.replace("-", "+").replace("_", "/")
    assert other != segment
    return other


_SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "padded": lambda segment: segment + "=" * (-len(segment) % 4 or 4),
    "pad": lambda segment: segment + "=",
    "tail": _with_a_tail,
    "standard": _in_the_standard_alphabet,
    "cut": lambda segment: segment[:-1],
    "cut2": lambda segment: segment[:-2],
    "headless": lambda segment: segment[1:],
    "more": lambda segment: segment + "A",
    "more4": lambda segment: segment + "AAAA",
    "upper": str.upper,
    "lower": str.lower,
    "twice": encode,
    "hex": lambda segment: segment.encode().hex(),
    "middle": lambda segment: f"{segment[:9]}={segment[9:]}",
}
