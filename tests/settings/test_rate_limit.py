"""Limits of callers: what they come to in each process, and what cannot be meant."""

from fractions import Fraction
from typing import Any

import pytest

from sidecar.core.rate_limit import Limit
from tests.settings.desk import Desk, changed, route


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (changed(rate_limit={"requests_per_second": 0}), "greater than 0"),
        (changed(rate_limit={"burst": 5, "concurrent": 1}), "without requests_per_second"),
        (changed(rate_limit={"requests_per_second": 1, "burst": 0}), "greater than or equal to 1"),
        (changed(rate_limit={"concurrent": 0}), "greater than or equal to 1"),
        (changed(rate_limit={"rps": 1}), "rate_limit.rps"),
        (changed(accounts={"url": "memory://"}, rate_limit={"shared": "redis"}), "no Redis"),
        (route(rate_limit={"requests_per_second": "fast"}), "routes[0].rate_limit"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_nobody_is_held_to_a_limit_that_is_not_set(desk: Desk) -> None:
    assert desk.load(changed()).rate_limit is None


def test_a_limit_is_what_the_settings_say_and_its_burst_a_seconds_worth(desk: Desk) -> None:
    settings = desk.load(
        changed(
            rate_limit={
                "requests_per_second": 2.5,
                "concurrent": 4,
                "open_routes": {"requests_per_second": 0.1, "burst": 7},
            }
        )
    )
    assert settings.rate_limit is not None
    rules = settings.rate_limit.rules({}, 1)

    assert (rules.account.rate, rules.account.burst) == (Fraction(5, 2), 3)
    assert rules.account.concurrent == 4
    assert (rules.address.rate, rules.address.burst) == (Fraction(1, 10), 7)
    assert rules.address.concurrent is None


def test_workers_share_a_limit_out_among_them(desk: Desk) -> None:
    settings = desk.load(
        {
            **route(rate_limit={"requests_per_second": 10, "burst": 6}),
            "rate_limit": {"requests_per_second": 100, "concurrent": 8},
            "workers": 4,
        }
    )
    (own, *_) = settings.routes_table().routes

    assert settings.rate_limit is not None
    rules = settings.rate_limit.rules({}, settings.worker_count())
    assert rules.account == Limit("account", Fraction(25), 25, 2)
    assert own.limit == Limit("route", Fraction(5, 2), 2)


def test_a_shared_rate_is_not_shared_out_but_what_is_in_flight_is(desk: Desk) -> None:
    """Redis is not told of requests in flight: whoever dies would hold its places for ever."""
    settings = desk.load(
        {
            **route(rate_limit={"requests_per_second": 10, "concurrent": 4}),
            "rate_limit": {"requests_per_second": 100, "concurrent": 8, "shared": "redis"},
            "workers": 4,
        }
    )
    assert settings.rate_limit is not None
    rules = settings.rate_limit.rules(settings.route_limits(), settings.worker_count())

    assert rules.shared
    assert rules.account == Limit("account", Fraction(100), 100, 2)
    assert rules.routes == {"a": Limit("route", Fraction(10), 10, 1)}
