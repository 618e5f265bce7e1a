"""Bound tokens through real processes: a stolen one is of no use, and a proof counts once."""

import asyncio
from typing import Any

import aiohttp
import pytest

from sidecar.adapters.clock import SystemClock
from tests.e2e.conftest import Site
from tests.e2e.processes import running_sidecar
from tests.fakes.proofs import URL, jkt_of, proof_of
from tests.fakes.tokens import ec_key
from tests.fakes.waiting import until

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
