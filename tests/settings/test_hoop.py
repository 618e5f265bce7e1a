"""The Hoop gateway's route table: what passes without a bearer, and that nothing else does."""

import pytest

from sidecar.core.routes import Route, Routes, Unregistered
from sidecar.settings.hoop import hoop_routes

ROUTES = Routes(hoop_routes("", Unregistered.DENY))


def way(method: str, path: str, routes: Routes = ROUTES) -> str:
    """Return how a request passes: `bearer`, `open`, `open websocket` or `none`."""
    route: Route | None = routes.match_route(method, path)
    if route is None:
        return "none"
    kind = "bearer" if route.requirement.bearer else "open"
    return f"{kind} websocket" if route.websocket else kind


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/healthz", "open"),
        ("HEAD", "/api/healthz", "open"),
        ("POST", "/api/healthz", "bearer"),
        ("GET", "/api/healthz/", "bearer"),
        ("GET", "/api/healthzx", "bearer"),
        ("GET", "/api/publicserverinfo", "open"),
        ("GET", "/api/openapiv2.json", "open"),
        ("GET", "/api/openapiv3.json", "open"),
        ("GET", "/api/openapiv3xjson", "bearer"),
        ("GET", "/api/login", "open"),
        ("GET", "/api/callback", "open"),
        ("POST", "/api/saml/callback", "open"),
        ("POST", "/api/localauth/login", "open"),
        ("POST", "/api/localauth/register", "open"),
        ("POST", "/api/signup", "open"),
        ("DELETE", "/api/login", "bearer"),
        ("GET", "/api/federation/oauth/callback", "open"),
        ("GET", "/api/mcp-oauth/callback", "open"),
        ("POST", "/api/mcp/oauth/register", "open"),
        ("GET", "/api/mcp/oauth/register", "bearer"),
        ("POST", "/api/mcp", "bearer"),
        ("DELETE", "/api/mcp", "bearer"),
        ("GET", "/api/sessions/7/download", "open"),
        ("GET", "/api/sessions/7/download/input", "open"),
        ("POST", "/api/sessions/7/download", "bearer"),
        ("GET", "/api/sessions/7/8/download", "bearer"),
        ("GET", "/api/sessions//download", "bearer"),
        ("GET", "/api/sessions/7/stream", "bearer"),
        ("POST", "/api/sessions/7/kill", "bearer"),
        ("GET", "/api/userinfo", "bearer"),
        ("GET", "/api/serviceaccounts", "bearer"),
        ("PUT", "/api/serviceaccounts/x", "bearer"),
        ("PATCH", "/api/anything/new", "bearer"),
        ("FOO", "/api/userinfo", "bearer"),
        ("GET", "/api/", "bearer"),
        ("GET", "/api/ws", "open websocket"),
        ("POST", "/api/ws", "bearer"),
        ("GET", "/api/ws/x", "bearer"),
        ("GET", "/rdpproxy/", "open websocket"),
        ("POST", "/rdpproxy/client", "open"),
        ("POST", "/rdpproxy/other", "none"),
        ("POST", "/ssm/", "open"),
        ("PUT", "/ssm/", "none"),
        ("GET", "/ssm/ws/7", "open websocket"),
        ("GET", "/.well-known/oauth-protected-resource", "open"),
        ("GET", "/.well-known/oauth-protected-resource/api/mcp", "open"),
        ("GET", "/.well-known/openid-configuration", "open"),
        ("POST", "/.well-known/openid-configuration", "none"),
        ("OPTIONS", "/api/userinfo", "open"),
        ("OPTIONS", "*", "none"),
        ("GET", "/", "open"),
        ("GET", "/js/app.js", "open"),
        ("GET", "/sessions/7", "open"),
        ("POST", "/", "none"),
        ("PUT", "/sessions/7", "none"),
        ("GET", "api/userinfo", "none"),
    ],
)
def test_each_path_passes_with_the_credential_it_takes(
    method: str, path: str, expected: str
) -> None:
    assert way(method, path) == expected


def test_under_a_prefix_the_same_table_holds() -> None:
    routes = Routes(hoop_routes("/x", Unregistered.DENY))

    assert way("GET", "/x/api/userinfo", routes) == "bearer"
    assert way("GET", "/x/api/healthz", routes) == "open"
    assert way("GET", "/api/userinfo", routes) == "none"
    assert way("GET", "/x/app", routes) == "open"
    assert way("GET", "/.well-known/openid-configuration", routes) == "open"


def test_people_without_an_account_are_forwarded_only_when_told() -> None:
    route = Routes(hoop_routes("", Unregistered.FORWARD)).match_route("GET", "/api/userinfo")

    assert route is not None
    assert route.requirement.unregistered is Unregistered.FORWARD
    denying = ROUTES.match_route("GET", "/api/userinfo")
    assert denying is not None
    assert denying.requirement.unregistered is Unregistered.DENY
