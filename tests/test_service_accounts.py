"""The use cases of accounts, over a store that others write to as well."""

from dataclasses import replace

import pytest
from typing_extensions import override

from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import AccountExists, AccountNotFound, Contended, StatusUnavailable
from sidecar.service_accounts import BadAccount, ServiceAccounts
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore

API_USER = SubjectKey("default", "api-user")


class Office:
    """Use cases among fakes."""

    def __init__(self) -> None:
        self.store = FakeAccountStore()
        self.clock = FakeClock(1000.0)
        self.observer = RecordingObserver()
        self.accounts = ServiceAccounts(self.store, self.clock, self.observer, actor="cli:root")

    @property
    def actions(self) -> list[str]:
        return [record.action for record in self.observer.audits]


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_new_account_is_active_and_has_the_gateways_id(office: Office) -> None:
    account = await office.accounts.create(API_USER, name="Api User", groups=("devops", "ops"))

    assert account == Account(
        id="e2ad98f2-5086-538e-8171-71e65cc5b081",
        subject="api-user",
        name="Api User",
        groups=("devops", "ops"),
        status=AccountStatus.ACTIVE,
        updated_at=1000.0,
        updated_by="cli:root",
    )
    assert office.store.accounts == {API_USER: account}


async def test_each_change_is_audited_once_with_before_and_after(office: Office) -> None:
    created = await office.accounts.create(API_USER)
    office.clock.advance(5)
    disabled = await office.accounts.disable(API_USER)
    await office.accounts.delete(API_USER)

    assert [
        (each.at, each.actor, each.action, each.key, each.before, each.after)
        for each in office.observer.audits
    ] == [
        (1000.0, "cli:root", "create", API_USER, None, created),
        (1005.0, "cli:root", "disable", API_USER, created, disabled),
        (1005.0, "cli:root", "delete", API_USER, disabled, None),
    ]


async def test_an_account_that_exists_is_not_made_again(office: Office) -> None:
    before = await office.accounts.create(API_USER, name="Old")

    with pytest.raises(AccountExists):
        await office.accounts.create(API_USER, name="New")

    assert office.store.accounts[API_USER] == before


async def test_overwriting_replaces_groups_and_status_and_keeps_a_name(office: Office) -> None:
    """The gateway's PUT."""
    await office.accounts.create(API_USER, name="Old", groups=("a",))

    after = await office.accounts.create(API_USER, groups=(), active=False, overwrite=True)

    assert (after.name, after.groups, after.status) == ("Old", (), AccountStatus.INACTIVE)


async def test_overwriting_gives_an_account_made_by_hand_its_id(office: Office) -> None:
    office.store.accounts[API_USER] = Account("", "api-user", "", (), AccountStatus.ACTIVE)

    after = await office.accounts.create(API_USER, name="New", overwrite=True)

    assert after.id == "e2ad98f2-5086-538e-8171-71e65cc5b081"


async def test_an_update_changes_only_what_is_given(office: Office) -> None:
    await office.accounts.create(API_USER, name="Old", groups=("a",))

    named = await office.accounts.update(API_USER, name="New")
    grouped = await office.accounts.update(API_USER, groups=("b", "b"))
    emptied = await office.accounts.update(API_USER, groups=())
    stopped = await office.accounts.update(API_USER, active=False)

    assert (named.name, named.groups) == ("New", ("a",))
    assert (grouped.name, grouped.groups) == ("New", ("b",))
    assert emptied.groups == ()
    assert (stopped.name, stopped.status) == ("New", AccountStatus.INACTIVE)
    assert (await office.accounts.update(API_USER, active=True)).is_active
    assert office.actions == ["create", *["update"] * 5]


async def test_a_change_that_changes_nothing_writes_nothing(office: Office) -> None:
    await office.accounts.create(API_USER, name="Same", groups=("a",))
    await office.accounts.update(API_USER, name="Same", groups=("a",))
    await office.accounts.enable(API_USER)

    assert office.store.writes == 1
    assert office.actions == ["create"]


async def test_an_account_made_anew_is_told_with_the_not_before_that_it_got(office: Office) -> None:
    created = await office.accounts.create(API_USER)
    office.store.accounts[API_USER] = replace(created, not_before=7.0)
    await office.accounts.delete(API_USER)

    again = await office.accounts.create(API_USER)

    assert again.not_before == 7.0
    assert again == office.store.accounts[API_USER]
    assert office.observer.audits[-1].after == again


async def test_disabling_and_enabling_keep_all_else(office: Office) -> None:
    created = await office.accounts.create(API_USER, name="N", groups=("a",))
    office.store.accounts[API_USER] = replace(created, not_before=7.0)

    disabled = await office.accounts.disable(API_USER)
    enabled = await office.accounts.enable(API_USER)

    assert not disabled.is_active
    assert enabled.is_active
    assert (enabled.name, enabled.groups, enabled.not_before) == ("N", ("a",), 7.0)


async def test_a_name_written_while_another_disables_leaves_it_disabled(office: Office) -> None:
    created = await office.accounts.create(API_USER, name="Old")

    def disable_first() -> None:
        office.store.before_put = None
        office.store.accounts[API_USER] = replace(created, status=AccountStatus.INACTIVE)

    office.store.before_put = disable_first
    after = await office.accounts.update(API_USER, name="New")

    assert (after.name, after.status) == ("New", AccountStatus.INACTIVE)


@pytest.mark.parametrize("was_deleted", [False, True])
async def test_replacing_an_account_that_is_shut_out_meanwhile_lets_nobody_in(
    office: Office, *, was_deleted: bool
) -> None:
    """Revocation wins: who replaced it had not seen that."""
    created = await office.accounts.create(API_USER)

    def shut_out_first() -> None:
        office.store.before_put = None
        if was_deleted:
            del office.store.accounts[API_USER]
        else:
            office.store.accounts[API_USER] = replace(created, status=AccountStatus.INACTIVE)

    office.store.before_put = shut_out_first
    with pytest.raises(Contended, match="shut out meanwhile"):
        await office.accounts.create(API_USER, groups=("a",), overwrite=True)

    left = office.store.accounts.get(API_USER)
    assert left is None or not left.is_active
    assert office.actions == ["create"]
    assert (await office.accounts.create(API_USER, overwrite=True)).is_active  # asked anew


async def test_disabling_an_account_that_is_deleted_meanwhile_does_not_bring_it_back(
    office: Office,
) -> None:
    await office.accounts.create(API_USER)
    office.store.before_put = office.store.accounts.clear

    with pytest.raises(AccountNotFound):
        await office.accounts.disable(API_USER)

    assert office.store.accounts == {}
    assert office.actions == ["create"]


async def test_losing_every_race_is_said_and_writes_nothing(office: Office) -> None:
    created = await office.accounts.create(API_USER)
    count = 0

    def be_faster() -> None:
        nonlocal count
        count += 1
        office.store.accounts[API_USER] = replace(created, name=str(count))

    office.store.before_put = be_faster
    with pytest.raises(Contended, match="try again"):
        await office.accounts.disable(API_USER)

    assert office.actions == ["create"]


async def test_what_is_not_there_cannot_be_changed(office: Office) -> None:
    for change in (
        office.accounts.update(API_USER, name="x"),
        office.accounts.disable(API_USER),
        office.accounts.enable(API_USER),
        office.accounts.delete(API_USER),
        office.accounts.get(API_USER),
    ):
        with pytest.raises(AccountNotFound):
            await change

    assert await office.accounts.find(API_USER) is None
    assert office.actions == []


async def test_a_deletion_that_another_was_faster_with_is_not_audited_twice(
    office: Office,
) -> None:
    await office.accounts.create(API_USER)

    class Deleted(FakeAccountStore):
        @override
        async def delete(self, key: SubjectKey) -> bool:
            self.accounts.pop(key)
            return False

    store = Deleted()
    store.accounts = office.store.accounts
    accounts = ServiceAccounts(store, office.clock, office.observer, actor="x")
    with pytest.raises(AccountNotFound):
        await accounts.delete(API_USER)

    assert office.actions == ["create"]


@pytest.mark.parametrize(
    ("subject", "name", "groups", "says"),
    [
        ("", "", (), "subject"),
        ("a b", "", (), "subject"),
        ("a\r\n", "", (), "subject"),
        ("x" * 256, "", (), "subject"),
        ("ok", "bell\x07", (), "name"),
        ("ok", "x" * 256, (), "name"),
        ("ok", "", ("a,b",), "no group"),
        ("ok", "", (" a",), "no group"),
        ("ok", "", ("",), "no group"),
    ],
)
async def test_what_cannot_stand_as_an_account_is_refused_with_what_can(
    office: Office, subject: str, name: str, groups: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadAccount, match=says):
        await office.accounts.create(SubjectKey("default", subject), name=name, groups=groups)

    assert office.store.writes == 0


async def test_a_realm_is_listed_and_one_account_is_shown(office: Office) -> None:
    account = await office.accounts.create(API_USER)

    assert await office.accounts.list("default") == [account]
    assert await office.accounts.list("other") == []
    assert await office.accounts.get(API_USER) == account


async def test_a_store_that_does_not_answer_is_not_taken_for_an_empty_one(office: Office) -> None:
    office.store.failure = StatusUnavailable("down")

    with pytest.raises(StatusUnavailable):
        await office.accounts.disable(API_USER)


async def test_nobody_is_let_in_again_on_the_strength_of_what_was_seen_long_ago(
    office: Office,
) -> None:
    """Disabled when it was judged; since then enabled, and disabled again."""
    await office.accounts.create(API_USER)
    seen = await office.accounts.disable(API_USER)
    office.clock.advance(1)
    await office.accounts.enable(API_USER)
    now = await office.accounts.disable(API_USER)

    with pytest.raises(Contended, match="changed meanwhile"):
        await office.accounts.update(API_USER, active=True, seen=seen)
    assert office.store.accounts[API_USER] == now

    await office.accounts.update(API_USER, active=True, seen=now)
    assert office.store.accounts[API_USER].is_active


async def test_who_is_shut_out_is_so_whatever_was_seen(office: Office) -> None:
    seen = await office.accounts.create(API_USER)
    await office.accounts.update(API_USER, name="New")
    await office.accounts.update(API_USER, active=False, seen=seen)

    assert not office.store.accounts[API_USER].is_active


async def test_a_hold_is_taken_back_with_all_that_was(office: Office) -> None:
    before = await office.accounts.create(API_USER, name="Api User", groups=("ops",))
    held = await office.accounts.hold(API_USER)
    assert not held.is_active
    assert held.held

    assert await office.accounts.restore(API_USER, before, held)
    assert replace(await office.accounts.get(API_USER), updated_at=before.updated_at) == before
    assert office.actions == ["create", "hold", "restore"]


async def test_a_hold_that_somebody_else_made_for_good_stays(office: Office) -> None:
    before = await office.accounts.create(API_USER)
    held = await office.accounts.hold(API_USER)
    await office.accounts.disable(API_USER)

    assert not await office.accounts.restore(API_USER, before, held)
    assert not (await office.accounts.get(API_USER)).is_active
