"""Carrying out plans over a store that others write to, and that may fail at any step."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from typing_extensions import override

from sidecar.account_sync import AccountSync, Outcome
from sidecar.core.account_plan import Kind, Plan, PlanRules, Vanished
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount
from sidecar.ports import StatusUnavailable, Superseded
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore

INACTIVE = AccountStatus.INACTIVE
RULES = PlanRules(Vanished.DISABLE, reenable=True)


class FailingStore(FakeAccountStore):
    """Raises what ``failures`` has for the subject, at each write."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, Exception] = {}
        self.tried: list[str] = []

    @override
    async def put(
        self, key: SubjectKey, account: Account, *, expected: Account | None
    ) -> Account | None:
        self.tried.append(key.subject)
        if key.subject in self.failures:
            raise self.failures[key.subject]
        return await super().put(key, account, expected=expected)


class Office:
    """The sync among fakes."""

    def __init__(self) -> None:
        self.store = FailingStore()
        self.clock = FakeClock(1000.0)
        self.observer = RecordingObserver()
        self.accounts = ServiceAccounts(self.store, self.clock, self.observer, actor="sync:gateway")
        self.sync = AccountSync(self.accounts)

    async def plan(self, wanted: Sequence[WantedAccount], rules: PlanRules = RULES) -> Plan:
        return await self.sync.plan("corp", wanted, rules)

    async def bring(self, *wanted: WantedAccount, rules: PlanRules = RULES) -> Outcome:
        return await self.sync.carry_out(await self.plan(wanted, rules))

    def stored(self, subject: str) -> Account:
        return self.store.accounts[SubjectKey("corp", subject)]

    def meanwhile(self, happen: Callable[[], None]) -> None:
        """Let this happen right before the next write."""

        def once() -> None:
            self.store.before_put = None
            happen()

        self.store.before_put = once


@pytest.fixture
def office() -> Office:
    return Office()


async def test_each_change_is_one_write_and_one_audit_record_of_the_actor(office: Office) -> None:
    await office.bring(WantedAccount("a"), WantedAccount("b"), WantedAccount("c"))
    office.observer.audits.clear()
    office.store.writes = 0
    outcome = await office.bring(
        WantedAccount("a", "A", ("ops",), INACTIVE), WantedAccount("b", "B"), WantedAccount("d")
    )

    assert office.store.writes == 4
    assert [(each.action, each.key.subject, each.actor) for each in office.observer.audits] == [
        ("update", "a", "sync:gateway"),
        ("disable", "c", "sync:gateway"),
        ("update", "b", "sync:gateway"),
        ("create", "d", "sync:gateway"),
    ]
    assert [step.kind for step in outcome.done] == [
        Kind.DISABLE, Kind.DISABLE, Kind.UPDATE, Kind.ADD,
    ]  # fmt: skip
    assert outcome.failed == ()
    assert office.stored("a").groups == ("ops",)
    assert not office.stored("a").is_active


async def test_nothing_to_do_writes_nothing(office: Office) -> None:
    await office.bring(WantedAccount("a"))
    office.store.writes = 0

    assert await office.bring(WantedAccount("a")) == Outcome()
    assert office.store.writes == 0


async def test_pruning_deletes(office: Office) -> None:
    await office.bring(WantedAccount("a"))
    await office.bring(rules=PlanRules(Vanished.DELETE))

    assert office.store.accounts == {}


async def test_enabling_again_has_to_be_asked_for(office: Office) -> None:
    await office.bring(WantedAccount("a", status=INACTIVE))
    await office.bring(WantedAccount("a"), rules=PlanRules())
    assert not office.stored("a").is_active

    await office.bring(WantedAccount("a"))
    assert office.stored("a").is_active


async def test_one_that_fails_does_not_keep_the_others_from_it(office: Office) -> None:
    office.store.failures["b"] = StatusUnavailable("WRONGTYPE")
    outcome = await office.bring(*map(WantedAccount, "abc"))

    assert [step.subject for step in outcome.done] == ["a", "c"]
    assert [(each.step.subject, "WRONGTYPE" in each.why) for each in outcome.failed] == [
        ("b", True)
    ]


async def test_a_store_that_is_away_is_not_asked_for_every_account(office: Office) -> None:
    office.store.failures = dict.fromkeys("cdefgh", StatusUnavailable("away"))
    outcome = await office.bring(*map(WantedAccount, "abcdefgh"))

    assert office.store.tried == ["a", "b", "c", "d", "e"]
    assert [each.why for each in outcome.failed][3:] == ["not tried"] * 3


async def test_who_no_longer_leads_stops_at_once(office: Office) -> None:
    office.store.failures["b"] = Superseded("another leads")
    outcome = await office.bring(*map(WantedAccount, "abcd"))

    assert office.store.tried == ["a", "b"]
    assert [each.why for each in outcome.failed] == ["another leads", "not tried", "not tried"]


async def test_a_store_that_is_doubted_is_not_written_to_any_more(office: Office) -> None:
    plan = await office.plan([*map(WantedAccount, "abcd")])
    outcome = await office.sync.carry_out(plan, lambda: len(office.store.tried) < 2)

    assert office.store.tried == ["a", "b"]
    assert [(each.step.subject, each.why) for each in outcome.failed] == [
        ("c", "not tried"), ("d", "not tried"),
    ]  # fmt: skip


async def test_a_disabling_that_comes_between_plan_and_write_stays(office: Office) -> None:
    await office.bring(WantedAccount("a"))
    plan = await office.plan([WantedAccount("a", "New", ("ops",))])
    await office.accounts.disable(SubjectKey("corp", "a"))
    outcome = await office.sync.carry_out(plan)

    assert outcome.failed == ()
    assert (office.stored("a").name, office.stored("a").is_active) == ("New", False)


async def test_a_disabling_that_comes_while_writing_stays(office: Office) -> None:
    await office.bring(WantedAccount("a"))
    key = SubjectKey("corp", "a")
    plan = await office.plan([WantedAccount("a", "New")])

    def disable() -> None:
        office.store.accounts[key] = replace(office.stored("a"), status=INACTIVE)

    office.meanwhile(disable)
    await office.sync.carry_out(plan)

    assert not office.stored("a").is_active


async def test_a_disabling_after_the_plan_outweighs_an_enabling_in_it(office: Office) -> None:
    key = SubjectKey("corp", "a")
    await office.bring(WantedAccount("a", status=INACTIVE))
    plan = await office.plan([WantedAccount("a")])
    office.clock.advance(1)
    await office.accounts.enable(key)
    await office.accounts.disable(key)
    outcome = await office.sync.carry_out(plan)

    assert not office.stored("a").is_active
    assert [each.step.kind for each in outcome.failed] == [Kind.ENABLE]


async def test_what_came_or_went_meanwhile_is_told(office: Office) -> None:
    await office.bring(WantedAccount("gone"), WantedAccount("other"))
    plan = await office.plan([WantedAccount("gone", "New"), WantedAccount("new")])
    await office.accounts.delete(SubjectKey("corp", "gone"))
    await office.accounts.create(SubjectKey("corp", "new"), groups=("theirs",))
    outcome = await office.sync.carry_out(plan)

    assert [step.subject for step in outcome.done] == ["other"]
    assert {each.step.subject: each.why for each in outcome.failed} == {
        "gone": "it came or went meanwhile",
        "new": "it came or went meanwhile",
    }
    assert office.stored("new").groups == ("theirs",)


async def test_what_others_changed_of_a_name_that_the_plan_leaves_stays(office: Office) -> None:
    await office.bring(WantedAccount("a", "Old"))
    plan = await office.plan([WantedAccount("a", "Old", ("ops",))])
    await office.accounts.update(SubjectKey("corp", "a"), name="Theirs")
    await office.sync.carry_out(plan)

    assert (office.stored("a").name, office.stored("a").groups) == ("Theirs", ("ops",))


async def test_what_cannot_stand_is_told_and_the_rest_goes_on(office: Office) -> None:
    """As an account that was written by hand under a subject of another shape."""
    key = SubjectKey("corp", "a b")
    office.store.accounts[key] = Account("1", "a b", "", ("x,y",), AccountStatus.ACTIVE)
    plan = await office.plan([WantedAccount("a b", status=INACTIVE), WantedAccount("new")])
    outcome = await office.sync.carry_out(plan)

    assert outcome.failed == ()
    assert not office.stored("a b").is_active
    assert office.stored("new").is_active


async def test_a_plan_of_a_subject_twice_or_of_a_store_that_is_away_is_none(
    office: Office,
) -> None:
    with pytest.raises(NotAccounts):
        await office.plan([WantedAccount("a"), WantedAccount("a")])
    office.store.failure = StatusUnavailable("away")
    with pytest.raises(StatusUnavailable):
        await office.plan([])
