"""The page of changes."""

import json

import pytest

from sidecar.admin.console.changes import what_changed
from sidecar.ports import StatusUnavailable
from tests.admin.console.visitor import signed_in
from tests.admin.office import Office
from tests.fakes.waiting import until_async

POSTED = {"subject": "alice", "status": "active", "groups": ["ops"]}


async def test_who_changed_what_is_listed_the_newest_first_and_by_pages() -> None:
    async with signed_in() as visitor:
        office = visitor.office
        await office.ask("POST", "/api/serviceaccounts", POSTED)
        for number in range(55):
            body = {**POSTED, "name": f"Alice {number}"}
            await office.ask("PUT", "/api/serviceaccounts/alice", body)
        await office.ask("POST", "/api/realms/corp/revoke-tokens")

        first = (await visitor.get("/console/changes")).page

        assert first.text.index("revoke_realm_tokens") < first.text.index("update")
        assert "alice admin secret name: Alice 53 → Alice 54" in first.text
        (older,) = [each["href"] for each in first.all("a") if each.get("rel") == "next"]
        second = (await visitor.get(older)).page
        assert "create alice admin secret new, active" in second.text
        assert not [each for each in second.all("a") if each.get("rel") == "next"]
        nothing = (await visitor.get("/console/changes?before=1-0")).page
        assert "Nothing older." in nothing.text
        assert (await visitor.get("/console/changes?before=x")).status == 200


async def test_a_record_that_somebody_wrote_by_hand_hides_no_other() -> None:
    office = Office()
    written = {"event": "unreadable", "subject": ["<b>"], "actor": "<script>\u202e", "before": 1}
    await office.log.append(json.dumps(written))
    async with signed_in(office) as visitor:
        answer = await visitor.get("/console/changes")

    assert answer.status == 200
    assert "unreadable" in answer.page.text
    assert "<script>\\u202e" in answer.page.text


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"streams": 3}, "3 streams cut"),
        ({"token_id": "abc", "until": 5}, "token abc"),
        ({"before": None, "after": {"status": "active"}}, "new, active"),
        ({"before": {"status": "active"}, "after": None}, ""),
        ({}, ""),
        (
            {
                "before": {"status": "active", "groups": []},
                "after": {"status": "inactive", "groups": ["a", "b"]},
            },
            "status: active → inactive, groups: none → a, b",
        ),
    ],
)
def test_a_record_is_told_in_words(record: dict[str, object], words: str) -> None:
    assert what_changed(record) == words


async def test_a_trail_that_does_not_answer_is_said() -> None:
    async with signed_in() as visitor:
        await visitor.get("/console/")
        visitor.office.log.failure = StatusUnavailable("away")

        async def is_said() -> bool:
            return (await visitor.get("/console/changes")).status == 503

        await until_async(is_said)
