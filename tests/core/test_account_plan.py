"""The difference between the accounts that there are and those that there should be."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.account_plan import Kind, Plan, PlanRules, Step, Vanished, make_plan
from sidecar.core.subject import Account, AccountStatus
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
ACTIVE, INACTIVE = AccountStatus.ACTIVE, AccountStatus.INACTIVE
SYNC = PlanRules(Vanished.DISABLE, max_vanished_share=0.5)


def stored(
    subject: str,
    status: AccountStatus = ACTIVE,
    name: str = "",
    groups: tuple[str, ...] = (),
) -> Account:
    return Account(f"id of {subject}", subject, name, groups, status)


def wanted(
    subject: str,
    status: AccountStatus = ACTIVE,
    name: str = "",
    groups: tuple[str, ...] = (),
) -> WantedAccount:
    return WantedAccount(subject, name, groups, status)


def many(count: int) -> list[Account]:
    return [stored(f"s{number:04}") for number in range(count)]


def plan(want: Sequence[WantedAccount], have: Sequence[Account], rules: PlanRules = SYNC) -> Plan:
    return make_plan("corp", want, have, rules)


def kinds(found: Plan) -> list[tuple[str, str]]:
    return [(step.kind.value, step.subject) for step in found.steps]


def test_what_is_missing_is_added_and_what_is_alike_is_kept() -> None:
    found = plan([wanted("a", name="A", groups=("ops",)), wanted("b")], [stored("b")])

    assert found.steps == (Step(Kind.ADD, "a", None, "A", ("ops",), ACTIVE),)
    assert found.kept == 1


def test_a_subject_with_a_slash_is_a_subject() -> None:
    """The gateway can make it, and never change it again."""
    assert kinds(plan([wanted("team/app")], [])) == [("add", "team/app")]


def test_a_name_and_groups_are_updated_and_an_empty_name_keeps_the_stored_one() -> None:
    before = stored("a", name="Old", groups=("ops",))

    assert plan([wanted("a", groups=("ops", "dev"))], [before]).steps == (
        Step(Kind.UPDATE, "a", before, "Old", ("ops", "dev"), ACTIVE),
    )
    assert plan([wanted("a", name="New", groups=("ops",))], [before]).steps == (
        Step(Kind.UPDATE, "a", before, "New", ("ops",), ACTIVE),
    )


def test_groups_in_another_order_are_the_same() -> None:
    assert plan([wanted("a", groups=("b", "a"))], [stored("a", groups=("a", "b"))]).steps == ()


def test_groups_that_are_gone_are_taken_away() -> None:
    assert plan([wanted("a")], [stored("a", groups=("admin",))]).steps[0].groups == ()


def test_a_disabling_comes_through_with_what_else_changed() -> None:
    before = stored("a", groups=("ops",))

    assert plan([wanted("a", INACTIVE, "New")], [before]).steps == (
        Step(Kind.DISABLE, "a", before, "New", (), INACTIVE),
    )


def test_who_was_disabled_here_stays_disabled_and_is_told() -> None:
    found = plan(
        [wanted("a"), wanted("b", name="New")], [stored("a", INACTIVE), stored("b", INACTIVE)]
    )

    assert kinds(found) == [("update", "b")]
    assert found.steps[0].status is INACTIVE
    assert found.held_shut == ("a", "b")


def test_who_was_disabled_here_is_enabled_when_told() -> None:
    rules = PlanRules(reenable=True)
    found = plan(
        [wanted("a"), wanted("b", INACTIVE)], [stored("a", INACTIVE), stored("b", INACTIVE)], rules
    )

    assert kinds(found) == [("enable", "a")]
    assert found.held_shut == ()


def test_who_is_held_for_a_moment_is_left_to_whoever_holds_it() -> None:
    """A change of it would be in the way of taking the hold back."""
    held = replace(stored("a", INACTIVE), held=True)
    for status in AccountStatus:
        found = plan([wanted("a", status, "New")], [held], PlanRules(reenable=True))
        assert (found.steps, found.held_shut, found.kept) == ((), (), 1)


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (Vanished.KEEP, []),
        (Vanished.DISABLE, [("disable", "in")]),
        (Vanished.DELETE, [("delete", "in"), ("delete", "out")]),
    ],
)
def test_what_vanished_is_kept_disabled_or_deleted(
    fate: Vanished, expected: list[tuple[str, str]]
) -> None:
    found = plan([], [stored("in"), stored("out", INACTIVE)], PlanRules(fate))

    assert kinds(found) == expected


def test_shutting_out_comes_before_letting_in() -> None:
    want = [
        wanted("new"),
        wanted("grown", groups=("admin",)),
        wanted("off", INACTIVE),
        wanted("x", INACTIVE),
    ]
    have = [stored("gone"), stored("grown"), stored("off")]

    assert kinds(plan(want, have)) == [
        ("disable", "gone"), ("disable", "off"), ("add", "x"), ("update", "grown"), ("add", "new"),
    ]  # fmt: skip


def test_a_subject_that_is_wanted_twice_is_an_error() -> None:
    with pytest.raises(NotAccounts, match="'a' is there twice"):
        plan([wanted("a"), wanted("a", INACTIVE)], [])


def test_a_subject_that_cannot_be_held_is_told_and_left_out() -> None:
    found = plan([wanted("a b"), wanted("ok")], [])

    assert kinds(found) == [("add", "ok")]
    assert [each.subject for each in found.unholdable] == ["a b"]


def test_a_subject_that_cannot_be_held_and_is_there_by_hand_can_still_be_shut_out() -> None:
    """It is named, so it has not vanished either."""
    rules = PlanRules(Vanished.DISABLE, reenable=True)

    assert kinds(plan([wanted("a b", INACTIVE, "N")], [stored("a b")], rules)) == [
        ("disable", "a b")
    ]
    assert kinds(plan([wanted("a b")], [stored("a b")], rules)) == []
    assert kinds(plan([wanted("a b")], [stored("a b", INACTIVE)], rules)) == []


def test_groups_and_names_that_cannot_be_held_are_told_and_left_out() -> None:
    found = plan([wanted("a", name="\x07", groups=("ops", "x,admin"))], [])

    assert found.steps[0].groups == ("ops",)
    assert found.steps[0].name == ""
    assert [(each.subject, "x,admin" in each.why) for each in found.unholdable] == [
        ("a", True), ("a", False),
    ]  # fmt: skip


def test_an_empty_list_shuts_out_nobody_unless_told() -> None:
    found = plan([], [stored("only")])

    assert found.steps == ()
    assert [step.subject for step in found.withheld] == ["only"]
    assert kinds(plan([], [stored("only")], PlanRules(Vanished.DISABLE))) == [("disable", "only")]
    assert plan([], []).withheld == ()


@pytest.mark.parametrize(("have", "vanish", "passes"), [
    (6, 5, True), (10, 5, True), (11, 6, False), (12, 6, True), (100, 50, True), (100, 51, False),
])  # fmt: skip
def test_more_than_the_share_do_not_vanish_at_once(have: int, vanish: int, passes: bool) -> None:  # noqa: FBT001
    there = many(have)
    found = plan([wanted(each.subject) for each in there[vanish:]], there)

    assert len(found.steps) == (vanish if passes else 0)
    assert len(found.withheld) == (0 if passes else vanish)


def test_a_list_that_is_not_believed_still_shuts_out_by_name_and_lets_nobody_in() -> None:
    want = [wanted("s0000", INACTIVE), wanted("new"), wanted("out", INACTIVE)]
    found = plan(want, many(20))

    assert kinds(found) == [("disable", "s0000"), ("add", "out")]
    assert len(found.withheld) == 20
    assert found.kept == 19


def test_who_is_inactive_anyway_does_not_count_as_vanishing() -> None:
    out = [stored(f"o{number}", INACTIVE) for number in range(50)]

    assert plan([], out).withheld == ()


SUBJECTS = st.sampled_from(["a", "b", "c/d", "e f", "=1", "\n"])
GROUPS = st.lists(st.sampled_from(["ops", "dev", "x,y", " z"]), max_size=3).map(tuple)
STATUSES = st.sampled_from(AccountStatus)
WANTED = st.lists(
    st.builds(WantedAccount, SUBJECTS, st.sampled_from(["", "N", "\x00"]), GROUPS, STATUSES),
    unique_by=lambda each: each.subject,
)
STORED = st.lists(
    st.builds(Account, st.just("1"), SUBJECTS, st.sampled_from(["", "O"]), GROUPS, STATUSES),
    unique_by=lambda each: each.subject,
)


def carried_out(found: Plan, have: Sequence[Account]) -> dict[str, Account]:
    accounts = {account.subject: account for account in have}
    for step in found.steps:
        if step.kind is Kind.DELETE:
            del accounts[step.subject]
        else:
            accounts[step.subject] = Account("1", step.subject, step.name, step.groups, step.status)
    return accounts


@HOSTILE
@given(WANTED, STORED, st.sampled_from(Vanished), st.sampled_from([0.0, 0.5, 1.0]))
def test_nobody_is_let_in_again_and_every_disabling_by_name_comes_through(
    want: list[WantedAccount], have: list[Account], fate: Vanished, share: float
) -> None:
    before = {account.subject: account for account in have}
    after = carried_out(plan(want, have, PlanRules(fate, max_vanished_share=share)), have)

    for subject, account in after.items():
        assert not (subject in before and account.is_active and not before[subject].is_active)
    for each in want:
        if each.subject in before and not each.is_active:
            assert not after[each.subject].is_active


@HOSTILE
@given(WANTED, STORED, st.sampled_from(Vanished), st.booleans())
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    want: list[WantedAccount],
    have: list[Account],
    fate: Vanished,
    reenable: bool,  # noqa: FBT001
) -> None:
    rules = PlanRules(fate, reenable=reenable)
    after = carried_out(plan(want, have, rules), have)

    assert plan(want, list(after.values()), rules).steps == ()
