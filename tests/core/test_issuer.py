"""What we demand of an issuer, when nothing was said."""

from dataclasses import FrozenInstanceError

import pytest

from sidecar.core.issuer import ACCESS_TOKEN_TYPES, ASYMMETRIC_ALGORITHMS, Issuer


def test_no_algorithm_with_a_shared_secret_or_none_at_all_is_known() -> None:
    assert not [name for name in ASYMMETRIC_ALGORITHMS if name.startswith("HS")]
    assert "none" not in {name.lower() for name in ASYMMETRIC_ALGORITHMS}


def test_id_tokens_and_proofs_are_no_access_tokens() -> None:
    assert {"jwt", "at+jwt", "application/at+jwt"} == ACCESS_TOKEN_TYPES


def test_the_defaults_are_strict() -> None:
    issuer = Issuer("https://idp.example")

    assert issuer.algorithms <= ASYMMETRIC_ALGORITHMS
    assert issuer.leeway == 0
    assert not issuer.kid_optional
    assert not issuer.audiences
    assert not issuer.clients


def test_rules_do_not_change_after_start() -> None:
    with pytest.raises(FrozenInstanceError):
        Issuer("https://idp.example").leeway = 60.0  # type: ignore[misc]


def test_groups_are_the_accounts_unless_told_otherwise() -> None:
    assert Issuer("https://idp.example").groups.claim is None
