"""The forward-auth door's settings."""

from typing import Any

import pytest

from sidecar.core.dialect import Dialect
from tests.settings.desk import GOOD, Desk, changed


def asking(**members: Any) -> dict[str, Any]:
    return changed(forward_auth={"dialect": "nginx", **members})


def test_the_door_is_closed_until_somebody_opens_it(desk: Desk) -> None:
    assert desk.load(GOOD).forward_auth is None


def test_only_this_machine_may_ask_by_default(desk: Desk) -> None:
    """CVE-2026-76835: a fix was inert since the default trusted everybody."""
    found = desk.load(asking()).forward_auth

    assert found is not None
    assert found.dialect is Dialect.NGINX
    assert found.host == "127.0.0.1"
    assert found.path == "/auth"
    assert {str(each) for each in found.trusted_proxies} == {"127.0.0.0/8", "::1/128"}


def test_proxies_keep_a_connection_no_longer_than_the_door(desk: Desk) -> None:
    """Traefik keeps one for 90 s and Caddy for 120: it must not end under a question."""
    found = desk.load(asking()).forward_auth

    assert found is not None
    assert found.idle_timeout > 120


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (changed(forward_auth={}), "is missing"),
        (asking(dialect="squid"), "'traefik', 'caddy', 'nginx' or 'envoy'"),
        (asking(trusted_proxies=["0.0.0.0/0"]), "trusts everybody"),
        (asking(trusted_proxies=["::/1", "8000::/1"]), "trusts everybody"),
        (asking(trusted_proxies=[]), "nobody could ask"),
        (asking(trusted_proxies=["proxy"]), "expected networks such as 10.0.0.0/8"),
        (asking(path=""), "expected a path such as /auth"),
        (asking(path="/auth/"), "without a slash at its end"),
        (asking(path="/a/../b"), "expected a path such as /auth"),
        (asking(path="auth"), "expected a path such as /auth"),
        (asking(port=65536), "less than or equal to 65535"),
    ],
)
def test_a_value_that_cannot_work_or_is_dangerous_is_refused(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_there_has_to_be_a_door(desk: Desk) -> None:
    without = {name: value for name, value in GOOD.items() if name != "upstream"}

    assert "nobody could come in without it" in desk.the_problem(without)
    assert desk.load({**without, "forward_auth": {"dialect": "envoy"}}).upstream is None


def test_what_needs_the_data_to_pass_by_is_refused_without_it(desk: Desk) -> None:
    without = {name: value for name, value in GOOD.items() if name != "upstream"}
    asked = {**without, "forward_auth": {"dialect": "envoy"}, "mirror": {}}

    assert "no effect without upstream" in desk.the_problem(asked)


def test_a_mistake_in_the_door_is_one_problem_alone(desk: Desk) -> None:
    without = {name: value for name, value in GOOD.items() if name != "upstream"}

    problem = desk.the_problem({**without, "forward_auth": {"dialect": "envoy", "prefix": "/"}})
    assert problem.startswith("forward_auth.prefix")
