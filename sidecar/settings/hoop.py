"""The preset ``hoop``: the Hoop gateway's paths, by the credential that each takes.

Open routes are the narrowest that work: exact paths and methods. What stands behind them asks for
a credential of its own (a one-time token, an agent's key, an AWS signature) or for none by design.

The gateway's gRPC methods are in the same table: they have paths of their own, without a prefix.
"""

from collections.abc import Iterator

from sidecar.core.routes import Requirement, Route, Unregistered

CLEARED = ("Api-Key",)  # it overrides the bearer, as an administrator

_OPEN = Requirement(bearer=False)
_READ = frozenset({"GET", "HEAD"})  # the gateway answers HEAD wherever it answers GET
_GET = frozenset({"GET"})  # a WebSocket begins with GET alone
_POST = frozenset({"POST"})

_OPEN_IN_API = (
    ("healthz", _READ),
    ("publicserverinfo", _READ),
    ("openapiv2.json", _READ),
    ("openapiv3.json", _READ),
    ("login", _READ),
    ("callback", _READ),
    ("saml/login", _READ),
    ("saml/callback", _POST),
    ("localauth/register", _POST),
    ("localauth/login", _POST),
    ("signup", _POST),
    ("federation/oauth/callback", _READ),
    ("mcp-oauth/callback", _READ),
    ("mcp/oauth/register", _POST),
)


def hoop_routes(prefix: str, unregistered: Unregistered) -> tuple[Route, ...]:
    """Return the table; ``prefix`` is the path of the gateway's API_URL, mostly empty.

    ``unregistered`` says what becomes of people, who have tokens but no service account.
    """
    bearer = Requirement(unregistered=unregistered)
    return (
        Route("hoop-preflight", "/**", frozenset({"OPTIONS"}), _OPEN),
        *_open_routes(prefix),
        Route("hoop-api-root", f"{prefix}/api", requirement=bearer),
        Route("hoop-api", f"{prefix}/api/**", requirement=bearer),
        *_closed_to_the_web(prefix, bearer),
        *_grpc_routes(unregistered),
        # The web application; unknown paths outside the API are its pages. The gateway decodes a
        # path before it routes, so this would open /%61pi/userinfo; core.access refuses such paths.
        *([Route("hoop-web-root", prefix, _READ, _OPEN)] if prefix else []),
        Route("hoop-web", f"{prefix}/**", _READ, _OPEN),
    )


def _open_routes(prefix: str) -> Iterator[Route]:
    for path, methods in _OPEN_IN_API:
        yield Route(f"hoop-{path.replace('/', '-')}", f"{prefix}/api/{path}", methods, _OPEN)
    # A one-time token in the query opens these.
    for path in ("download", "download/input"):
        name = f"hoop-session-{path.replace('/', '-')}"
        yield Route(name, f"{prefix}/api/sessions/{{id}}/{path}", _READ, _OPEN)
    for document in ("oauth-protected-resource", "oauth-authorization-server"):
        place = f"/.well-known/{document}"
        yield Route(f"hoop-{document}", place, _READ, _OPEN)
        yield Route(f"hoop-{document}-of", f"{place}/**", _READ, _OPEN)
    yield Route("hoop-openid", "/.well-known/openid-configuration", _READ, _OPEN)
    # The agent's key, the desktop's credential and AWS's signature are the gateway's to judge.
    yield Route("hoop-agent", f"{prefix}/api/ws", _GET, _OPEN, websocket=True)
    yield Route("hoop-rdp", f"{prefix}/rdpproxy/", _GET, _OPEN, websocket=True)
    yield Route("hoop-rdp-client", f"{prefix}/rdpproxy/client", _POST, _OPEN)
    yield Route("hoop-ssm", f"{prefix}/ssm/", _POST, _OPEN)
    yield Route("hoop-ssm-session", f"{prefix}/ssm/ws/{{id}}", _GET, _OPEN, websocket=True)


def _grpc_routes(unregistered: Unregistered) -> Iterator[Route]:
    """Where a person's or program's token is looked at, an agent's key is, too: by the gateway."""
    service = "/protobuf.Transport"
    bearer = Requirement(unregistered=unregistered)
    or_agent = Requirement(unregistered=unregistered, own_credential=True)
    yield Route("hoop-grpc-health", f"{service}/HealthCheck", _POST, _OPEN)
    yield Route("hoop-grpc-connect", f"{service}/Connect", _POST, or_agent)
    yield Route("hoop-grpc-preconnect", f"{service}/PreConnect", _POST, or_agent)
    yield Route("hoop-grpc", f"{service}/**", _POST, bearer)


def _closed_to_the_web(prefix: str, bearer: Requirement) -> Iterator[Route]:
    """Keep what else is under these paths from passing as a page of the web application."""
    for name in ("rdpproxy", "ssm"):
        yield Route(f"hoop-{name}-root", f"{prefix}/{name}", _READ, bearer)
        yield Route(f"hoop-{name}-rest", f"{prefix}/{name}/**", _READ, bearer)
