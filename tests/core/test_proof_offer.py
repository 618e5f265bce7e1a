"""What clients are told of DPoP (RFC 9449, 7.1)."""

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.proof_offer import ProofOffer
from sidecar.core.protection import Realm

API = Realm("api")
OFFER = ProofOffer("ES256 PS256")
TAKEN = ProofOffer("ES256 PS256", was_taken=True)


def test_who_sends_no_credential_is_offered_both_schemes() -> None:
    deny = Deny(DenyReason.NO_CREDENTIALS, offer=OFFER)

    assert deny.challenge(API) == 'Bearer realm="api", DPoP algs="ES256 PS256"'


def test_the_error_is_of_the_scheme_that_was_used() -> None:
    deny = Deny(DenyReason.PROOF_REFUSED, offer=TAKEN)

    assert deny.challenge(API) == (
        'DPoP realm="api", error="invalid_dpop_proof", algs="ES256 PS256", Bearer realm="api"'
    )


def test_a_refusal_without_a_challenge_has_none() -> None:
    assert Deny(DenyReason.STATUS_UNAVAILABLE, offer=TAKEN).challenge(API) is None


def test_where_no_proof_is_taken_only_bearers_are_offered() -> None:
    assert Deny(DenyReason.BAD_SIGNATURE).challenge(API) == (
        'Bearer realm="api", error="invalid_token"'
    )
