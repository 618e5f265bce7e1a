"""An outage in the log: when it begins, now and then while it lasts, and when it is over."""

import logging

log = logging.getLogger(__name__)

# What an outage begins with ("connection closed") seldom is why it lasts ("wrong password").
_LASTING_SECONDS = 1.0
_REMIND_SECONDS = 30.0


class OutageLog:
    """Tells of one dependency's outages. Times are steady seconds.

    ``effect`` says who feels that ``what`` is away.
    """

    def __init__(
        self,
        what: str = "the account store",
        effect: str = "requests that need an account get 503",
    ) -> None:
        self._what = what
        self._effect = effect
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
        log.warning("%s is not available, and %s: %s", self._what, self._effect, why)

    def over(self, now: float) -> None:
        """Take that it is well again."""
        since, self._since = self._since, None
        if since is not None:
            log.info("%s is available again, after %.1f s", self._what, now - since)
        elif not self._was_well:
            log.info("%s is available", self._what)
        self._was_well = True
