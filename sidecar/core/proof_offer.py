"""What clients are told of DPoP when they are refused (RFC 9449, 7.1 and 9)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProofOffer:
    """That a token may come with a proof, signed by one of these ``algorithms`` (a blank between).

    ``was_taken`` says that the request came under the scheme ``DPoP``, so the error is of that one.
    ``nonce`` is for the next proof, where it has to have one.
    """

    algorithms: str
    was_taken: bool = False
    nonce: str = ""

    def beside(self, bearer: str, realm: str) -> str:
        """Return the challenge that offers both schemes, out of the one for Bearer.

        In one line: gateways that copy an answer's fields keep one of a name. The scheme that was
        used comes first, with the error.
        """
        algorithms = f'algs="{self.algorithms}"'
        if not self.was_taken:
            return f"{bearer}, DPoP {algorithms}"
        parameters = bearer.removeprefix("Bearer ")
        return f'DPoP {parameters}, {algorithms}, Bearer realm="{realm}"'
