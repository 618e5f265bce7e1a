"""The preset ``hoop``: the Hoop gateway's paths, by the credential that each takes.

Open routes are the narrowest that work: exact paths and methods. What stands behind them asks for
a credential of its own (a one-time token, an agent's key, an AWS signature) or for none by design.
"""

from collections.abc import Iterator

from sidecar.core.routes import Requirement, Route, Unregistered

CLEARED = ("Api-Key",)  # it overrides the bearer, as an administrator

_OPEN = Requirement(bearer=False)
_READ = frozenset({"GET", "HEAD"})
_POST = frozenset({"POST"})
_BROWSER = _READ | _POST


def hoop_routes(prefix: str, unregistered: Unregistered) -> tuple[Route, ...]:
    """Return the table; ``prefix`` is the path of the gateway's API_URL, mostly empty.

    ``unregistered`` says what becomes of people, who have tokens but no service account.
    """
    bearer = Requirement(unregistered=unregistered)
    return (
        Route("hoop-preflight", "/**", frozenset({"OPTIONS"}), _OPEN),
        *_open_routes(prefix),
        Route("hoop-api", f"{prefix}/api/**", requirement=bearer),
        # The web application; unknown paths outside the API are its pages.
        Route("hoop-web", f"{prefix}/**", _READ, _OPEN),
    )


def _open_routes(prefix: str) -> Iterator[Route]:
    for path in ("healthz", "publicserverinfo", "openapiv2.json", "openapiv3.json"):
        yield Route(f"hoop-{path}", f"{prefix}/api/{path}", _READ, _OPEN)
    for path in (
        "login",
        "callback",
        "saml/login",
        "saml/callback",
        "localauth/register",
        "localauth/login",
        "signup",
        "federation/oauth/callback",
        "mcp-oauth/callback",
    ):
        yield Route(f"hoop-{path.replace('/', '-')}", f"{prefix}/api/{path}", _BROWSER, _OPEN)
    for path in ("download", "download/input"):
        name = f"hoop-session-{path.replace('/', '-')}"
        yield Route(name, f"{prefix}/api/sessions/{{id}}/{path}", _READ, _OPEN)
    yield Route("hoop-mcp-register", f"{prefix}/api/mcp/oauth/register", _POST, _OPEN)
    for document in ("oauth-protected-resource", "oauth-authorization-server"):
        place = f"/.well-known/{document}"
        yield Route(f"hoop-{document}", place, _READ, _OPEN)
        yield Route(f"hoop-{document}-of", f"{place}/**", _READ, _OPEN)
    yield Route("hoop-openid", "/.well-known/openid-configuration", _READ, _OPEN)
    get = frozenset({"GET"})
    yield Route("hoop-agent", f"{prefix}/api/ws", get, _OPEN, websocket=True)
    yield Route("hoop-rdp", f"{prefix}/rdpproxy/", get, _OPEN, websocket=True)
    yield Route("hoop-rdp-client", f"{prefix}/rdpproxy/client", _POST, _OPEN)
    yield Route("hoop-ssm", f"{prefix}/ssm/", _POST, _OPEN)
    yield Route("hoop-ssm-session", f"{prefix}/ssm/ws/{{id}}", get, _OPEN, websocket=True)
