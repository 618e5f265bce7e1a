"""DPoP proofs changed at random: each has a key of its maker's with it, so all of it is hostile."""

from functools import cache
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied, DenyReason
from sidecar.core.dpop import check_proof, read_proof, verify_proof
from tests.fakes.proofs import RULES, jkt_of, jwk_of, proof_of
from tests.fakes.tokens import ed25519_key, rsa_key
from tests.fakes.world import NOW
from tests.fuzz.mutation import mutated

TOKEN = BearerToken("a.b.c")
OTHERS = (rsa_key("client"), ed25519_key("client"))
BOUNDED = settings(max_examples=400, derandomize=True, deadline=None, database=None)


def refusal_of(proof: str) -> Denied | None:
    """Return why a proof does not show that its sender has the client's key, None if it does."""
    try:
        unverified = read_proof([proof], RULES)
        check_proof(unverified, RULES, method="GET", path="/reports", now=NOW)
        verify_proof(unverified, TOKEN, jkt_of())
    except Denied as denied:
        return denied
    return None


@cache
def proofs() -> list[str]:
    """Return a good proof, and then others' of which something may get into it."""
    strange = [proof_of(TOKEN, key=key) for key in OTHERS]
    return [proof_of(TOKEN), *strange, proof_of(TOKEN, key=OTHERS[0], header={"jwk": jwk_of()})]


@BOUNDED
@given(st.randoms(use_true_random=False))
def test_no_changed_proof_shows_anything(random: Random) -> None:
    """Nor does that of another key, whatever is taken from it into a good one."""
    good = proofs()[0]
    changed = mutated(random, proofs())
    refused = refusal_of(changed)

    assert refusal_of(good) is None
    assert (refused is None) == (changed == good)
    if refused is not None:
        assert refused.reason in (DenyReason.PROOF_REFUSED, DenyReason.BINDING_REFUSED)
        assert len(refused.detail) < 120
