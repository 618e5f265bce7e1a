"""Routes of one's own: what they demand, and what cannot be meant."""

from typing import Any

import pytest

from sidecar.core.routes import Requirement, Route, Unregistered
from tests.settings.desk import Desk, changed, route


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (route(path="a"), "expected a path such as"),
        (route(path="/a/**/b"), "expected a path such as"),
        (route(path="/a%2f"), "in plain characters"),
        (route(methods=["get"]), "in capitals"),
        (route(methods=[""]), "in capitals"),
        (route(groups=[""]), "empty; leave it out"),
        (route(scopes=["read", ""]), "empty; leave it out"),
        (route(scopes="read"), "expected a list of strings, for example ['read']"),
        (route(bearer=False, groups=["x"]), "asks for nothing; leave one of them out"),
        (route(bearer=False, scopes=["x"]), "asks for nothing; leave one of them out"),
        (route(unregistered="maybe"), "'deny' or 'forward'"),
        (route(name=""), "1 to 64 visible characters"),
        (route(name="a\nb"), "1 to 64 visible characters"),
        (changed(routes=[{"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}]), "its own"),
        (changed(routes={}), "expected a list"),
    ],
)
def test_a_route_that_cannot_be_meant_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_a_route_demands_what_its_settings_say(desk: Desk) -> None:
    settings = desk.load(
        route(
            path="/a/{id}/**",
            methods=["GET", "POST"],
            groups=["ops"],
            scopes=["read"],
            unregistered="forward",
            websocket=True,
        )
    )

    assert settings.routes_table().routes[0] == Route(
        "a",
        "/a/{id}/**",
        frozenset({"GET", "POST"}),
        Requirement(
            groups=frozenset({"ops"}),
            scopes=frozenset({"read"}),
            unregistered=Unregistered.FORWARD,
        ),
        websocket=True,
    )


def test_a_route_of_ones_own_comes_before_the_presets(desk: Desk) -> None:
    table = desk.load(route(path="/api/healthz")).routes_table()

    found = table.match_route("GET", "/api/healthz")
    assert found is not None
    assert found.name == "a"
    assert found.requirement.bearer


def test_without_a_preset_nothing_else_passes(desk: Desk) -> None:
    table = desk.load(changed(preset=None, routes=[{"name": "a", "path": "/a"}])).routes_table()

    assert table.match_route("GET", "/a")
    assert table.match_route("GET", "/api/healthz") is None


def test_a_routes_own_word_on_shadow_outweighs_the_one_for_all(desk: Desk) -> None:
    rows = [
        {"name": "own", "path": "/a", "shadow": False},
        {"name": "as-all", "path": "/b"},
    ]
    table = desk.load(changed(shadow=True, routes=rows)).routes_table()

    assert [route.name for route in table.routes if not route.shadow] == ["own"]
    assert table.in_shadow == len(table.routes) - 1


def test_nothing_is_in_shadow_but_what_says_so(desk: Desk) -> None:
    assert desk.load(changed()).routes_table().in_shadow == 0
    assert desk.load(route(shadow=True)).routes_table().in_shadow == 1


def test_what_no_route_matches_may_pass_in_shadow_and_is_told_as_that(desk: Desk) -> None:
    """It comes behind the preset's routes, so that it is in nobody's way."""
    table = desk.load(changed(shadow_unmatched=True)).routes_table()

    found = table.match_route("DELETE", "/nowhere")
    assert found is not None
    assert (found.name, found.shadow, found.requirement.nobody) == ("unmatched", True, True)
    assert table.match_route("GET", "/api/userinfo") != found
    assert table.in_shadow == 1
