"""Following the gateway's changes: early where somebody is shut out, late where let in."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.account_mirror import AccountMirror, Hold, MirrorRules, NotMirrored
from sidecar.core.gateway_change import GatewayChange
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import StatusUnavailable
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore

API_USER = SubjectKey("default", "api-user")
PUT = GatewayChange("api-user")
POST = GatewayChange(None)


def caller(*groups: str) -> Principal:
    return Principal(
        key=SubjectKey("default", "boss"),
        kind=PrincipalKind.SERVICE_ACCOUNT,
        issuer="https://idp.example",
        name="Boss",
        groups=groups,
        scopes=frozenset(),
        client_id="",
        token_id=None,
        issued_at=None,
        expires_at=2000.0,
    )


ADMIN = caller("admin")


def account(status: str = "active", **members: Any) -> bytes:
    return json.dumps({"subject": "api-user", "status": status, **members}).encode()


class Office:
    def __init__(self) -> None:
        self.store = FakeAccountStore()
        self.clock = FakeClock(1000.0)
        self.observer = RecordingObserver()
        self.mirror = AccountMirror(self.accounts, MirrorRules())

    def accounts(self, actor: str) -> ServiceAccounts:
        return ServiceAccounts(self.store, self.clock, self.observer, actor=actor)

    async def register(self, *, active: bool = True) -> None:
        await self.accounts("cli").create(API_USER, name="Api User", groups=("ops",), active=active)

    @property
    def status(self) -> AccountStatus:
        return self.store.accounts[API_USER].status

    async def before(
        self, body: bytes, who: Principal | None = ADMIN, change: GatewayChange = PUT
    ) -> Hold | None:
        return await self.mirror.before(change, body, who)

    async def after(
        self,
        hold: Hold | None,
        status: int,
        answer: bytes = b"",
        change: GatewayChange = PUT,
        seen: Account | None = None,
    ) -> None:
        await self.mirror.after(change, seen, hold, status, answer, ADMIN)


@pytest.fixture
def office() -> Office:
    return Office()


async def test_whoever_is_to_be_shut_out_is_out_before_the_gateway_is_asked(office: Office) -> None:
    await office.register()
    hold = await office.before(account("inactive"))
    assert office.status is AccountStatus.INACTIVE

    await office.after(hold, 200, account("inactive", groups=["ops"]))
    assert office.status is AccountStatus.INACTIVE
    assert office.store.accounts[API_USER].updated_by == "gateway: boss"
    assert [each.action for each in office.observer.audits] == ["create", "hold", "create"]


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 409, 422])
async def test_who_was_shut_out_is_in_again_where_the_gateway_refuses(
    office: Office, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    await office.register()
    was = office.store.accounts[API_USER]
    hold = await office.before(account("inactive"), change=POST)
    await office.after(hold, status, b'{"message": "no"}', change=POST)

    now = office.store.accounts[API_USER]
    assert (now.status, now.groups, now.name) == (was.status, was.groups, was.name)
    assert ("--overwrite" in caplog.text) == (status == 409)


async def test_where_it_is_not_known_what_the_gateway_did_who_was_shut_out_stays_so(
    office: Office,
) -> None:
    await office.register()
    await office.before(account("inactive"))  # and no answer ever

    assert office.status is AccountStatus.INACTIVE


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_an_answer_that_may_come_after_the_change_lets_nobody_in_again(
    office: Office, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    await office.register()
    hold = await office.before(account("inactive"))
    await office.after(hold, status, b"")

    assert office.status is AccountStatus.INACTIVE
    assert "stays shut out" in caplog.text


@pytest.mark.parametrize("who", [None, caller(), caller("ops", "administrators")])
async def test_not_everybodys_word_shuts_somebody_out(
    office: Office, who: Principal | None
) -> None:
    await office.register()

    assert await office.before(account("inactive"), who) is None
    assert office.status is AccountStatus.ACTIVE


async def test_a_disabling_that_came_meanwhile_is_not_taken_back(office: Office) -> None:
    await office.register()
    hold = await office.before(account("inactive"))
    await office.accounts("cli").disable(API_USER)
    await office.after(hold, 409)

    assert office.status is AccountStatus.INACTIVE
    assert office.store.accounts[API_USER].updated_by == "cli"


async def test_nobody_is_let_in_who_was_shut_out_while_the_gateway_was_asked(
    office: Office,
) -> None:
    """Deny wins: whoever wants them in all the same asks anew, knowing of it."""
    await office.register()
    seen = await office.mirror.look(PUT, account("active"), ADMIN)
    await office.accounts("cli").disable(API_USER)
    with pytest.raises(NotMirrored, match="others changed the account"):
        await office.after(None, 200, account("active"), seen=seen)
    assert office.status is AccountStatus.INACTIVE


async def test_who_was_shut_out_since_it_was_let_in_does_not_let_itself_in(office: Office) -> None:
    await office.register(active=False)
    itself = replace(ADMIN, key=API_USER)

    with pytest.raises(NotMirrored, match="access revoked"):
        await office.mirror.look(PUT, account("active"), itself)


async def test_who_knows_of_a_shutting_out_may_take_it_back(office: Office) -> None:
    await office.register(active=False)
    seen = await office.mirror.look(PUT, account("active"), ADMIN)
    await office.after(None, 200, account("active"), seen=seen)

    assert office.status is AccountStatus.ACTIVE


async def test_nobody_is_made_anew_who_was_deleted_while_the_gateway_was_asked(
    office: Office,
) -> None:
    await office.register()
    seen = await office.mirror.look(POST, account("active"), ADMIN)
    await office.accounts("cli").delete(API_USER)

    with pytest.raises(NotMirrored):
        await office.after(None, 200, account("active"), change=POST, seen=seen)
    assert API_USER not in office.store.accounts


async def test_a_hold_that_the_gateway_turns_into_a_change_is_no_shutting_out(
    office: Office,
) -> None:
    await office.register()
    seen = await office.mirror.look(PUT, account("inactive"), ADMIN)
    hold = await office.before(account("inactive"))
    await office.after(hold, 200, account("active"), seen=seen)

    assert office.status is AccountStatus.ACTIVE


async def test_who_is_to_be_let_in_is_written_when_the_gateway_has_agreed(office: Office) -> None:
    assert await office.before(account("active"), change=POST) is None
    assert office.store.accounts == {}

    await office.after(None, 201, account(name="Api User", groups=None), change=POST)
    stored = office.store.accounts[API_USER]
    assert (stored.status, stored.groups, stored.name) == (AccountStatus.ACTIVE, (), "Api User")


async def test_what_the_gateway_refuses_changes_nothing(office: Office) -> None:
    await office.after(None, 409, b'{"message": "resource already exists"}', change=POST)

    assert office.store.accounts == {}


async def test_a_put_changes_whom_its_path_names(office: Office) -> None:
    """The gateway echoes the subject of the body, though it changes that of the path."""
    await office.register()
    answer = json.dumps({"subject": "victim", "status": "active", "groups": ["a"]}).encode()
    await office.after(None, 200, answer)

    assert list(office.store.accounts) == [API_USER]
    assert office.store.accounts[API_USER].groups == ("a",)


async def test_who_is_out_or_unknown_needs_no_hold(office: Office) -> None:
    assert await office.before(account("inactive")) is None
    await office.register(active=False)
    assert await office.before(account("inactive")) is None


async def test_a_store_that_does_not_answer_keeps_the_gateway_from_being_asked(
    office: Office,
) -> None:
    await office.register()
    office.store.failure = StatusUnavailable("down")
    with pytest.raises(NotMirrored, match="the gateway was not asked") as refused:
        await office.before(account("inactive"))
    assert refused.value.may_be_repeated


async def test_a_store_that_fails_after_the_gateways_answer_is_told_of(office: Office) -> None:
    await office.register()
    hold = await office.before(account("inactive"))
    office.store.failure = StatusUnavailable("down")
    for status, answer in ((200, account("inactive")), (403, b"")):
        with pytest.raises(NotMirrored, match="repeat the command"):
            await office.after(hold, status, answer)
    office.store.failure = None

    assert office.status is AccountStatus.INACTIVE


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"<html>", "cannot be read"),
        (account(groups=["a,b"]), "cannot be let in"),
    ],
)
async def test_what_cannot_be_stored_is_told_of(office: Office, answer: bytes, says: str) -> None:
    with pytest.raises(NotMirrored, match=says) as refused:
        await office.after(None, 200, answer)
    assert not refused.value.may_be_repeated
