"""The keys of identity assertions: the same for all who have the secret, and new in time."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.assertion_keys import Algorithm, AssertionKeys

SECRET = bytes(range(32))
DAY = 86400.0


def kids(published: dict[str, Any]) -> list[str]:
    return [key["kid"] for key in published["keys"]]


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_whoever_has_the_secret_has_the_same_keys(algorithm: Algorithm) -> None:
    one, other = (AssertionKeys(SECRET, algorithm, DAY) for _ in range(2))

    assert one.published(5 * DAY) == other.published(5 * DAY + 100)
    assert one.signing(5 * DAY).as_dict(private=True) == other.signing(5 * DAY).as_dict(
        private=True
    )
    assert kids(one.published(0)) != kids(
        AssertionKeys(SECRET[1:] + b"x", algorithm, DAY).published(0)
    )


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_only_the_public_half_is_published(algorithm: Algorithm) -> None:
    for key in AssertionKeys(SECRET, algorithm, DAY).published(0)["keys"]:
        assert "d" not in key
        assert (key["use"], key["alg"]) == ("sig", algorithm)


@given(periods=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_what_signs_was_published_a_period_before_and_is_one_after(periods: list[int]) -> None:
    keys = AssertionKeys(SECRET, "Ed25519", DAY)
    for period in periods:  # clocks step back, too
        now = (10 + period) * DAY + 1
        kid = keys.signing(now).thumbprint()

        assert kids(keys.published(now - DAY))[2] == kid
        assert kids(keys.published(now))[1] == kid
        assert kids(keys.published(now + DAY))[0] == kid
        assert kid not in kids(keys.published(now + 2 * DAY))


def test_the_keys_differ_by_what_they_are_for() -> None:
    made = {
        kid
        for algorithm in ("ES256", "Ed25519")
        for rotate_every in (DAY, DAY / 2)
        for kid in kids(AssertionKeys(SECRET, algorithm, rotate_every).published(0))
    }

    assert len(made) == 12


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        AssertionKeys(SECRET[1:], "ES256", DAY)
