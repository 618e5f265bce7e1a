"""How accounts are used, and which of them nobody uses."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.core.subject import Account


@dataclass(frozen=True, slots=True)
class LastUse:
    """When an account's latest granted request began (epoch seconds), and how many there were."""

    last_seen: float
    uses: int


@dataclass(frozen=True, slots=True)
class UseRecord:
    """What is recorded of a realm's accounts, by subject.

    ``since`` (epoch seconds) is when recording began; None where it never did.
    """

    since: float | None
    by_subject: Mapping[str, LastUse]

    def unused_since(self, account: Account) -> float | None:
        """Return since when nobody has used it (epoch seconds); None where that is not known.

        An account that was never seen counts from its latest change, and no longer than use has
        been recorded: before that its absence says nothing.
        """
        if self.since is None:
            return None
        use = self.by_subject.get(account.subject)
        return max(account.updated_at, self.since) if use is None else use.last_seen
