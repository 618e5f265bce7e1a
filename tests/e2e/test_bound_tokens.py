"""Bound tokens through real processes: a stolen one is of no use, and a proof counts once."""

import asyncio
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from sidecar.adapters.clock import SystemClock
from tests.app.test_tls import Certificates
from tests.e2e.conftest import Site
from tests.e2e.processes import running_sidecar
from tests.e2e.proxies.programs import NGINX, Program, running_proxy
from tests.e2e.test_ext_authz import NOT_RAW, envoy_before
from tests.fakes.proofs import URL, jkt_of, proof_of
from tests.fakes.tokens import ec_key
from tests.fakes.upstream import scripted_upstream
from tests.fakes.waiting import until
from tests.fronts.test_bound_doors import thumbprint_in

pytestmark = pytest.mark.e2e

PATH = "/api/userinfo"
AT_ONCE = 12


def bound(site: Site, **more: Any) -> dict[str, Any]:
    plain = site.settings(bound_tokens={"public_urls": [URL]}, log={"decisions": "all"}, **more)
    return {**plain, "issuers": [{**plain["issuers"][0], "dpop": "allowed"}]}


def proven(token: str, **changed: Any) -> dict[str, str]:
    proof = proof_of(token, path=PATH, iat=int(SystemClock().now()), **changed)
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


async def ask(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Ask on a connection of its own: any worker may get it."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + PATH, headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("WWW-Authenticate", "")


async def test_two_workers_take_a_proof_once_and_the_gateway_gets_a_bearer(site: Site) -> None:
    await site.enable()
    token = site.token(cnf={"jkt": jkt_of()})
    async with running_sidecar(bound(site, workers=2), site.directory) as sidecar:
        once = proven(token)
        answers = await asyncio.gather(*(ask(sidecar.url, once) for _ in range(AT_ONCE)))
        statuses = [status for status, _ in answers]
        stolen = await ask(sidecar.url, {"Authorization": f"Bearer {token}"})
        thief = await ask(sidecar.url, proven(token, key=ec_key("thief")))
        again = await ask(sidecar.url, proven(token))
        await until(lambda: len(sidecar.decisions) == AT_ONCE + 3)
        granted = [each for each in sidecar.decisions if each["outcome"] == "granted"]
        await site.redis.stop()
        unsure = await ask(sidecar.url, proven(token))

    assert (statuses.count(200), statuses.count(401)) == (1, AT_ONCE - 1)
    refusals = {challenge for status, challenge in answers if status == 401}
    assert len(refusals) == 1
    assert 'DPoP realm="sidecar", error="invalid_dpop_proof"' in refusals.pop()
    assert (stolen[0], thief[0], again[0], unsure[0]) == (401, 401, 200, 503)
    assert [each["binding"] for each in granted] == ["dpop", "dpop"]


async def test_nginx_lets_upstream_see_the_bearer_and_clients_the_nonce(site: Site) -> None:
    """With the lines that its README has."""
    NGINX.find()
    await site.enable()
    token = site.token(cnf={"jkt": jkt_of()})
    secret = site.directory / "nonces"
    secret.write_text("0123456789abcdef0123456789abcdef")
    settings = bound(site, forward_auth={"dialect": "nginx", "port": 0})
    del settings["upstream"]
    settings["bound_tokens"]["nonce_secret_file"] = str(secret)
    async with (
        scripted_upstream() as upstream,
        running_sidecar(settings, site.directory) as sidecar,
        running_proxy(
            nginx_with_bound_tokens(site.directory),
            site.directory,
            sidecar=urlsplit(sidecar.url).netloc,
            upstream=urlsplit(upstream.url).netloc,
        ) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        async with site.http.get(url + PATH, headers=proven(token)) as refused:
            nonce = refused.headers["DPoP-Nonce"]
            assert refused.status == 401
            assert 'error="use_dpop_nonce"' in refused.headers["WWW-Authenticate"]
        with_nonce = proven(token, nonce=nonce)
        assert (await ask(url, with_nonce))[0] == 200
        assert upstream.last.values("authorization") == [f"Bearer {token}"]
        assert upstream.last.values("dpop") == []
        assert (await ask(url, with_nonce))[0] == 401
        plain = site.token()
        assert (await ask(url, {"Authorization": f"Bearer {plain}"}))[0] == 200
        assert upstream.last.values("authorization") == [f"Bearer {plain}"]
        assert len(upstream.conversations) == 2


@pytest.mark.parametrize("changed", [{}, NOT_RAW], ids=["raw headers", "joined headers"])
async def test_envoy_lets_upstream_see_the_bearer(site: Site, changed: dict[str, str]) -> None:
    await site.enable()
    token = site.token(cnf={"jkt": jkt_of()})
    settings = bound(site, ext_authz={"port": 0})
    async with envoy_before(site, changed, **settings) as scene:
        once = [f"{name}: {value}".encode() for name, value in proven(token).items()]
        first, _ = await scene.envoy.ask(PATH.encode(), *once)
        replayed, answer = await scene.envoy.ask(PATH.encode(), *once)
        twice, _ = await scene.envoy.ask(
            PATH.encode(), *(f"{n}: {v}".encode() for n, v in proven(token).items()), once[1]
        )

    assert (first, replayed, twice) == (200, 401, 401)
    assert b'error="invalid_dpop_proof"' in answer
    (heard,) = site.gateway.requests
    fields = {name.lower(): value for name, value in heard.headers}
    assert fields["authorization"] == f"Bearer {token}"
    assert "dpop" not in fields


def nginx_with_bound_tokens(directory: Path) -> Program:
    """Return nginx with the configuration that it has, and what the README adds."""
    readme = (NGINX.file.parent / "README.md").read_text()
    in_root, in_refusal, _ = re.findall(r"```nginx\n(.*?)```", readme, re.DOTALL)
    text = NGINX.file.read_text()
    for place, lines in (
        ("auth_request /-/sidecar;\n", in_root),
        ("location @unauthorized {\n", in_refusal),
    ):
        assert text.count(place) == 1
        text = text.replace(place, place + lines)
    file = directory / "bound.conf"
    file.write_text(text)
    return replace(NGINX, file=file)


async def test_a_token_is_of_use_with_the_certificate_that_it_is_bound_to(site: Site) -> None:
    ours, other = Certificates(site.directory, "ours"), Certificates(site.directory, "other")
    both = site.directory / "both.pem"
    both.write_bytes(ours.ca.read_bytes() + other.ca.read_bytes())
    plain = site.settings()
    plain["listen"]["tls"] = {
        "certificate": str(ours.certificate),
        "key": str(ours.key),
        "client_ca": str(both),
    }
    settings = {**plain, "issuers": [{**plain["issuers"][0], "mtls": "required"}]}
    await site.enable()
    token = site.token(cnf={"x5t#S256": thumbprint_in(ours)})
    async with running_sidecar(settings, site.directory) as sidecar:
        url = sidecar.url.replace("127.0.0.1", "localhost") + PATH
        statuses = []
        for shown, bearer in ((ours, token), (other, token), (ours, site.token())):
            context = ssl.create_default_context(cafile=ours.ca)
            context.load_cert_chain(shown.certificate, shown.key)
            headers = {"Authorization": f"Bearer {bearer}"}
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, headers=headers, ssl=context) as answer,
            ):
                statuses.append(answer.status)
        await until(lambda: len(sidecar.decisions) == 3)

    assert statuses == [200, 401, 401]
    assert [each.get("binding") for each in sidecar.decisions] == ["mtls", None, None]
    assert [each["reason"] for each in sidecar.decisions] == [
        "",
        "binding_refused",
        "binding_missing",
    ]
