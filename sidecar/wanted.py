"""What a decision has to wait for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.core.bearer import BearerToken
from sidecar.core.decision import DenyReason
from sidecar.core.dpop import Proof
from sidecar.core.subject import Standing, SubjectKey
from sidecar.core.token_memory import TokenMemory


class Wanted(Exception):
    """Something is not at hand; ``reason`` is the verdict if it stays so."""

    def __init__(
        self,
        reason: DenyReason,
        detail: str,
        *,
        keys: tuple[str, str | None] | None = None,
        account: tuple[SubjectKey, str | None] | None = None,
        mark: str | None = None,
        introspection: tuple[str, BearerToken] | None = None,
        status_list: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.keys = keys
        self.account = account
        self.mark = mark
        self.introspection = introspection
        self.status_list = status_list

    @property
    def what(self) -> str:
        """What is waited for, in a word.

        For a turn too: mypyc 2.4 makes a crash of a property that a subclass overrides.
        """
        if self.reason is DenyReason.OVERLOADED:
            return "turn"
        waits = {
            "account": self.account,
            "keys": self.keys,
            "proof": self.mark,
            "introspection": self.introspection,
        }
        return next((what for what, wanted in waits.items() if wanted is not None), "status_list")


class TurnWanted(Wanted):
    """More tokens are to be verified than can be just now: this one has to wait its turn."""

    def __init__(self) -> None:
        super().__init__(DenyReason.OVERLOADED, "its turn")


@dataclass(slots=True)
class Asked:
    """What one decision has waited for, and what it has read on the way.

    Keys are asked for once only. ``standing`` is what the latest wait was for, or None. ``proof``
    is the DPoP proof once it was found good, ``is_unused`` what its mark said. ``answer`` is what
    the issuer says of the token, once ``is_answered``: None where it is not active. ``memory`` lets
    the walk after a wait not read the token again: whoever forges one pays nothing for it.
    ``at_once`` says that nothing will be waited for, ``has_turn`` that the latest wait was for the
    turn to verify a token that is not remembered.
    """

    keys: bool = False
    standing: Standing | None = None
    proof: Proof | None = None
    is_unused: bool | None = None
    memory: TokenMemory | None = None
    at_once: bool = False
    has_turn: bool = False
    is_answered: bool = False
    answer: Mapping[str, Any] | None = None
