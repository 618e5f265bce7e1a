"""Groups: the account's or the token's, under the names that routes and upstream know."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.groups import ACCOUNT_GROUPS, MAX_GROUPS, MAX_GROUPS_LENGTH, GroupRules
from sidecar.core.subject import Account, AccountStatus, is_group

HOOP = "https://app.hoop.dev/groups"
CLAIM = GroupRules(HOOP)
ACCOUNT = Account("id", "robot", "Robot", ("ops", "sre"), AccountStatus.ACTIVE)
RENAMED = GroupRules(HOOP, {"a1b2-c3": "admin", "Betrieb, Süd": "ops"})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        ([], ()),
        (["ops"], ("ops",)),
        (["ops", "sre", "ops"], ("ops", "sre")),
        (["on call"], ("on call",)),
        ("", ()),
        ("ops", ("ops",)),
        ("ops sre", ("ops", "sre")),
        ("ops,sre", ("ops", "sre")),
        (", ops , sre ,", ("ops", "sre")),
        ("/path/ops urn:x:sre", ("/path/ops", "urn:x:sre")),
    ],
)
def test_a_claim_is_a_list_or_words(value: object, groups: tuple[str, ...]) -> None:
    assert CLAIM.of_claims({HOOP: value}) == groups


@pytest.mark.parametrize(
    "odd",
    [
        "ops,admin",
        "ops\r\nX-Auth-Groups: admin",
        " admin",
        "admin ",
        "",
        "\u0430dmin",  # a Cyrillic letter
        "a\x00",
        "\ud800",
        "x" * 256,
    ],
    ids=repr,
)
def test_a_name_that_would_forge_another_is_left_out(odd: str) -> None:
    assert CLAIM.of_claims({HOOP: ["ops", odd]}) == ("ops",)


def test_a_word_is_parted_at_spaces_and_commas_alone() -> None:
    assert CLAIM.of_claims({HOOP: "a\u00a0admin b\u2028admin c\tadmin"}) == ()


@pytest.mark.parametrize("value", [None, 7, True, {}, {"admin": 1}, [["admin"]], ["a", 7], [None]])
def test_a_claim_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="the groups claim is neither"):
        CLAIM.of_claims({HOOP: value})


@pytest.mark.parametrize(
    ("value", "is_too_much"),
    [
        ([str(number) for number in range(MAX_GROUPS)], False),
        ([str(number) for number in range(MAX_GROUPS + 1)], True),
        (["x"] * (MAX_GROUPS + 1), True),
        ("a " * (MAX_GROUPS + 1), True),
        (["x" * MAX_GROUPS_LENGTH], False),
        (["x" * MAX_GROUPS_LENGTH, "y"], True),
    ],
    ids=range(6),
)
def test_a_claim_is_bounded_in_number_and_size(value: object, *, is_too_much: bool) -> None:
    if not is_too_much:
        assert len(CLAIM.of_claims({HOOP: value})) in (0, MAX_GROUPS)
        return
    with pytest.raises(ValueError, match=f"more than {MAX_GROUPS}"):
        CLAIM.of_claims({HOOP: value})


def test_a_dotted_or_slashed_name_is_one_member_not_a_path() -> None:
    nested = {"https://app": {"hoop": {"dev/groups": ["admin"]}}, "realm_access": {"roles": ["x"]}}

    assert CLAIM.of_claims(nested) == ()
    assert GroupRules("realm_access.roles").of_claims(nested) == ()
    assert GroupRules("realm_access.roles").of_claims({"realm_access.roles": ["x"]}) == ("x",)


def test_an_absent_claim_names_no_groups() -> None:
    """Entra ID leaves it out where there are more than 200, and sends ``_claim_names`` instead."""
    assert CLAIM.of_claims({"_claim_names": {"groups": "src1"}}) == ()


def test_groups_are_the_accounts_or_the_claims_never_both() -> None:
    claim = {"groups": ["admin"], HOOP: ["admin"]}

    assert ACCOUNT_GROUPS.of_claims(claim) == ()
    assert ACCOUNT_GROUPS.of_caller(("admin",), ACCOUNT) == ("ops", "sre")
    assert ACCOUNT_GROUPS.of_caller(("admin",), None) == ()
    assert CLAIM.of_caller(("dev",), ACCOUNT) == ("dev",)
    assert CLAIM.of_caller(("dev",), None) == ("dev",)


def test_groups_get_their_other_names() -> None:
    assert RENAMED.of_claims({HOOP: ["a1b2-c3", "dev"]}) == ("admin", "dev")
    # A name that could not stand as a group may become one that can.
    assert RENAMED.of_claims({HOOP: ["Betrieb, Süd"]}) == ("ops",)
    assert GroupRules(None, {"sre": "admin"}).of_caller((), ACCOUNT) == ("ops", "admin")


def test_several_groups_may_become_one_and_two_may_change_places() -> None:
    joined = GroupRules("g", {"a": "x", "b": "x"})
    swapped = GroupRules("g", {"a": "b", "b": "a"})

    assert joined.of_claims({"g": ["a", "b"]}) == ("x",)
    assert swapped.of_claims({"g": ["a"]}) == ("b",)


def test_a_name_that_the_mapping_gives_out_cannot_be_had_past_it() -> None:
    """Whoever may name groups in the provider's directory would name one ``admin``."""
    assert RENAMED.of_claims({HOOP: ["admin", "dev"]}) == ("dev",)
    assert GroupRules(None, {"x": "ops"}).of_caller((), ACCOUNT) == ("sre",)
    assert GroupRules("g", {"admin": "admin"}).of_claims({"g": ["admin"]}) == ("admin",)


def test_what_counts_for_nothing_can_be_shown() -> None:
    assert RENAMED.left_out({HOOP: ["admin", "dev", "a,b", "a1b2-c3"]}) == ("admin", "a,b")
    assert RENAMED.left_out({}) == ()
    assert ACCOUNT_GROUPS.left_out({"groups": ["a,b"]}) == ()


@given(JSON)
def test_whatever_the_claim_holds_it_is_refused_or_names_groups(value: Any) -> None:
    try:
        groups = CLAIM.of_claims({HOOP: value})
    except ValueError:
        return
    assert all(is_group(name) for name in groups)
    assert len(groups) <= MAX_GROUPS
    assert len(set(groups)) == len(groups)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from("abcde")),
    st.lists(st.sampled_from("abcde")),
)
def test_what_the_mapping_gives_out_has_a_source_that_was_there(
    names: dict[str, str], claimed: list[str]
) -> None:
    for group in GroupRules("g", names).of_claims({"g": claimed}):
        sources = {name for name in claimed if names.get(name) == group}
        assert sources or (group in claimed and group not in names.values())
