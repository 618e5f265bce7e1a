"""An outage in the log: when it begins, now and then while it lasts, and when it is over."""

import logging

log = logging.getLogger(__name__)

# What an outage begins with ("connection closed") seldom is why it lasts ("wrong password").
_LASTING_SECONDS = 1.0
_REMIND_SECONDS = 30.0


class OutageLog:
    """Tells of one dependency's outages. Times are steady seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._tell_at = 0.0
        self._was_well = False

    def failed(self, why: str, now: float) -> None:
        """Take a failure; each try again is one, and most of them are not told."""
        if self._since is None:
            self._since = now
            self._tell_at = now + _LASTING_SECONDS
        elif now < self._tell_at:
            return
        else:
            self._tell_at = now + _REMIND_SECONDS
        log.warning(
            "the account store is not available, and requests that need an account get 503: %s", why
        )

    def over(self, now: float) -> None:
        """Take that it is well again."""
        since, self._since = self._since, None
        if since is not None:
            log.info("the account store is available again, after %.1f s", now - since)
        elif not self._was_well:
            log.info("the account store is available")
        self._was_well = True
