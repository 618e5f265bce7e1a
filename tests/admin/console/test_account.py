"""The page of one account: what it has open ends before the operator's eyes."""

from dataclasses import replace

import pytest

from sidecar.admin.console.account import cut_words
from sidecar.admin.console.cuts import Measured
from sidecar.core.last_use import LastUse
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import AuditRecord, Change, StatusUnavailable, StreamKind
from tests.admin.console.listener import listening
from tests.admin.console.test_accounts import HOSTILE
from tests.admin.console.visitor import open_stream, signed_in
from tests.admin.office import Office
from tests.fakes.world import NOW, REALM

ROBOT = SubjectKey(REALM, "robot")
PAGE = "/console/account?realm=corp&subject=robot"
EVENTS = "/console/account/events?realm=corp&subject=robot"
FIELDS = {"realm": REALM, "subject": "robot"}


def enrolled(name: str = "The Robot", *groups: str, not_before: float = 0.0) -> Office:
    """Return an office whose streams end as a guard's would: when the account is written."""
    office = Office()
    office.store.accounts[ROBOT] = Account(
        "id-1", "robot", name, groups, AccountStatus.ACTIVE, not_before, NOW - 60.0, "cli: root"
    )
    return office


def cut_on_write(office: Office) -> None:
    def cut() -> None:
        for stream in office.streams.of(Change(*ROBOT)):
            stream.leave()

    office.store.before_put = cut


async def test_all_that_is_known_of_it_is_on_its_page() -> None:
    office = enrolled("The Robot", "ops", "admin", not_before=NOW - 5.0)
    office.uses = {"robot": LastUse(NOW - 7200.0, 3)}
    with open_stream(office, kind=StreamKind.WEBSOCKET):
        async with signed_in(office) as visitor:
            words = (await visitor.get(PAGE)).page.text

    assert "active It may come in." in words
    assert "Name The Robot Realm corp Groups ops admin Last seen 2 h ago" in words
    assert "Tokens refused issued before 2023-11-14 22:13:15 UTC" in words
    assert "Changed 2023-11-14 22:12:20 UTC , by cli: root Id id-1" in words
    assert "1 in flight" in words
    assert "open websocket admin-api" in words


async def test_disabling_says_how_fast_everything_was_over_and_is_audited_as_the_sessions() -> None:
    office = enrolled()
    cut_on_write(office)
    open_stream(office)
    open_stream(office)
    async with signed_in(office) as visitor:
        await visitor.get(PAGE)
        done = await visitor.post("/console/account/disable", FIELDS)

        assert "Disabled. All of its 2 open streams ended within 0 ms." in done.page.text
        assert "inactive It is refused." in done.page.text
        assert "Nothing in flight; 2 ended a moment ago" in done.page.text
        assert "disable admin secret" in done.page.text
        again = await visitor.get(PAGE)
        assert "Disabled." not in again.page.text

        await visitor.post("/console/account/enable", FIELDS)
        answer = await visitor.post("/console/account/revoke-tokens", FIELDS)
        assert "Every token that it has by now is refused" in answer.page.text
        assert "It had no open stream." in answer.page.text

    audits = office.world.observer.audits
    assert [(each.actor, each.action) for each in audits] == [
        ("admin secret", "disable"),
        ("admin secret", "enable"),
        ("admin secret", "revoke_subject_tokens"),
    ]
    assert office.store.accounts[ROBOT].not_before == NOW + 1


async def test_what_is_posted_is_answered_by_a_redirect() -> None:
    async with signed_in(enrolled()) as visitor:
        await visitor.get(PAGE)
        answer = await visitor.post("/console/account/disable", FIELDS, follow=False)
        assert (answer.status, answer.headers["Location"]) == (303, PAGE)


async def test_the_operator_sees_streams_end_and_the_account_change() -> None:
    office = enrolled()
    first, second = open_stream(office), open_stream(office)
    async with signed_in(office) as visitor:
        await visitor.get(PAGE)
        async with listening(visitor, EVENTS) as listener:
            _, html = await listener.next("replace")
            assert html.count('badge good">open') == 2
            first.leave()
            _, html = await listener.next("replace")
            assert html.count('badge good">open') == 1
            assert html.count('badge bad">ended') == 1
            assert await listener.next("say") == ("say", "One stream has ended.")
            second.leave()
            office.store.accounts.clear()
            while "deleted" not in html or html.count('badge bad">ended') < 2:
                _, html = await listener.next("replace")


async def test_who_signs_out_hears_no_more() -> None:
    async with signed_in(enrolled()) as visitor:
        await visitor.get(PAGE)
        async with listening(visitor, EVENTS) as listener:
            await listener.next("replace")
            await visitor.post("/console/sign-out", {})
            assert (await listener.next("end"))[0] == "end"
            await listener.until_end()


async def test_who_listens_while_the_store_goes_away_hears_no_more() -> None:
    async with signed_in(enrolled()) as visitor:
        await visitor.get(PAGE)
        async with listening(visitor, EVENTS) as listener:
            await listener.next("replace")
            visitor.office.store.failure = StatusUnavailable("away")
            await listener.until_end()


@pytest.mark.parametrize(
    "query", ["", "realm=corp&subject=nobody", "subject=a%20b", "subject=%00", "realm=x&subject=a"]
)
async def test_an_account_that_is_not_there_is_said(query: str) -> None:
    async with signed_in() as visitor:
        assert (await visitor.get(f"/console/account?{query}")).status == 404
        assert (await visitor.get(f"/console/account/events?{query}")).status == 404


async def test_an_account_that_others_keep_changing_is_said() -> None:
    office = enrolled()

    def change() -> None:
        office.store.accounts[ROBOT] = Account(
            "id", "robot", str(office.store.writes), (), AccountStatus.ACTIVE, updated_at=NOW
        )
        office.store.writes += 1

    office.store.before_put = change
    async with signed_in(office) as visitor:
        await visitor.get(PAGE)
        answer = await visitor.post("/console/account/disable", FIELDS)
        assert answer.status == 409
        assert "others kept changing it; nothing was written, try again" in answer.page.text


async def test_where_nothing_is_recorded_what_is_known_is_shown() -> None:
    office = Office(records=False)
    office.store.accounts[ROBOT] = Account("", "robot", "", (), AccountStatus.ACTIVE)
    async with signed_in(office) as visitor:
        words = (await visitor.get(PAGE)).page.text
        listed = (await visitor.get("/console/")).page.text
        health = (await visitor.get("/console/health")).page.text

    assert "Name none Realm corp Groups none Last seen not lately" in words
    assert "Changed not known Id none" in words
    assert "accounts.last_use in the settings has it recorded for good" in listed
    assert "Revision not known" in health


async def test_an_account_that_a_hold_shuts_out_is_said_to_wait_for_the_gateway() -> None:
    office = enrolled()
    held = replace(office.store.accounts[ROBOT], status=AccountStatus.INACTIVE, held=True)
    office.store.accounts[ROBOT] = held
    async with signed_in(office) as visitor:
        words = (await visitor.get(PAGE)).page.text

    assert "inactive It is refused until the gateway has answered." in words


async def test_where_last_use_cannot_be_read_the_page_is_there_without() -> None:
    office = enrolled()
    office.use_failure = StatusUnavailable("no rights")
    async with signed_in(office) as visitor:
        assert (await visitor.get(PAGE)).status == 200


@pytest.mark.parametrize("text", HOSTILE)
async def test_whatever_its_name_is_it_is_text_also_in_what_is_live(text: str) -> None:
    office = enrolled(text, text)
    account = office.store.accounts[ROBOT]
    office.trail.audited(AuditRecord(NOW, text, "update", ROBOT, account, account))
    async with signed_in(office) as visitor:
        answer = await visitor.get(PAGE)
        assert answer.status == 200
        assert [each for each in answer.page.all("script") if not each.get("src")] == []
        assert len(answer.page.all("img")) == 1
        assert "\u202e" not in answer.html


@pytest.mark.parametrize(
    ("streams", "seconds", "words"),
    [
        (0, 0.0, "It had no open stream."),
        (0, None, "Not all workers say whether it has something open."),
        (1, 0.0125, "Its open stream ended within 12 ms."),
        (3, 1.5, "All of its 3 open streams ended within 2 s."),
        (100, 0.1, "All of its open streams (more than 99) ended within 100 ms."),
        (2, None, "Not yet over: all of its 2 open streams. See below."),
    ],
)
def test_what_became_of_its_streams_is_said(
    streams: int, seconds: float | None, words: str
) -> None:
    assert cut_words(Measured(NOW, "ops", "disabled", ROBOT, [{}] * streams, seconds)) == words
