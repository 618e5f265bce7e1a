"""Discovery documents as providers and strangers write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.provider_metadata import read_metadata
from sidecar.ports import FetchOutcome

GOOD: dict[str, Any] = {
    "issuer": "https://idp.example/",
    "jwks_uri": "https://idp.example/keys",
    "token_endpoint": "https://idp.example/token",
    "introspection_endpoint": "https://idp.example/introspect",
    "id_token_signing_alg_values_supported": ["HS256", "none", "RS256", "ML-DSA-65", 7],
}


def document(**changed: Any) -> bytes:
    members = {**GOOD, **changed}
    return json.dumps({name: v for name, v in members.items() if v is not None}).encode()


def test_what_a_document_says_is_read_and_symmetric_algorithms_are_left_out() -> None:
    found = read_metadata(document())

    assert found.issuer == "https://idp.example/"
    assert found.jwks_uri == "https://idp.example/keys"
    assert found.token_endpoint == "https://idp.example/token"
    assert found.introspection_endpoint == "https://idp.example/introspect"
    assert found.algorithms == {"RS256", "ML-DSA-65"}


def test_what_may_be_missing_is_missing() -> None:
    found = read_metadata(
        document(
            token_endpoint=None,
            introspection_endpoint="https://a\nb",
            id_token_signing_alg_values_supported="RS256",
        )
    )

    assert found.token_endpoint is None
    assert found.introspection_endpoint is None
    assert found.algorithms == frozenset()


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"<html>", "not JSON"),
        (b"[]", "not an object"),
        (document(issuer=None), "names no issuer"),
        (document(issuer=["a"]), "names no issuer"),
        (document(jwks_uri=None), "names no jwks_uri"),
        (document(jwks_uri=""), "names no jwks_uri"),
        (document(jwks_uri="https://é"), "names no jwks_uri"),
        (document(jwks_uri="https://a b"), "names no jwks_uri"),
        (document(jwks_uri="https://" + "a" * 2048), "names no jwks_uri"),
    ],
)
def test_what_is_no_document_is_refused(octets: bytes, says: str) -> None:
    with pytest.raises(FetchFailed) as failed:
        read_metadata(octets)

    assert failed.value.outcome is FetchOutcome.MALFORMED
    assert says in failed.value.detail


@given(st.binary(max_size=64) | st.dictionaries(st.sampled_from(list(GOOD)), st.text()).map(repr))
def test_no_octets_break_it(octets: bytes | str) -> None:
    text = octets if isinstance(octets, bytes) else octets.encode("utf-8", "replace")
    with pytest.raises(FetchFailed) as failed:
        read_metadata(text)

    assert failed.value.outcome is FetchOutcome.MALFORMED
