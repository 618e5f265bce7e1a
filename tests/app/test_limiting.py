"""Limits are made where settings ask for them, and cost nothing where they do not."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from sidecar.admission import Limiter
from sidecar.app.limiting import make_limiter
from tests.app.test_parts import settings


def made(directory: Path, **sections: Any) -> Limiter | None:
    return make_limiter(settings(directory, **sections))


def test_without_a_limit_there_is_no_limiter(tmp_path: Path) -> None:
    assert made(tmp_path) is None


def test_accounts_are_held_to_the_limit_and_open_routes_to_theirs(tmp_path: Path) -> None:
    limits = {"requests_per_second": 5, "open_routes": {"concurrent": 2}}
    limiter = made(tmp_path, rate_limit=limits)

    assert limiter is not None
    account, address = (budget.limit for budget in limiter.budgets)
    assert account.rate == Fraction(5)
    assert address.rate is None
    assert (account.concurrent, address.concurrent) == (None, 2)


def test_a_route_may_have_the_only_limit(tmp_path: Path) -> None:
    row = {"name": "a", "path": "/a", "rate_limit": {"concurrent": 3}}
    limiter = made(tmp_path, routes=[row])

    assert limiter is not None
    assert [budget.limit.concurrent for budget in limiter.budgets] == [None, None, 3]
