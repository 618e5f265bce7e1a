"""Which accounts were used since that was last written down: all of it that the hot path sees.

A grant costs a look into a dictionary, one at the clock and two assignments: 0.25 to 0.4 us of CPU
where a whole decision takes 7 us, and a denial 0.1 us (``tests/bench/last_use.py``).
"""

from typing_extensions import override

from sidecar.core.decision import Decision, Grant
from sidecar.core.principal import PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.subject import SubjectKey
from sidecar.observability.silent import SilentObserver
from sidecar.ports import Clock


class Use:
    """One account's: when its latest granted request began (epoch seconds), and how many."""

    __slots__ = ("last_seen", "uses")

    def __init__(self) -> None:
        self.last_seen = 0.0
        self.uses = 0


class RecentUse(SilentObserver):
    """Hears of grants to accounts, and keeps at most ``max_accounts`` until they are taken.

    ``lost`` counts the uses that there was no room for.
    """

    def __init__(self, clock: Clock, max_accounts: int) -> None:
        self._now = clock.now
        self._max_accounts = max_accounts
        self._recent: dict[SubjectKey, Use] = {}
        self.lost = 0

    @override
    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        if not isinstance(decision, Grant):
            return
        principal = decision.principal
        if principal is None or principal.kind is not PrincipalKind.SERVICE_ACCOUNT:
            return
        use = self._recent.get(principal.key)
        if use is None:
            if len(self._recent) >= self._max_accounts:
                self.lost += 1
                return
            use = self._recent[principal.key] = Use()
        use.uses += 1
        use.last_seen = self._now()

    def take(self) -> dict[SubjectKey, Use]:
        """Return what was used since this was last called: at once, however much it is."""
        recent, self._recent = self._recent, {}
        return recent
