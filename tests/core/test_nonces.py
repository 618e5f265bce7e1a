"""Nonces for proofs, made by whoever holds the secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.nonces import Nonces

NOW = 1_700_000_000.0
OURS = Nonces(b"a secret of thirty-two characters", 300.0)


@given(st.floats(0, 2e9), st.floats(0, 300))
def test_a_nonce_is_good_for_its_lifetime_at_least(now: float, later: float) -> None:
    assert OURS.is_good(OURS.current(now), now + later)


@given(st.floats(1e6, 2e9))
def test_a_nonce_is_not_good_for_ever(now: float) -> None:
    assert not OURS.is_good(OURS.current(now), now + 601)


def test_another_replica_takes_it() -> None:
    twin = Nonces(b"a secret of thirty-two characters", 300.0)

    assert twin.is_good(OURS.current(NOW), NOW)
    assert twin.is_good(OURS.current(NOW + 5), NOW - 5)  # its clock is behind


@pytest.mark.parametrize("nonce", ["", "x", "\u00e4" * 32, "A" * 32, OURS.current(NOW) + "A"])
def test_what_is_none_of_ours_is_not_good(nonce: str) -> None:
    assert not OURS.is_good(nonce, NOW)


def test_who_has_another_secret_makes_others() -> None:
    other = Nonces(b"another one of thirty-two characters", 300.0)

    assert not OURS.is_good(other.current(NOW), NOW)


def test_it_can_be_sent_in_a_header() -> None:
    assert len(OURS.current(NOW)) == 32
    assert OURS.current(NOW).replace("-", "").replace("_", "").isalnum()
