"""The Protocol between the decision and the issuers' status lists."""

from typing import Protocol

from sidecar.core.decision import DenyReason
from sidecar.core.status_list import StatusList
from sidecar.ports import FetchOutcome, Unavailable


class StatusListUnavailable(Unavailable):
    """The list cannot be had now; nothing follows about the token."""

    reason = DenyReason.STATUS_LIST_UNAVAILABLE


class StatusLists(Protocol):
    """The lists that tokens refer to, in memory, refreshed behind the requests."""

    def look_up(self, issuer: str, uri: str) -> StatusList | None:
        """Return the list if it is at hand and still counts. Never waits."""
        ...

    async def read(self, issuer: str, uri: str) -> StatusList:
        """Return the list, fetching it if need be; one fetch serves all who wait.

        Raises:
            StatusListUnavailable: it cannot be had.
        """
        ...


class StatusListObserver(Protocol):
    """Hears of fetches. It must be quick and must not raise."""

    def status_list_fetched(self, issuer: str, outcome: FetchOutcome, seconds: float) -> None:
        """Hear how a fetch ended, and how long it took."""
        ...


class NoStatusLists:
    """``StatusLists`` where no issuer has any."""

    def look_up(self, issuer: str, uri: str) -> StatusList | None:
        del issuer, uri
        return None

    async def read(self, issuer: str, uri: str) -> StatusList:
        del uri
        raise StatusListUnavailable(f"{issuer} has no status lists")
