"""The signed identity, verified by an upstream as the example does it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_main_job import bearer
from tests.e2e.test_reloading import listen, reload
from tests.fakes.upstream import OK, Conversation, scripted_upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
EXAMPLE = Path(__file__).parents[2] / "deploy" / "assertion" / "verify.py"


async def verify(admin_url: str, audience: str, assertion: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *(str(EXAMPLE), f"{admin_url}/.well-known/jwks.json", audience, assertion),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, (out or err).decode()


async def test_an_upstream_verifies_who_is_calling_whichever_worker_it_came_through(
    site: Site,
) -> None:
    await site.enable()
    told: list[str] = []

    async def talk(conversation: Conversation) -> None:
        told.extend(conversation.values("X-Auth-Assertion"))
        await conversation.say(OK)

    async with scripted_upstream(talk) as upstream:
        settings: dict[str, Any] = site.settings(
            upstream={"url": upstream.url},
            workers=2,
            listen=listen(drain_seconds=0),
            assertion={"audience": "gateway"},
        )
        async with running_sidecar(settings, site.directory) as sidecar:

            async def asked() -> str:
                headers = {**bearer(site.token()), "Connection": "close", "X-Auth-Assertion": "me"}
                async with site.http.get(sidecar.url + "/api/userinfo", headers=headers) as answer:
                    assert answer.status == 200
                return told[-1]

            for assertion in {await asked() for _ in range(6)}:
                code, said = await verify(sidecar.admin_url, "gateway", assertion)
                assert code == 0, said
                assert json.loads(said)["sub"] == SUBJECT
                assert json.loads(said)["groups"] == ["devops", "ops"]

            assert (await verify(sidecar.admin_url, "another", told[-1]))[0] == 1
            assert (await verify(sidecar.admin_url, "gateway", site.token()))[0] == 1

            await reload(sidecar, site.directory, settings)
            code, said = await verify(sidecar.admin_url, "gateway", told[-1])
            assert code == 0, said
            assert (await verify(sidecar.admin_url, "gateway", await asked()))[0] == 0
        assert "me" not in told
