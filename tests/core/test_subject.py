"""Subjects and accounts as stored (J25, R12)."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.subject import (
    Account,
    AccountStatus,
    SubjectKey,
    is_group,
    is_subject,
    read_account,
    read_groups,
    read_not_before,
    write_account,
    write_tombstone,
)

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))

GROUPS = st.text(VISIBLE.replace(",", ""), min_size=1, max_size=20)
ACCOUNTS = st.builds(
    Account,
    id=st.text(max_size=40),
    subject=st.just("robot"),
    name=st.text(max_size=40),
    groups=st.lists(GROUPS, unique=True, max_size=4).map(tuple),
    status=st.sampled_from(AccountStatus),
    not_before=st.floats(0, 2**53),
    updated_at=st.floats(0, 2**53),
    updated_by=st.text(max_size=40),
)


@pytest.mark.parametrize(
    "text", ["a", "a" * 255, VISIBLE, "5f9c0b1e-1d1f-4d52", "repo:org/x:ref:main", "a,b;c"]
)
def test_visible_ascii_is_a_subject(text: str) -> None:
    assert is_subject(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 256,
        " a",
        "a ",
        "a b",
        "a\tb",
        "s\r\nX-Auth-Groups: admin",
        "a\n",
        "a\x00",
        "a\x7f",
        "\u0430dmin",  # Cyrillic a
        "admin\u200b",
        "x\u00e9",
        "\ud800",
        "\uff41",
    ],
)
def test_anything_else_is_no_subject(text: str) -> None:
    assert not is_subject(text)


@pytest.mark.parametrize("text", ["a", "Domain Admins", "a:b", "a" * 255])
def test_a_group_may_hold_inner_spaces(text: str) -> None:
    assert is_group(text)


@pytest.mark.parametrize(
    "text",
    ["", " a", "a ", "a,b", ",", "a\nb", "a\r\n", "a\x00", "a\x7f", "\u0430", "\ud800", "a" * 256],
)
def test_what_could_forge_another_group_is_none(text: str) -> None:
    assert not is_group(text)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", ()),
        ("admin", ("admin",)),
        ("admin, ops ,admin", ("admin", "ops")),
        ('["admin","ops","admin"]', ("admin", "ops")),
        ('["a,b"," c","d",7,null,["e"],"\\u0000"]', ("d",)),
        ("[]", ()),
        ("[", ()),
        ('["admin"', ()),
        ('["admin"] x', ()),
        ("[" * 100_000, ()),
        ("[" + "9" * 5000 + "]", ()),
        ("a\nb,c", ("c",)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_groups_are_read_from_json_or_a_comma_list(text: str, groups: tuple[str, ...]) -> None:
    assert read_groups(text) == groups


@HOSTILE
@given(st.text() | st.text().map(lambda text: f"[{text}"))
def test_any_text_yields_groups_that_can_travel(text: str) -> None:
    assert all(is_group(name) for name in read_groups(text))


def test_no_fields_are_no_account() -> None:
    assert read_account("robot", {}) is None


@pytest.mark.parametrize(
    "status",
    [
        "inactive",
        "ACTIVE",
        "Active",
        "active\n",
        " active",
        "active\x00",
        "1",
        "true",
        "",
        "<html>",
    ],
)
def test_only_the_exact_word_is_active(status: str) -> None:
    account = read_account("robot", {"status": status})

    assert account is not None
    assert not account.is_active


def test_a_missing_status_is_not_active() -> None:
    account = read_account("robot", {"name": "Robot"})

    assert account is not None
    assert not account.is_active


def test_an_account_is_read_with_its_defaults() -> None:
    account = read_account("robot", {"status": "active"})

    assert account == Account("", "robot", "", (), AccountStatus.ACTIVE)
    assert account.is_active


def test_the_subject_is_the_keys_not_the_fields() -> None:
    """A field that names another subject must not change whose account it is."""
    account = read_account("robot", {"subject": "admin", "status": "active"})

    assert account is not None
    assert account.subject == "robot"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, 0.0),
        ("", 0.0),
        ("0", 0.0),
        ("1700000000", 1.7e9),
        ("1700000000.25", 1700000000.25),
        ("1e3", 1000.0),
        ("inf", float("inf")),
    ],
)
def test_a_date_is_epoch_seconds(text: str | None, moment: float) -> None:
    assert read_not_before(text) == moment


@pytest.mark.parametrize(
    "text", ["nan", "NaN", "-nan", "-1", "-inf", "2026-11-24", "now", "0x10", "\x00", " ", "1,5"]
)
def test_a_date_that_cannot_be_read_revokes_every_token(text: str) -> None:
    """``iat < nan`` is false for every token: nothing would be revoked."""
    assert read_not_before(text) == float("inf")


@HOSTILE
@given(ACCOUNTS)
def test_an_account_is_read_as_it_was_written(account: Account) -> None:
    assert read_account("robot", write_account(account)) == account


@HOSTILE
@given(
    st.dictionaries(
        st.sampled_from(sorted(write_account(Account("", "", "", (), AccountStatus.ACTIVE)))),
        st.text(),
    )
)
@example({"groups": "[[", "status": "active", "not_before": "\ud800"})
def test_any_fields_are_read(fields: dict[str, str]) -> None:
    account = read_account("robot", fields)

    assert (account is None) == (not fields)
    if account is not None:
        assert account.is_active == (fields.get("status") == "active")
        assert account.not_before >= 0


def test_groups_are_stored_as_json() -> None:
    account = Account("", "robot", "", ("Domain Admins", "ops"), AccountStatus.INACTIVE)

    assert json.loads(write_account(account)["groups"]) == ["Domain Admins", "ops"]
    assert write_account(replace(account))["status"] == "inactive"


def test_a_key_is_realm_and_subject() -> None:
    assert SubjectKey("a", "b:c") != SubjectKey("a:b", "c")


def test_what_a_deletion_leaves_is_an_unknown_subject_with_its_not_before() -> None:
    left = write_tombstone(12.5)

    assert read_account("alice", left) is None
    assert read_not_before(left["not_before"]) == 12.5
