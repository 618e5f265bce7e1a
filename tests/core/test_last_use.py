"""Which accounts nobody uses."""

from math import inf

import pytest

from sidecar.core.last_use import LastUse, UseRecord
from sidecar.core.subject import Account, AccountStatus


def account(updated_at: float) -> Account:
    return Account("id", "robot", "", (), AccountStatus.ACTIVE, updated_at=updated_at)


@pytest.mark.parametrize(
    ("since", "use", "updated_at", "unused_since"),
    [
        (100.0, LastUse(500.0, 3), 50.0, 500.0),
        (100.0, LastUse(500.0, 3), 900.0, 500.0),  # who changes an account does not use it
        (100.0, None, 300.0, 300.0),
        (100.0, None, 50.0, 100.0),  # before that nobody looked
        (100.0, None, inf, inf),  # nobody knows when it was changed
        (None, None, 300.0, None),
    ],
)
def test_an_account_is_unused_since_it_was_last_seen_or_else_since_it_could_have_been(
    since: float | None, use: LastUse | None, updated_at: float, unused_since: float | None
) -> None:
    record = UseRecord(since, {} if use is None else {"robot": use})

    assert record.unused_since(account(updated_at)) == unused_since
