"""The list of accounts: searched, sorted, by pages."""

import pytest

from sidecar.admin.console.roster import (
    Asked,
    Doings,
    Entry,
    Listing,
    matching,
    read_asked,
)
from sidecar.core.last_use import LastUse, UseRecord
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.service_accounts import ServiceAccounts
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.store import FakeAccountStore


def account(subject: str, name: str = "", *groups: str, active: bool = True) -> Account:
    status = AccountStatus.ACTIVE if active else AccountStatus.INACTIVE
    return Account("id", subject, name, groups, status)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, Asked("corp")),
        ({"q": " x ", "status": "inactive", "sort": "-rate", "page": "3"},
         Asked("corp", "x", "inactive", "-rate", 3)),
        ({"status": "odd", "sort": "--rate", "page": "-1"}, Asked("corp")),
        ({"sort": "rate; drop", "page": "9" * 30}, Asked("corp")),
        ({"page": "0"}, Asked("corp")),
        ({"page": "٣"}, Asked("corp")),
        ({"q": "x" * 999}, Asked("corp", "x" * 255)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_counts_as_nothing(query: dict[str, str], asked: Asked) -> None:
    assert read_asked(query, "corp") == asked


def test_a_heading_sorts_and_on_second_thought_the_other_way() -> None:
    asked = Asked("corp", "a b", sort="subject", page=4)

    assert asked.sorted_by("subject") == "/console/?realm=corp&q=a+b&sort=-subject"
    assert asked.sorted_by("rate") == "/console/?realm=corp&q=a+b&sort=-rate"
    by_rate = Asked("corp", sort="-rate")
    assert by_rate.sorted_by("rate") == "/console/?realm=corp&sort=rate"
    assert asked.link(page=5) == "/console/?realm=corp&q=a+b&page=5"


def test_subject_name_and_groups_are_searched() -> None:
    accounts = [
        account("alice", "Nightly"),
        account("bob", "", "ops", "NIGHT"),
        account("night", active=False),
        account("carol"),
    ]

    def found(search: str, status: str = "") -> list[str]:
        return [each.subject for each in matching(accounts, Asked("corp", search, status))]

    assert found("night") == ["alice", "bob", "night"]
    assert found("night", "active") == ["alice", "bob"]
    assert found("") == ["alice", "bob", "night", "carol"]


def test_what_an_account_does_is_put_beside_it_and_the_later_moment_counts() -> None:
    accounts = [account("alice"), account("bob"), account("carol")]
    activity = [
        {"realm": "corp", "subject": "alice", "streams": 2, "rate": 3.5, "seen": 70.0},
        {"realm": "corp", "subject": "bob", "streams": 1, "rate": 0.0, "seen": 0.0},
        {"realm": "lab", "subject": "carol", "streams": 9, "rate": 9.0, "seen": 9.0},
    ]
    uses = UseRecord(0.0, {"alice": LastUse(50.0, 1), "carol": LastUse(60.0, 1)})

    doings = Doings("corp", activity, uses)

    found = [doings.entry(each) for each in accounts]
    assert [(each.streams, each.rate, each.seen) for each in found] == [
        (2, 3.5, 70.0),
        (1, 0.0, 0.0),
        (0, 0.0, 60.0),
    ]


def test_accounts_are_ordered_by_what_is_asked_for() -> None:
    accounts = [account("a"), account("b", "Z")]
    activity = [
        {"realm": "corp", "subject": "a", "streams": 1, "rate": 5.0, "seen": 0.0},
        {"realm": "corp", "subject": "b", "streams": 3, "rate": 1.0, "seen": 9.0},
    ]
    doings = Doings("corp", activity, None)

    def order(sort: str) -> list[str]:
        return [each.subject for each in doings.ordered(accounts, Asked("corp", sort=sort))]

    assert order("-streams") == ["b", "a"]
    assert order("-rate") == ["a", "b"]
    assert order("-seen") == ["b", "a"]
    assert order("-subject") == ["b", "a"]
    assert [order(each) for each in ("name", "status", "updated")] == [["a", "b"]] * 3


def test_only_a_subject_that_a_token_can_have_has_a_page() -> None:
    assert Entry(account("alice")).has_page
    assert not Entry(account("<img src=x>\u202e")).has_page


async def test_accounts_are_listed_once_for_a_moment_and_anew_after_a_change() -> None:
    clock, store = FakeClock(), FakeAccountStore()
    accounts = ServiceAccounts(store, clock, RecordingObserver(), actor="test")
    listing = Listing(clock)
    assert await listing.of("corp", accounts) == []
    await accounts.create(SubjectKey("corp", "alice"))
    assert await listing.of("corp", accounts) == []

    clock.advance(1)
    assert len(await listing.of("corp", accounts)) == 1

    await accounts.create(SubjectKey("corp", "bob"))
    listing.forget()
    assert len(await listing.of("corp", accounts)) == 2
