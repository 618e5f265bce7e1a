"""What upstream is told of groups: the account's, or those of a claim, under their new names."""

from typing import Any

import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_main_job import bearer
from tests.fakes.upstream import OK, Conversation, scripted_upstream

pytestmark = pytest.mark.e2e

CLAIM = "https://app.hoop.dev/groups"
ADMINS_ONLY = [{"name": "admins", "path": "/admins", "groups": ["admin"]}]


@pytest.mark.parametrize(
    ("rules", "claim", "told", "admins"),
    [
        ({}, ["admin"], "devops,ops", 403),
        ({"group_names": {"ops": "admin"}}, ["x"], "devops,admin", 200),
        ({"groups_from": "claim", "groups_claim": CLAIM}, ["admin", "dev"], "admin,dev", 200),
        (
            {"groups_from": "claim", "groups_claim": CLAIM, "group_names": {"leads": "admin"}},
            ["admin", "dev"],
            "dev",
            403,
        ),
    ],
    ids=["account", "account renamed", "claim", "claim renamed"],
)
async def test_upstream_and_routes_go_by_the_same_groups(
    site: Site, rules: dict[str, Any], claim: list[str], told: str, admins: int
) -> None:
    await site.enable()
    heard: list[str] = []

    async def talk(conversation: Conversation) -> None:
        heard.extend(conversation.values("X-Auth-Groups"))
        await conversation.say(OK)

    async with scripted_upstream(talk) as upstream:
        plain = site.settings(upstream={"url": upstream.url}, routes=ADMINS_ONLY)
        settings = {**plain, "issuers": [{**plain["issuers"][0], **rules}]}
        async with running_sidecar(settings, site.directory) as sidecar:
            token = site.token(**{CLAIM: claim, "groups": claim})
            headers = {**bearer(token), "X-Auth-Groups": "admin"}
            async with site.http.get(sidecar.url + "/api/userinfo", headers=headers) as answer:
                assert answer.status == 200
            async with site.http.get(sidecar.url + "/admins", headers=headers) as answer:
                assert answer.status == admins

    assert set(heard) == {told}
