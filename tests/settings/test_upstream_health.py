"""How upstream is probed, as settings."""

from typing import Any

import pytest

from sidecar.app.parts import upstream_policy
from sidecar.fronts.reverse_proxy.upstream.policy import HealthPolicy
from tests.settings.desk import Desk, changed

URL = "http://127.0.0.1:8009"


def probing(**members: Any) -> dict[str, Any]:
    return changed(upstream={"url": URL, "health": members})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (probing(path="health"), "expected a path such as"),
        (probing(path="/a b"), "expected a path such as"),
        (probing(path="/a\r\nHost: b"), "expected a path such as"),
        (probing(interval=0), "greater than 0"),
        (probing(unhealthy_after=0), "greater than or equal to 1"),
        (probing(expect_status=[204]), "without a path"),
        (probing(path="/a", expect_status=[]), "at least one"),
        (probing(path="/a", expect_status=[99]), "greater than or equal to 200"),
    ],
)
def test_a_probe_that_cannot_be_meant_is_refused(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_nothing_is_probed_that_nobody_asked_for(desk: Desk) -> None:
    upstream = desk.load(changed()).upstream
    assert upstream is not None

    assert upstream_policy(upstream).health is None


def test_a_probe_is_what_the_settings_say(desk: Desk) -> None:
    upstream = desk.load(
        probing(
            path="/api/healthz?x=1",
            interval=2,
            timeout=0.5,
            healthy_after=2,
            unhealthy_after=4,
            expect_status=[200, 204],
        )
    ).upstream
    assert upstream is not None

    policy = upstream_policy(upstream)
    assert policy.health == HealthPolicy("/api/healthz?x=1", 2.0, 0.5, 2, 4, frozenset({200, 204}))
    assert policy.breaker_rules.unhealthy_after == 4
    assert not policy.breaker_rules.connect_suffices


def test_without_a_path_a_connection_is_enough(desk: Desk) -> None:
    upstream = desk.load(probing()).upstream
    assert upstream is not None

    assert upstream_policy(upstream).breaker_rules.connect_suffices
