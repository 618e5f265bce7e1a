"""The Hoop gateway's route table: what passes without a bearer, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.access import find_route
from sidecar.core.decision import Denied
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route, Routes, Unregistered
from sidecar.settings.hoop import hoop_routes

ROUTES = Routes(hoop_routes("", Unregistered.DENY))

OPEN_IN_API = {
    row.name
    for row in ROUTES.routes
    if row.pattern.startswith("/api/") and not row.requirement.bearer
}


def way(method: str, path: str, routes: Routes = ROUTES) -> str:
    """Return how a request passes: `bearer`, `open`, `open websocket` or `none`."""
    route: Route | None = routes.match_route(method, path)
    if route is None:
        return "none"
    kind = "bearer" if route.requirement.bearer else "open"
    kind += " or agent" if route.requirement.own_credential else ""
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
        ("POST", "/api/login", "bearer"),
        ("HEAD", "/api/login", "open"),
        ("GET", "/api/login/", "bearer"),
        ("GET", "/api/saml/login", "open"),
        ("GET", "/api/saml/callback", "bearer"),
        ("GET", "/api/localauth/login", "bearer"),
        ("GET", "/api/signup", "bearer"),
        ("POST", "/api/callback", "bearer"),
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
        ("GET", "/api", "bearer"),
        ("POST", "/api", "bearer"),
        ("HEAD", "/api/userinfo", "bearer"),
        ("GET", "/api/healthz%20", "bearer"),
        ("GET", "/api/download", "bearer"),
        ("GET", "/api/sessions/7/download/", "bearer"),
        ("GET", "/api/sessions/7/download/input/x", "bearer"),
        ("HEAD", "/api/ws", "bearer"),
        ("GET", "/api/ws", "open websocket"),
        ("POST", "/api/ws", "bearer"),
        ("GET", "/api/ws/x", "bearer"),
        ("GET", "/rdpproxy/", "open websocket"),
        ("POST", "/rdpproxy/client", "open"),
        ("POST", "/rdpproxy/other", "none"),
        ("POST", "/ssm/", "open"),
        ("PUT", "/ssm/", "none"),
        ("GET", "/rdpproxy", "bearer"),
        ("GET", "/rdpproxy/client", "bearer"),
        ("GET", "/rdpproxy/x", "bearer"),
        ("GET", "/ssm", "bearer"),
        ("GET", "/ssm/", "bearer"),
        ("GET", "/ssm/ws", "bearer"),
        ("GET", "/ssm/ws/7/8", "bearer"),
        ("POST", "/ssm", "none"),
        ("POST", "/ssm/ws/7", "none"),
        ("DELETE", "/ssm/ws/7", "none"),
        ("GET", "/ssm/ws/7", "open websocket"),
        ("GET", "/.well-known/oauth-protected-resource", "open"),
        ("GET", "/.well-known/oauth-protected-resource/api/mcp", "open"),
        ("GET", "/.well-known/openid-configuration", "open"),
        ("POST", "/.well-known/openid-configuration", "none"),
        ("OPTIONS", "/api/userinfo", "open"),
        ("OPTIONS", "*", "open"),
        ("GET", "/", "open"),
        ("GET", "/js/app.js", "open"),
        ("GET", "/sessions/7", "open"),
        ("HEAD", "/", "open"),
        ("GET", "/apis", "open"),
        ("POST", "/", "none"),
        ("DELETE", "/js/app.js", "none"),
        ("FOO", "/", "none"),
        ("PUT", "/sessions/7", "none"),
        ("GET", "api/userinfo", "none"),
        ("POST", "/protobuf.Transport/HealthCheck", "open"),
        ("POST", "/protobuf.Transport/Connect", "bearer or agent"),
        ("POST", "/protobuf.Transport/PreConnect", "bearer or agent"),
        ("POST", "/protobuf.Transport/Other", "bearer"),
        ("POST", "/protobuf.Transport/connect", "bearer"),
        ("POST", "/protobuf.Transport/HealthCheck/x", "bearer"),
        ("PUT", "/protobuf.Transport/HealthCheck", "none"),
        ("POST", "/protobuf.Transport", "none"),
        ("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "none"),
    ],
)
def test_each_path_passes_with_the_credential_it_takes(
    method: str, path: str, expected: str
) -> None:
    assert way(method, path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/%61pi/userinfo",
        "/ap%69/healthz/../x",
        "/api%2fuserinfo",
        "//api/userinfo",
        "/x/../api/userinfo",
        "/%61pi",
        "/ss%6d/ws/7",
        "/api/sessions/7/%64ownload",
        "/api;x/userinfo",
    ],
)
def test_no_spelling_of_a_protected_path_passes_as_another(path: str) -> None:
    """The gateway decodes before it routes; the web application's pages are open."""
    request = AccessRequest("GET", "h", path, "", (), "192.0.2.1", "r")

    with pytest.raises(Denied):
        find_route(request, ROUTES, frozenset())


def test_a_subject_may_be_escaped_in_a_path() -> None:
    request = AccessRequest("PUT", "h", "/api/serviceaccounts/a%40b", "", (), "192.0.2.1", "r")

    assert find_route(request, ROUTES, frozenset()).name == "hoop-api"


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "FOO"]),
    rest=st.text("abdlnoistw/7.-{}*%", max_size=20),
)
def test_what_is_not_on_the_list_takes_a_bearer_in_the_api(method: str, rest: str) -> None:
    path = f"/api/{rest}"
    found = ROUTES.match_route(method, path)

    assert found is not None
    assert found.requirement.bearer or found.name in OPEN_IN_API


def test_every_open_row_names_its_methods_and_is_no_pattern_but_these() -> None:
    rows = [row for row in ROUTES.routes if not row.requirement.bearer]

    assert all(row.methods for row in rows)
    assert {row.pattern for row in rows if "*" in row.pattern} == {
        "/**",
        "/.well-known/oauth-protected-resource/**",
        "/.well-known/oauth-authorization-server/**",
    }
    assert {row.name for row in rows if row.pattern == "/**"} == {"hoop-preflight", "hoop-web"}
    assert len({row.name for row in ROUTES.routes}) == len(ROUTES.routes)


def test_under_a_prefix_the_same_table_holds() -> None:
    routes = Routes(hoop_routes("/x", Unregistered.DENY))

    assert way("GET", "/x/api/userinfo", routes) == "bearer"
    assert way("GET", "/x/api/healthz", routes) == "open"
    assert way("GET", "/api/userinfo", routes) == "none"
    assert way("GET", "/x/app", routes) == "open"
    assert way("GET", "/x", routes) == "open"
    assert way("GET", "/x/", routes) == "open"
    assert way("GET", "/x/api", routes) == "bearer"
    assert way("GET", "/x/ssm/x", routes) == "bearer"
    assert way("GET", "/xapi/userinfo", routes) == "none"
    assert way("GET", "/", routes) == "none"
    assert way("GET", "/.well-known/openid-configuration", routes) == "open"


def test_people_without_an_account_are_forwarded_only_when_told() -> None:
    route = Routes(hoop_routes("", Unregistered.FORWARD)).match_route("GET", "/api/userinfo")

    assert route is not None
    assert route.requirement.unregistered is Unregistered.FORWARD
    denying = ROUTES.match_route("GET", "/api/userinfo")
    assert denying is not None
    assert denying.requirement.unregistered is Unregistered.DENY
