"""Which accounts were used since that was last written down: all of it that the hot path sees.

A grant costs a look into a dictionary, one at the clock and two assignments: 0.25 to 0.4 us of CPU
where a whole decision takes 7 us, and a denial 0.1 us (``tests/bench/last_use.py``).
"""

from collections.abc import Mapping

from typing_extensions import override

from sidecar.core.decision import Decision, Grant
from sidecar.core.last_use import LastUse
from sidecar.core.principal import PrincipalKind
from sidecar.core.request import AccessRequest
from sidecar.core.subject import SubjectKey
from sidecar.observability.silent import SilentObserver
from sidecar.ports import Clock


class _Use:
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
        self._recent: dict[SubjectKey, _Use] = {}
        self.lost = 0

    @override
    def decided(self, request: AccessRequest, decision: Decision, seconds: float) -> None:
        if not isinstance(decision, Grant):
            return
        principal = decision.principal
        if principal is None or principal.kind is not PrincipalKind.SERVICE_ACCOUNT:
            return
        use = self._recent.get(principal.key) or self._room_for(principal.key)
        if use is None:
            self.lost += 1
            return
        use.uses += 1
        use.last_seen = self._now()

    def take(self) -> Mapping[SubjectKey, LastUse]:
        """Return what was used since this was last called."""
        recent, self._recent = self._recent, {}
        return {key: LastUse(use.last_seen, use.uses) for key, use in recent.items()}

    def put_back(self, used: Mapping[SubjectKey, LastUse]) -> None:
        """Keep what could not be written, with what was used since."""
        for key, written in used.items():
            use = self._recent.get(key) or self._room_for(key)
            if use is None:
                self.lost += written.uses
                continue
            use.uses += written.uses
            use.last_seen = max(use.last_seen, written.last_seen)

    def _room_for(self, key: SubjectKey) -> _Use | None:
        if len(self._recent) >= self._max_accounts:
            return None
        use = self._recent[key] = _Use()
        return use
