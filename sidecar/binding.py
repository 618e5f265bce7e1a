"""The binding: was the token sent by whom it was issued to?

The part of THE decision that looks at what came beside a sender-constrained token: the proof of a
key (RFC 9449), the client's certificate (RFC 8705). Plain bearers never come here.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from sidecar.core.bearer import BearerToken, is_dpop
from sidecar.core.confirmation import Demand, Shown
from sidecar.core.decision import Denied, Deny, DenyReason
from sidecar.core.dpop import Proof, ProofRules, check_proof, read_proof, verify_proof
from sidecar.core.nonces import Nonces
from sidecar.core.proof_offer import ProofOffer
from sidecar.core.request import AccessRequest
from sidecar.core.token_memory import TokenMemory
from sidecar.ports import Clock
from sidecar.wanted import Asked, Wanted

_NOTHING = Shown()


class UsedProofs(Protocol):
    """Remembers which proofs were used, for all who share it."""

    async def use(self, mark: str, seconds: float) -> bool:
        """Remember a proof for so many seconds; return whether it had not been used before.

        Raises:
            StatusUnavailable: nobody can say.
        """
        ...


@dataclass(frozen=True, slots=True)
class Proofs:
    """How proofs are judged. With ``nonces`` each has to have one of ours."""

    rules: ProofRules
    used: UsedProofs
    nonces: Nonces | None = None


class BindingJudge:
    """Judges what is demanded of a token's sender. Without ``proofs`` no DPoP proof is taken."""

    def __init__(self, clock: Clock, proofs: Proofs | None) -> None:
        self._clock = clock
        self._proofs = proofs
        self._algorithms = "" if proofs is None else " ".join(sorted(proofs.rules.algorithms))

    def check(
        self, demand: Demand, request: AccessRequest, memory: TokenMemory, asked: Asked
    ) -> None:
        """Compare what was shown with what the token is bound to; ``asked`` keeps a good proof.

        Raises:
            Denied: BINDING_MISSING, BINDING_REFUSED, PROOF_REFUSED or PROOF_WITHOUT_NONCE.
            Wanted: a proof has to be marked as used in the end, so there is no answer at once.
        """
        if demand.refusal is not None:
            raise Denied(*demand.refusal)
        shown = request.shown or _NOTHING
        if demand.certificate is not None and shown.certificate != demand.certificate:
            detail = "no certificate is proven" if shown.certificate is None else "another's"
            raise Denied(DenyReason.BINDING_REFUSED, f"the client's certificate: {detail}")
        if demand.key is None or asked.proof is not None:
            return
        if self._proofs is None:
            raise Denied(DenyReason.BINDING_REFUSED, "no proofs are taken")
        if asked.at_once:
            raise Wanted(DenyReason.STATUS_UNAVAILABLE, "the proof's mark")
        assert memory.bearer is not None  # noqa: S101 - its claims were read
        asked.proof = self._proven(self._proofs, demand.key, request, memory.bearer)

    def check_unused(self, asked: Asked) -> None:
        """Have the proof marked as used, as the last thing: a refusal does not use it up.

        Raises:
            Denied: PROOF_REPLAYED.
            Wanted: it is not yet marked. What this decision has marked is no replay to itself.
        """
        if asked.proof is None or asked.is_unused:
            return
        if asked.is_unused is None:
            detail = "the proof's mark"
            raise Wanted(DenyReason.STATUS_UNAVAILABLE, detail, mark=asked.proof.mark)
        raise Denied(DenyReason.PROOF_REPLAYED, "the proof was used before")

    async def use(self, mark: str) -> bool:
        """Mark a proof as used; return whether it had not been before.

        Raises:
            StatusUnavailable: nobody can say.
        """
        assert self._proofs is not None  # noqa: S101
        return await self._proofs.used.use(mark, self._proofs.rules.memory_seconds)

    def with_offer(self, deny: Deny, request: AccessRequest) -> Deny:
        """Return the denial with what its client is told of DPoP, where that is taken."""
        if self._proofs is None:
            return deny
        nonce = ""
        if self._proofs.nonces is not None and deny.reason is DenyReason.PROOF_WITHOUT_NONCE:
            nonce = self._proofs.nonces.current(self._clock.now())
        was_taken = len(request.authorization) == 1 and is_dpop(request.authorization[0])
        return replace(deny, offer=ProofOffer(self._algorithms, was_taken, nonce))

    def _proven(
        self, proofs: Proofs, thumbprint: str, request: AccessRequest, bearer: BearerToken
    ) -> Proof:
        shown, now = request.shown or _NOTHING, self._clock.now()
        unverified = read_proof(shown.proofs, proofs.rules)
        check_proof(unverified, proofs.rules, method=request.method, path=request.path, now=now)
        proof = verify_proof(unverified, bearer, thumbprint)
        if proofs.nonces is not None and not (
            proof.nonce is not None and proofs.nonces.is_good(proof.nonce, now)
        ):
            raise Denied(DenyReason.PROOF_WITHOUT_NONCE, "the nonce is missing, or none of now")
        return proof
