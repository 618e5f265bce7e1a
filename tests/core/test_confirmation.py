"""What a token is bound to, and what that demands of its sender."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.confirmation import (
    Binding,
    BindingRules,
    Confirmation,
    Demand,
    demand_of,
    read_confirmation,
)
from sidecar.core.decision import Denied, DenyReason

KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449, 6.1
CERTIFICATE = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"  # RFC 8705, A
OFF, ALLOWED, REQUIRED = Binding.OFF, Binding.ALLOWED, Binding.REQUIRED
MISSING, REFUSED = DenyReason.BINDING_MISSING, DenyReason.BINDING_REFUSED

MODES = st.sampled_from(Binding)
RULES = st.builds(BindingRules, MODES, MODES, st.booleans())
CONFIRMATIONS = st.none() | st.builds(
    Confirmation, st.sampled_from([None, KEY]), st.sampled_from([None, CERTIFICATE]), st.booleans()
)


def refusal_of(demand: Demand | None) -> DenyReason | None:
    return None if demand is None or demand.refusal is None else demand.refusal[0]


def test_the_examples_of_both_rfcs_are_read() -> None:
    assert read_confirmation({"cnf": {"jkt": KEY}}) == Confirmation(key=KEY)
    assert read_confirmation({"cnf": {"x5t#S256": CERTIFICATE}}) == Confirmation(
        certificate=CERTIFICATE
    )


def test_both_members_are_read_and_others_are_noticed() -> None:
    found = read_confirmation({"cnf": {"jkt": KEY, "x5t#S256": CERTIFICATE, "kid": "1"}})

    assert found == Confirmation(KEY, CERTIFICATE, has_others=True)


def test_without_the_claim_nothing_is_confirmed() -> None:
    assert read_confirmation({"sub": "robot"}) is None


@pytest.mark.parametrize(
    "claim",
    [
        None,
        {},
        [],
        "jkt",
        KEY,
        {"jkt": None},
        {"jkt": 1},
        {"jkt": ""},
        {"jkt": KEY[:-1]},
        {"jkt": KEY + "A"},
        {"jkt": KEY + "="},
        {"jkt": KEY[:-1] + "J"},  # the same octets in another spelling
        {"jkt": KEY.replace("-", "+")},
        {"jkt": KEY + "\n"},
        {"x5t#S256": [CERTIFICATE]},
        {"jkt": KEY, "x5t#S256": ""},
    ],
)
def test_a_malformed_confirmation_is_refused_and_not_quoted(claim: Any) -> None:
    with pytest.raises(Denied) as refused:
        read_confirmation({"cnf": claim})

    assert refused.value.reason is DenyReason.CLAIMS_REFUSED
    assert KEY not in refused.value.detail


@pytest.mark.parametrize(
    ("bound", "rules", "as_dpop", "reason"),
    [
        (Confirmation(KEY), BindingRules(), False, REFUSED),
        (Confirmation(None, CERTIFICATE), BindingRules(), False, REFUSED),
        (Confirmation(KEY), BindingRules(ALLOWED), False, REFUSED),
        (Confirmation(KEY), BindingRules(ALLOWED, as_bearer=True), False, REFUSED),
        (Confirmation(KEY), BindingRules(), True, REFUSED),
        (None, BindingRules(), True, REFUSED),
        (None, BindingRules(ALLOWED), True, MISSING),
        (None, BindingRules(REQUIRED), False, MISSING),
        (None, BindingRules(REQUIRED), True, MISSING),
        (None, BindingRules(OFF, REQUIRED), False, MISSING),
        (Confirmation(KEY), BindingRules(ALLOWED, REQUIRED), True, MISSING),
        (Confirmation(KEY, CERTIFICATE), BindingRules(ALLOWED), True, REFUSED),
        (Confirmation(KEY, CERTIFICATE), BindingRules(OFF, ALLOWED), False, REFUSED),
        (Confirmation(has_others=True), BindingRules(), False, REFUSED),
        (Confirmation(KEY, has_others=True), BindingRules(ALLOWED), True, REFUSED),
    ],
)
def test_what_nothing_shown_could_mend(
    *, bound: Confirmation | None, rules: BindingRules, as_dpop: bool, reason: DenyReason
) -> None:
    assert refusal_of(demand_of(bound, rules, as_dpop=as_dpop)) is reason


@pytest.mark.parametrize(
    ("bound", "rules", "as_dpop", "demand", "name"),
    [
        (Confirmation(KEY), BindingRules(ALLOWED), True, Demand(KEY), "dpop"),
        (Confirmation(KEY), BindingRules(REQUIRED), True, Demand(KEY), "dpop"),
        (
            Confirmation(None, CERTIFICATE),
            BindingRules(OFF, ALLOWED),
            False,
            Demand(None, CERTIFICATE),
            "mtls",
        ),
        (
            Confirmation(KEY, CERTIFICATE),
            BindingRules(ALLOWED, REQUIRED),
            True,
            Demand(KEY, CERTIFICATE),
            "dpop+mtls",
        ),
        (
            Confirmation(KEY, CERTIFICATE, has_others=True),
            BindingRules(OFF, ALLOWED, as_bearer=True),
            False,
            Demand(None, CERTIFICATE),
            "mtls",
        ),
    ],
)
def test_what_has_to_be_shown(
    *, bound: Confirmation, rules: BindingRules, as_dpop: bool, demand: Demand, name: str
) -> None:
    found = demand_of(bound, rules, as_dpop=as_dpop)

    assert found == demand
    assert found is not None
    assert found.binding == name


@given(bound=CONFIRMATIONS, rules=RULES, as_dpop=st.booleans())
def test_nothing_bound_passes_as_a_plain_bearer_unless_the_settings_say_so(
    *, bound: Confirmation | None, rules: BindingRules, as_dpop: bool
) -> None:
    if demand_of(bound, rules, as_dpop=as_dpop) is None:
        assert not as_dpop
        assert bound in (None, Confirmation()) or rules.as_bearer
        assert REQUIRED not in (rules.dpop, rules.mtls)


@given(bound=CONFIRMATIONS, rules=RULES, as_dpop=st.booleans())
def test_what_is_checked_is_demanded_whole(
    *, bound: Confirmation | None, rules: BindingRules, as_dpop: bool
) -> None:
    demand = demand_of(bound, rules, as_dpop=as_dpop)
    if demand is not None and demand.refusal is None:
        assert bound is not None
        assert as_dpop == (demand.key is not None)
        assert demand.key == (bound.key if rules.dpop is not OFF else None)
        assert demand.certificate == (bound.certificate if rules.mtls is not OFF else None)


@given(st.dictionaries(st.text(), st.text() | st.none()) | st.text() | st.integers())
def test_whatever_stands_there_is_read_or_refused(claim: Any) -> None:
    found = None
    with suppress(Denied):
        found = read_confirmation({"cnf": claim})

    assert found is None or found.key or found.certificate or found.has_others
