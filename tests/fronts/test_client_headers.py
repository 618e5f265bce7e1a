"""No header that a client sends lets it in, or makes it somebody else: at every door."""

import itertools

import pytest

from sidecar.core.decision import Deny, Grant
from tests.fakes.doors import DOORS, Asked
from tests.fakes.world import World
from tests.fronts.test_same_verdict import assert_tells_of_us_alone

# What proxies, gateways and frameworks have taken for the path, the method, the host, the address
# or the name of a client; each with the spellings that CGI, WSGI and their kin fold into it.
NAMES = (
    "Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "Destination", "Fastly-Client-IP",
    "Forwarded", "Forwarded-For", "Front-End-Https", "From", "Host-Override", "HTTP-Host",
    "Method", "Origin", "Original-Url", "Path", "Proxy", "Proxy-Authorization", "Proxy-Host",
    "Proxy-User", "Real-Ip", "Referer", "Remote-Addr", "Remote-Groups", "Remote-User",
    "Request-Uri", "Script-Name", "Server-Name", "True-Client-IP", "Uri", "Url", "User", "Via",
    "X-Access-Token", "X-Amzn-Oidc-Identity", "X-Api-Key", "X-Arbitrary",
    "X-Auth-Request-Redirect", "X-Auth-Request-User", "X-Auth-Token", "X-Authenticated-User",
    "X-Client-IP", "X-Custom-IP", "X-Endpoint-API-UserInfo", "X-Envoy-Decorator-Operation",
    "X-Envoy-Internal", "X-Envoy-Original-Path", "X-Forward-For", "X-Forwarded",
    "X-Forwarded-By", "X-Forwarded-Client-Cert", "X-Forwarded-Email", "X-Forwarded-For",
    "X-Forwarded-Groups", "X-Forwarded-Path", "X-Forwarded-Port", "X-Forwarded-Prefix",
    "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-User",
    "X-Goog-Authenticated-User-Email", "X-Host", "X-HTTP-DestinationURL",
    "X-HTTP-Host-Override", "X-HTTP-Method", "X-HTTP-Method-Override", "X-Internal",
    "X-Jwt-Assertion", "X-Method-Override", "X-MS-Client-Principal", "X-Original-Forwarded-For",
    "X-Original-Host", "X-Original-Path", "X-Original-Remote-Addr", "X-Originating-IP",
    "X-Pomerium-Jwt-Assertion", "X-ProxyUser-Ip", "X-Real-IP", "X-Remote-Addr", "X-Remote-IP",
    "X-Remote-User", "X-Rewrite-URL", "X-Scheme", "X-Skip-Auth", "X-Token", "X-Trusted",
    "X-User", "X-WAF-Bypass", "X-Webauth-User",
)  # fmt: skip
VALUES = ("/health", "GET", "127.0.0.1", "robot", "true")


@pytest.mark.parametrize("door", DOORS)
async def test_no_header_of_a_client_lets_it_in(door: str) -> None:
    world = World()
    async with DOORS[door](world) as opened:
        for name, value in zip(NAMES, itertools.cycle(VALUES), strict=False):
            for spelled in (name, name.replace("-", "_")):
                answer = await opened.ask(Asked("GET", "/reports", (), ((spelled, value),)))
                assert isinstance(answer.decision, Deny), spelled
                assert answer.status in (400, 401), spelled
                assert not answer.told, spelled


@pytest.mark.parametrize("door", DOORS)
async def test_no_header_of_a_client_makes_it_somebody_else(door: str) -> None:
    world = World()
    async with DOORS[door](world) as opened:
        token = f"Bearer {world.sign()}"
        for name in NAMES:
            answer = await opened.ask(Asked("GET", "/reports", (token,), ((name, "root"),)))
            if isinstance(answer.decision, Grant):
                assert answer.status == 200
                assert_tells_of_us_alone(answer.told)
                assert answer.decision.principal is not None
                assert answer.decision.principal.key.subject == "robot"
