"""The way of a token through the decision, for any octets: what has to hold whatever they are."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sidecar.core.decision import Deny, DenyReason, Grant
from tests.fakes.tokens import encode
from tests.fakes.world import ISSUER, World
from tests.fuzz.signing import KID, fuzz_key, other_keys

CORPUS = Path(__file__).parent / "corpus"
# The only reasons for which a token alone may be refused.
REASONS = frozenset(DenyReason) - {
    DenyReason.INTERNAL_ERROR, DenyReason.MALFORMED_REQUEST, DenyReason.UNTRUSTED_PEER,
    DenyReason.METHOD_REFUSED, DenyReason.EXPECTATION_REFUSED, DenyReason.NO_ROUTE,
    DenyReason.KEYS_UNAVAILABLE,
    DenyReason.STATUS_UNAVAILABLE, DenyReason.INSUFFICIENT_SCOPE, DenyReason.MISSING_GROUP,
}  # fmt: skip


def read_corpus() -> list[str]:
    """Return the tokens to begin with, all of them signed with the key of ``signing``."""
    return [file.read_text("ascii").strip() for file in sorted(CORPUS.glob("*.jwt"))]


def fuzz_world() -> World:
    """Return a world that trusts the key that never changes, and two more under its ``kid``."""
    world = World()
    keys = (fuzz_key(), *other_keys())
    world.keys.publish(ISSUER, {KID: tuple(key.verification_key() for key in keys)})
    return world


class Judge:
    """Asks for decisions, and fails where one is not as it has to be."""

    def __init__(self, signed: Sequence[str] = ()) -> None:
        self.world = fuzz_world()
        self._signed = frozenset(signed)

    def judge(self, token: str, *, sealed: bool = False) -> bool:
        """Say whether the token is granted; unless ``sealed``, only one of the signed may be."""
        return self._settle([f"Bearer {token}"], token, sealed=sealed)

    def judge_lines(self, lines: Sequence[str]) -> bool:
        """As ``judge``, for whole values of ``Authorization``."""
        token = lines[0].partition(" ")[2] if len(lines) == 1 else ""
        return self._settle(lines, token, sealed=False)

    def _settle(self, lines: Sequence[str], token: str, *, sealed: bool) -> bool:
        world = self.world
        world.observer.decisions.clear()
        world.keys.refreshes.clear()
        request = world.request(authorization=tuple(lines))
        decision = world.authorizer.authorize_now(request)
        if decision is None:  # its issuer's keys have to be asked for
            decision = asyncio.run(world.authorizer.authorize(request))
        match decision:
            case Grant() as grant:
                assert sealed or token in self._signed, "nobody signed this"
                assert grant.principal is not None
                assert grant.principal.key.subject == "robot"
                return True
            case Deny() as deny:
                assert deny.reason in REASONS, deny.reason
                assert deny.reason.http_status in (400, 401)
                assert len(deny.detail) < 400  # a few audiences are quoted
                assert len(token) < 8 or token not in deny.detail
                return False


def sealed(data: bytes) -> str:
    """Return a token of the fuzzer's header and claims, signed as its issuer would."""
    header, _, claims = data.partition(b"\n")
    message = f"{encode(header)}.{encode(claims)}"
    return f"{message}.{encode(fuzz_key().sign(message.encode()))}"


def try_octets(judge: Judge, data: bytes) -> None:
    """Read an input of the fuzzer's, and judge it: its first octet may say how the rest is read."""
    kind, rest = data[:1], data[1:]
    match kind:
        case b"s":
            judge.judge(sealed(rest), sealed=True)
        case b"f":
            forged = sealed(rest)
            judge.judge(f"{forged.rpartition('.')[0]}.{encode(bytes(64))}")
        case b"l":
            judge.judge_lines(rest.decode("latin-1").split("\n"))
        case _:
            judge.judge(data.decode("latin-1"))
