"""How accounts are used, for the commands that print them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from sidecar import app
from sidecar.adapters.clock import SystemClock
from sidecar.cli.common import stop, wait_for
from sidecar.core.last_use import UseRecord
from sidecar.core.subject import Account
from sidecar.ports import StatusUnavailable
from sidecar.settings import Settings

_DURATION = re.compile(r"(?=\d)(?:(\d{1,5})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m)?(?:(\d{1,9})s)?")


def read_duration(text: str) -> timedelta:
    """Read ``30d``, ``12h``, ``45m``, ``90s`` or ``1d12h``."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter("expected a duration such as 30d, 12h, 45m or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


Unused = Annotated[
    timedelta | None,
    typer.Option(
        "--unused",
        parser=read_duration,
        metavar="DURATION",
        help="Only those that nobody has used for so long, such as 30d, 12h or 45m.",
    ),
]


@dataclass(frozen=True, slots=True)
class Uses:
    """What is known of accounts' use; nothing is where it is not recorded."""

    record: UseRecord | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The headings of ``cells``."""
        return () if self.record is None else ("LAST SEEN (UTC)", "USES")

    def cells(self, account: Account) -> tuple[str, ...]:
        """Return what a table says of the account."""
        if self.record is None:
            return ()
        use = self.record.by_subject.get(account.subject)
        return ("never", "0") if use is None else (_date(use.last_seen), str(use.uses))

    def members(self, account: Account) -> dict[str, object]:
        """Return what JSON says of it: ``last_seen`` is in epoch seconds, or null for never."""
        if self.record is None:
            return {}
        use = self.record.by_subject.get(account.subject)
        if use is None:
            return {"last_seen": None, "uses": 0}
        return {"last_seen": use.last_seen, "uses": use.uses}


def read_uses(
    settings: Settings, realm: str, accounts: Sequence[Account], *, needed: bool = False
) -> Uses:
    """Return what is recorded of these accounts.

    Where it cannot be read that is said, and ends the process with 3 if it is ``needed``: who looks
    for an account in a hurry gets it without.
    """
    if settings.accounts.last_use is None:
        return Uses(None)

    async def read() -> UseRecord | None:
        async with app.open_last_use(settings) as store:
            try:
                return await store.read(realm, [account.subject for account in accounts])
            except StatusUnavailable as problem:
                if needed:
                    raise
                typer.echo(f"how accounts are used cannot be read: {problem}", err=True)
                return None

    return Uses(wait_for(read(), settings))


def unused_for(duration: timedelta, accounts: Sequence[Account], uses: Uses) -> list[Account]:
    """Return those that nobody has used for so long; ends the process with 2 where nobody knows."""
    record = uses.record
    if record is None or record.since is None:
        stop(
            "who used an account is not recorded: set accounts.last_use in the settings of the"
            " sidecars and of this command, and wait for as long as you want to look back",
            2,
        )
    latest = SystemClock().now() - duration.total_seconds()
    if record.since > latest:
        typer.echo(
            f"use is recorded since {_date(record.since)} UTC only; who was used before that is"
            " not known, so nobody counts as unused for longer",
            err=True,
        )
    found = ((account, record.unused_since(account)) for account in accounts)
    return [account for account, since in found if since is not None and since <= latest]


def _date(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"
