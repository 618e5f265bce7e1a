"""What a client may try, and the verdict: one table for all doors.

``expected`` is "granted" or the reason. Where it matters, ``unless_taken_out`` is the verdict of a
door that cannot have a field taken out of the request, and ``unless_carried`` that of one that does
not carry the request itself.
"""

from dataclasses import dataclass

from tests.fakes.doors import Asked

GRANTED = "granted"
_MALFORMED = "malformed_request"
TOKEN = "Bearer {token}"  # the test's own, which is a good one


@dataclass(frozen=True)
class Case:
    """One request, with the best of tokens unless it says otherwise."""

    name: str
    asked: Asked
    expected: str
    unless_taken_out: str | None = None
    unless_carried: str | None = None


def _with(name: str, value: str, *, path: str = "/reports") -> Asked:
    return Asked("GET", path, (TOKEN,), ((name, value),))


def _dropped(name: str, asked: Asked) -> Case:
    return Case(name, asked, GRANTED, _MALFORMED)


CASES = (
    Case("a good token", Asked("GET", "/reports", (TOKEN,)), GRANTED),
    Case("an open route", Asked("GET", "/health"), GRANTED),
    Case("an open route with a token", Asked("GET", "/public/x", (TOKEN,)), GRANTED),
    Case("a query", Asked("GET", "/reports?x=%2F..&y=;", (TOKEN,)), GRANTED),
    Case("no token", Asked("GET", "/reports"), "no_credentials"),
    Case("a token that is none", Asked("GET", "/reports", ("Bearer x",)), "token_unreadable"),
    Case("two tokens", Asked("GET", "/reports", (TOKEN, TOKEN)), "malformed_credentials"),
    Case("a scope that is not there", Asked("POST", "/reports", (TOKEN,)), "insufficient_scope"),
    Case("a group that is not there", Asked("GET", "/admin/x", (TOKEN,)), "missing_group"),
    Case("an unlisted path", Asked("GET", "/nowhere", (TOKEN,)), "no_route"),
    Case("an unlisted method", Asked("DELETE", "/reports", (TOKEN,)), "no_route"),
    Case("a mirror", Asked("TRACE", "/reports", (TOKEN,)), "method_refused"),
    Case("8-bit octets in a header (CVE-2023-27488)", _with("X-Odd", "\udcff\u00e9"), GRANTED),
    Case("8-bit octets in a query", Asked("GET", "/reports?\u00e9", (TOKEN,)), _MALFORMED),
    # --- one path, two readings
    Case("dot segments", Asked("GET", "/public/../reports"), _MALFORMED),
    Case("encoded dots", Asked("GET", "/public/%2e%2e/reports"), _MALFORMED),
    Case("an encoded slash", Asked("GET", "/public%2f..%2freports"), _MALFORMED),
    Case("two slashes", Asked("GET", "//reports", (TOKEN,)), _MALFORMED),
    Case("a matrix parameter", Asked("GET", "/public/..;/reports"), _MALFORMED),
    Case("a fragment", Asked("GET", "/public#/../reports"), _MALFORMED),
    Case("an encoded fragment", Asked("GET", "/public%23/../reports"), _MALFORMED),
    Case("an encoded letter", Asked("GET", "/%72eports", (TOKEN,)), _MALFORMED),
    Case("an open path in the query", Asked("GET", "/reports?x=/public/"), "no_credentials"),
    # --- what was asked, told by the client
    *(
        _dropped(f"{name} by the client", _with(name, "/health"))
        for name in ("X-Rewrite-URL", "X_Original_URL", "X-Original.Uri", "X-Original-URL")
    ),
    *(
        _dropped(f"{name} by the client", _with(name, "POST"))
        for name in ("X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-Method-Override")
    ),
    Case(
        "an open path by X-Forwarded-Prefix",
        Asked("GET", "/reports", (), (("X-Forwarded-Prefix", "/health"),)),
        "no_credentials",
    ),
    Case(
        "a health check's User-Agent (CVE-2026-34457)",
        Asked("GET", "/reports", (), (("User-Agent", "GoogleHC/1.0"),)),
        "no_credentials",
    ),
    # --- who is asking, told by the client
    Case("an identity by its own name", _with("X-Auth-Subject", "root"), GRANTED),
    Case("a credential that upstream ranks higher", _with("Api-Key", "k"), GRANTED),
    *(
        _dropped(f"{name} by the client", _with(name, "root"))
        for name in ("X_Auth_Subject", "x-auth_subject", "X.Auth.Subject", "X-Auth.Groups")
    ),
    _dropped("an alias on an open route", _with("X_Auth_Subject", "root", path="/health")),
    # --- how the message is framed
    _dropped("an alias of Transfer-Encoding", _with("Transfer_Encoding", "chunked")),
    Case("Connection names the credential", _with("Connection", "authorization"), _MALFORMED),
    _dropped("Connection names an identity", _with("Connection", "X-Auth-Subject")),
    # --- an upgrade where the route takes none goes on as what it is without
    Case(
        "WebSocket on a route that takes none",
        Asked(
            "GET",
            "/reports",
            (TOKEN,),
            (
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("Sec-WebSocket-Version", "13"),
            ),
        ),
        GRANTED,
        unless_carried="no_route",
    ),
)
