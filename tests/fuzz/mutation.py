"""Random changes to tokens: to their text, to the octets under it, and to the JSON under those."""

import base64
import json
from collections.abc import Callable, Sequence
from random import Random

from tests.fakes.tokens import encode
from tests.fuzz.signing import fuzz_key

_OCTETS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/~"
_NAMES = (
    "alg",
    "kid",
    "typ",
    "crit",
    "b64",
    "jwk",
    "jku",
    "x5u",
    "x5c",
    "zip",
    "enc",
    "cty",
    "iss",
)
_CLAIMS = (
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "scope",
    "scp",
    "azp",
    "groups",
    "nonce",
)
_VALUES = (
    "null", "true", "false", "0", "-1", "1e400", "1e16", "1700000300", "1700000300.5",
    "1699999999", "9007199254740993", "NaN", "-Infinity", "[]", "{}", '""', '"x"', '"\\ud800"',
    '"\\u0000"', "[1]", '"robot\\r\\nX: y"', '["api://reports"]', '["api://reports", 7]',
    '"api://reports"', '"none"', '"RS256"', '"Ed25519"', '"EdDSA"', '"HS256"', '"fuzz"',
    '"https://idp.example"', '{"a":{"a":1}}', '"robot"', '"admin"', "9" * 400,
    "[" * 40 + "]" * 40, '"' + "s" * 300 + '"', '"dpop+jwt"', '"JWT"',
)  # fmt: skip


def mutated(random: Random, corpus: Sequence[str]) -> str:
    """Return a token of the corpus with some changes, most often with its old signature."""
    token = random.choice(corpus)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        token = random.choice((_in_text, _in_text, _in_octets, _in_json, _spliced))(
            token, random, corpus
        )
    return token


def resealed(random: Random, corpus: Sequence[str]) -> str:
    """Return a token of the corpus with its JSON changed, and signed as its issuer would."""
    header, claims, *_ = random.choice(corpus).split(".")
    header_text, claims_text = _text(header), _text(claims)
    for _ in range(random.choice((1, 1, 2, 3))):
        if random.random() < 0.4:
            header_text = _changed(header_text, random, _NAMES)
        else:
            claims_text = _changed(claims_text, random, _CLAIMS)
    if random.random() < 0.1:
        claims_text = _struck(claims_text.encode(), random).decode("latin-1")
    message = f"{encode(header_text)}.{encode(claims_text)}"
    return f"{message}.{encode(fuzz_key().sign(message.encode()))}"


def _in_text(token: str, random: Random, corpus: Sequence[str]) -> str:
    del corpus
    place, octet = random.randrange(len(token) + 1), random.choice(_OCTETS)
    rest = token[place:]
    kinds: tuple[Callable[[], str], ...] = (
        lambda: token[:place] + octet + rest[1:],
        lambda: token[:place] + octet + rest,
        lambda: token[:place] + rest[1:],
        lambda: token[:place],
        lambda: token[:place] + rest.swapcase(),
        lambda: token + octet * random.randrange(1, 4),
        lambda: token[: -1 or None] + random.choice(_OCTETS),
        lambda: token.replace(".", random.choice(("..", "", ".=", "~")), 1),
    )
    return random.choice(kinds)()


def _in_octets(token: str, random: Random, corpus: Sequence[str]) -> str:
    del corpus
    segments = token.split(".")
    index = random.randrange(len(segments))
    octets = _text(segments[index]).encode("latin-1", "replace")
    segments[index] = encode(_struck(octets, random))
    return ".".join(segments)


def _in_json(token: str, random: Random, corpus: Sequence[str]) -> str:
    del corpus
    segments = token.split(".")
    if len(segments) < 2:
        return token
    index = random.randrange(2)
    names = (_NAMES, _CLAIMS)[index]
    segments[index] = encode(_changed(_text(segments[index]), random, names))
    return ".".join(segments)


def _spliced(token: str, random: Random, corpus: Sequence[str]) -> str:
    mine, other = token.split("."), random.choice(corpus).split(".")
    index = random.randrange(min(len(mine), len(other)))
    return ".".join([*mine[:index], other[index], *mine[index + 1 :]])


def _changed(text: str, random: Random, names: Sequence[str]) -> str:
    """Return the JSON with a member changed, added, doubled or taken out; or its text struck."""
    name, value = random.choice(names), random.choice(_VALUES)
    try:
        members = json.loads(text)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        return _struck(text.encode(), random).decode("latin-1")
    written = {each: json.dumps(members[each]) for each in members}
    kind = random.randrange(4)
    if kind == 0 and written:
        del written[random.choice(list(written))]
    elif kind == 1 and written:
        written[random.choice(list(written))] = value
    else:
        written[name] = value
    pairs = [f"{json.dumps(each)}:{written[each]}" for each in written]
    if kind == 2 and pairs:
        pairs.append(f'"{name}":{value}')
    return "{" + ",".join(pairs) + "}"


def _struck(octets: bytes, random: Random) -> bytes:
    place = random.randrange(len(octets) + 1)
    new = random.choice((b"", b"\0", b"\xff", b'"', b"}", b"\\", b"\xef\xbb\xbf", b" ", b"9"))
    return octets[:place] + new + octets[place + random.randrange(2) :]


def _text(segment: str) -> str:
    """Return what a segment holds, or something where it holds nothing."""
    kept = "".join(each for each in segment if each in _OCTETS[:64])
    padded = kept[: len(kept) // 4 * 4 + (len(kept) % 4 if len(kept) % 4 > 1 else 0)]
    return base64.urlsafe_b64decode(padded + "=" * (-len(padded) % 4)).decode("latin-1")
