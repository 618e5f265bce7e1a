"""Lists of accounts from others: read whole, or not at all."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.subject import AccountStatus
from sidecar.core.wanted_accounts import NotAccounts, WantedAccount, read_wanted

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["subject", "name", "status", "groups", "x"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


def test_an_account_has_the_gateways_fields() -> None:
    """Also ids that are the gateway's own."""
    entry = {"id": "1", "org_id": "2", "subject": "a/b", "name": "A", "status": "inactive"}

    assert read_wanted([entry | {"groups": ["ops", "dev", "ops"]}]) == [
        WantedAccount("a/b", "A", ("ops", "dev"), AccountStatus.INACTIVE)
    ]


def test_null_is_an_empty_list_where_go_writes_it_so() -> None:
    assert read_wanted(None) == []
    assert read_wanted([{"subject": "a", "status": "active", "groups": None, "name": None}]) == [
        WantedAccount("a")
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"message": "access denied"}, "a list of accounts"),
        ("active", "a list of accounts"),
        ([None], "account 1: expected an object"),
        ([["subject"]], "account 1: expected an object"),
        ([{"status": "active"}], "the subject is missing"),
        ([{"subject": "", "status": "active"}], "the subject is missing"),
        ([{"subject": 7, "status": "active"}], "the subject is no text"),
        ([{"subject": "a"}], "the status is ''"),
        ([{"subject": "a", "status": "ACTIVE"}], "the status is 'ACTIVE'"),
        ([{"subject": "a", "status": True}], "the status is no text"),
        ([{"subject": "a", "status": "active", "groups": "ops"}], "groups: expected a list"),
        ([{"subject": "a", "status": "active", "groups": [1]}], "groups: expected a list"),
        ([{"subject": "a", "status": "active", "name": 1}], "the name is no text"),
    ],
)
def test_one_bad_entry_spoils_the_list(document: Any, says: str) -> None:
    with pytest.raises(NotAccounts, match=says):
        read_wanted(document)


def test_a_field_that_people_mistyped_is_refused_where_people_write() -> None:
    entry = {"subject": "a", "status": "active", "group": ["ops"]}

    assert read_wanted([entry]) == [WantedAccount("a")]
    with pytest.raises(NotAccounts, match="'group' is none of subject, name, status, groups"):
        read_wanted([entry], known_fields_only=True)


def test_what_is_wrong_is_told_in_a_line_of_bounded_length() -> None:
    with pytest.raises(NotAccounts) as refused:
        read_wanted([{"subject": "a", "status": "\n\x1b" * 10_000}])

    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@HOSTILE
@given(ANY)
def test_whatever_it_is_it_is_read_or_refused(document: Any) -> None:
    try:
        wanted = read_wanted(document)
    except NotAccounts:
        return
    assert all(each.subject and isinstance(each.status, AccountStatus) for each in wanted)
