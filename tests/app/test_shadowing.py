"""Nobody is to forget that nothing is enforced."""

import logging
from typing import Any

import pytest

from sidecar.admin.listener import AdminListener
from sidecar.app.shadowing import shadow_warnings, tell_of_shadow
from sidecar.settings import Settings
from tests.settings.desk import GOOD


def warnings_of(**changed: Any) -> list[str]:
    return [str(each) for each in shadow_warnings(Settings.model_validate({**GOOD, **changed}))]


def test_without_shadow_there_is_nothing_to_say() -> None:
    assert warnings_of(forward_authorization=False) == []


def test_it_is_said_on_how_many_routes_nothing_is_enforced() -> None:
    own = [{"name": "a", "path": "/a"}, {"name": "b", "path": "/b", "shadow": True}]
    [warning] = warnings_of(preset=None, routes=own)

    assert "NOTHING IS ENFORCED on 1 of 2 routes" in warning


def test_an_upstream_that_gets_no_token_has_nothing_to_judge_by() -> None:
    _, warning = warnings_of(shadow=True, forward_authorization=False)

    assert "upstream gets no token" in warning


def test_a_log_without_decisions_shows_nobody_what_would_be_refused() -> None:
    _, warning = warnings_of(shadow=True, log={"decisions": "none"})

    assert "log.decisions is none" in warning


ENFORCED = {"name": "admin", "path": "/api/admins/**", "groups": ["admin"], "shadow": False}


@pytest.mark.parametrize(
    ("changed", "beside"),
    [
        ({}, "/api/admins"),
        ({"path": "/api/admins/{id}"}, "/api/admins/x/"),
        ({"path": "/api/admins/{id}/"}, "/api/admins/x"),
        ({"path": "/api/own", "methods": ["POST"]}, "POST /api/own/"),
    ],
)
def test_what_is_right_beside_an_enforced_route_and_in_shadow_is_named(
    changed: dict[str, Any], beside: str
) -> None:
    _, warning = warnings_of(shadow=True, preset="hoop", routes=[{**ENFORCED, **changed}])

    assert f"{beside} is in shadow" in warning
    assert '"admin"' in warning
    assert '"hoop-api"' in warning


def test_an_enforced_read_whose_head_is_in_shadow_is_named() -> None:
    own = {**ENFORCED, "path": "/api/own", "methods": ["GET"]}
    found = warnings_of(shadow_unmatched=True, preset=None, routes=[own])

    assert any("HEAD /api/own is in shadow" in each for each in found)
    assert any("GET /api/own/ is in shadow" in each for each in found)


def test_where_nothing_beside_is_in_shadow_there_is_no_more_to_say() -> None:
    beside = [{**ENFORCED, "name": "own", "path": "/api/admins"}, {**ENFORCED, "name": "slash"}]
    beside[1]["path"] = "/api/admins/"
    for routes in ([ENFORCED, *beside], [{"name": "a", "path": "/a", "bearer": False}]):
        shadowed = {"name": "other", "path": "/other", "shadow": True}
        assert len(warnings_of(preset=None, routes=[*routes, shadowed])) == 1
    assert len(warnings_of(shadow=True, preset="hoop", routes=[ENFORCED, *beside])) == 1


def test_the_log_and_the_admin_listener_say_it_until_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    admin = AdminListener(
        "127.0.0.1", 0, probes=dict, render=lambda _: (b"", ""), workers=lambda: b""
    )
    with caplog.at_level(logging.WARNING):
        tell_of_shadow(admin, Settings.model_validate({**GOOD, "shadow": True}))
        assert admin.shadow_routes > 10
        assert len(caplog.records) == 1
        tell_of_shadow(admin, Settings.model_validate(GOOD))

    assert admin.shadow_routes == 0
    assert len(caplog.records) == 1
