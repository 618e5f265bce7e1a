from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Denied
from sidecar.core.identity_headers import fold_name
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import SubjectKey
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.request_head import HeadRules, RequestHead
from tests.fakes.front import IDENTITY

RULES = HeadRules(IDENTITY)
ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer="https://idp.example",
    name="Robot",
    groups=("devops", "ops"),
    scopes=frozenset(),
    client_id="robot",
    token_id=None,
    issued_at=None,
    expires_at=2e9,
)
HOST = (b"Host", b"sidecar.example")
BEARER = (b"Authorization", b"Bearer a.b.c")


def write(
    *fields: tuple[bytes, bytes],
    principal: Principal | None = ROBOT,
    rules: HeadRules = RULES,
    peer: str = "192.0.2.7",
    scheme: str = "https",
) -> list[tuple[str, str]]:
    head = rules.read([HOST, BEARER, *fields])
    told = rules.write(head, principal, peer=peer, scheme=scheme, request_id="r-1")
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in told]


def values(told: list[tuple[str, str]], name: str) -> list[str]:
    return [value for given, value in told if fold_name(given) == fold_name(name)]


def test_order_case_and_duplicates_of_other_fields_are_kept() -> None:
    told = write((b"accept", b"a"), (b"Cookie", b"1"), (b"ACCEPT", b"b"), (b"X-Y", b"\xe9\xff"))

    assert told[:4] == [("accept", "a"), ("Cookie", "1"), ("ACCEPT", "b"), ("X-Y", "\xe9\xff")]


def test_upstream_hears_our_identity_and_of_the_client() -> None:
    assert dict(write()) == {
        "Host": "sidecar.example",
        "Authorization": "Bearer a.b.c",
        "X-Auth-Subject": "robot",
        "X-Auth-Name": "Robot",
        "X-Auth-Groups": "devops,ops",
        "X-Request-Id": "r-1",
        "Api-Key": "",
        "X-Forwarded-For": "192.0.2.7",
        "X-Forwarded-Proto": "https",
    }


SEPARATORS = st.sampled_from(["-", "_", ".", "~", "!"])
NAMES = st.sampled_from(
    ["x-auth-subject", "x-auth-groups", "x-auth-name", "api-key", "x-request-id"]
)


@st.composite
def aliases(draw: st.DrawFn) -> bytes:
    name = draw(NAMES)
    spelled = "".join(
        draw(SEPARATORS) if c == "-" else draw(st.sampled_from([c, c.upper()])) for c in name
    )
    return spelled.encode()


@given(names=st.lists(aliases(), min_size=1, max_size=4), named_by_connection=st.booleans())
def test_no_spelling_of_an_identity_header_reaches_upstream(
    names: list[bytes], *, named_by_connection: bool
) -> None:
    """CVE-2025-64484, CVE-2026-54763, CVE-2026-88011; CVE-2024-45410 through Connection."""
    fields = [(name, b"root") for name in names]
    if named_by_connection:
        fields.append((b"Connection", b", ".join([b"close", *names, b"X-Auth-Subject"])))

    told = write(*fields)

    assert values(told, "X-Auth-Subject") == ["robot"]
    assert values(told, "X-Auth-Groups") == ["devops,ops"]
    assert values(told, "X-Auth-Name") == ["Robot"]
    assert values(told, "X-Request-Id") == ["r-1"]
    assert values(told, "Api-Key") == [""]


def test_on_an_open_route_identity_headers_are_set_empty() -> None:
    told = write((b"X-Auth-Subject", b"root"), principal=None)

    assert values(told, "X-Auth-Subject") == [""]
    assert values(told, "Authorization") == ["Bearer a.b.c"]


def test_hop_by_hop_fields_and_those_connection_names_end_here() -> None:
    told = write(
        (b"Connection", b"keep-alive, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"1"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"x"),
        (b"Proxy-Authorization", b"x"),
        (b"Proxy-Connection", b"x"),
        (b"Expect", b"100-continue"),
        (b"X-Stays", b"1"),
    )

    names = {name.lower() for name, _ in told}
    assert "x-stays" in names
    assert not names & {
        "connection", "x-hop", "keep-alive", "te", "trailer", "upgrade", "http2-settings",
        "proxy-authorization", "proxy-connection", "expect",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Uri", "x_forwarded_proto", "Forwarded",
     "X-Real-IP", "X-Envoy-Original-Path", "X-Original-URL", "X-Rewrite-URL",
     "X-HTTP-Method-Override"],
)  # fmt: skip
def test_an_untrusted_peer_says_nothing_of_where_it_comes_from(name: str) -> None:
    """CVE-2026-40575, CVE-2026-35051, CVE-2023-27487."""
    told = write((name.encode(), b"evil"))

    assert "evil" not in [value for _, value in told]
    assert values(told, "X-Forwarded-For") == ["192.0.2.7"]
    assert values(told, "X-Forwarded-Proto") == ["https"]


def test_a_trusted_proxy_is_believed_but_changes_no_question() -> None:
    rules = HeadRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))

    told = write(
        (b"X-Forwarded-For", b"203.0.113.9"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"public.example"),
        (b"X-Original-URL", b"/admin"),
        rules=rules,
    )

    assert values(told, "X-Forwarded-For") == ["203.0.113.9, 192.0.2.7"]
    assert values(told, "X-Forwarded-Proto") == ["http"]
    assert values(told, "X-Forwarded-Host") == ["public.example"]
    assert values(told, "X-Original-URL") == []


@pytest.mark.parametrize("name", [b"X_Forwarded_For", b"X.Forwarded-Host", b"x_real_ip"])
def test_past_a_trusted_proxy_a_client_says_nothing_in_another_spelling(name: bytes) -> None:
    """The proxy takes out what it knows, and CGI and its kin read this as the same header."""
    rules = HeadRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))

    assert "evil" not in [value for _, value in write((name, b"evil"), rules=rules)]


def test_a_trusted_proxy_that_names_no_scheme_leaves_it_to_us() -> None:
    rules = HeadRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))

    assert values(write(rules=rules), "X-Forwarded-Proto") == ["https"]


def test_the_credential_can_be_kept_from_upstream() -> None:
    rules = HeadRules(IDENTITY, forward_authorization=False)

    assert values(write(rules=rules), "Authorization") == []
    assert values(write(rules=rules, principal=None), "Authorization") == []


@pytest.mark.parametrize("scheme", [b"bearer", b"BEARER", b"Bearer"])
def test_the_scheme_is_spelled_as_the_gateway_reads_it(scheme: bytes) -> None:
    head = RULES.read([HOST, (b"authorization", scheme + b" a.b.c")])

    told = RULES.write(head, ROBOT, peer="192.0.2.7", scheme="http", request_id="r")

    assert [value for name, value in told if name == b"Authorization"] == [b"Bearer a.b.c"]


def test_a_credential_that_is_not_ascii_opens_no_open_route() -> None:
    head = RULES.read([HOST, (b"Authorization", b"AWS4 \xc3\xa9")])

    with pytest.raises(Denied):
        RULES.write(head, None, peer="192.0.2.7", scheme="http", request_id="r")


def test_the_memory_of_names_is_bounded() -> None:
    rules = HeadRules(IDENTITY)
    for number in range(5000):
        rules.read([(b"X-%d" % number, b""), (b"X" * 65 + b"%d" % number, b"")])

    assert len(rules._kinds) <= 2048
    assert rules.read([(b"X_Auth_Subject", b"root")]).kept == []


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RULES.read(fields)


@pytest.mark.parametrize(
    ("fields", "wants"),
    [
        ([(b"Upgrade", b"WebSocket"), (b"Connection", b"keep-alive, Upgrade")], True),
        ([(b"Upgrade", b"WebSocket")], False),
        ([(b"Upgrade", b"websocket"), (b"Connection", b"close")], False),
        ([(b"Upgrade", b"websocket, h2c"), (b"Connection", b"upgrade")], False),
        ([(b"Upgrade", b"websocket"), (b"Upgrade", b"h2c")], False),
        ([(b"Upgrade", b"h2c")], False),
        ([], False),
    ],
)
def test_only_websocket_alone_is_a_wish_for_websocket(
    fields: list[tuple[bytes, bytes]], *, wants: bool
) -> None:
    assert head(*fields).wants_websocket is wants


def test_a_held_back_body_is_known() -> None:
    expecting: Any = head(HOST, (b"Expect", b"100-Continue"))

    assert expecting.expects_continue
    assert not head(HOST).expects_continue
