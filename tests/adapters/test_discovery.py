import json

import pytest

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.discovery import discovery_urls, read_jwks_uri
from sidecar.ports import FetchOutcome


@pytest.mark.parametrize(
    ("issuer", "openid", "oauth"),
    [
        (
            "https://a.example",
            "https://a.example/.well-known/openid-configuration",
            "https://a.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.example/",
            "https://a.example/.well-known/openid-configuration",
            "https://a.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://a.example/realms/r",
            "https://a.example/realms/r/.well-known/openid-configuration",
            "https://a.example/.well-known/oauth-authorization-server/realms/r",
        ),
    ],
)
def test_the_document_is_looked_for_where_both_standards_put_it(
    issuer: str, openid: str, oauth: str
) -> None:
    assert list(discovery_urls(issuer)) == [openid, oauth]


def test_the_keys_are_where_the_issuers_own_document_says() -> None:
    document = json.dumps({"issuer": "https://a", "jwks_uri": "https://keys.example/x"})

    assert read_jwks_uri(document.encode(), "https://a") == "https://keys.example/x"


@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        (b"<html>", FetchOutcome.MALFORMED),
        (b'{"issuer":"https://a"}', FetchOutcome.MALFORMED),
        (b'{"issuer":"https://a","jwks_uri":7}', FetchOutcome.MALFORMED),
        (b'{"issuer":"https://a","jwks_uri":"https://\\n"}', FetchOutcome.MALFORMED),
        (b'{"issuer":"https://b","jwks_uri":"https://k"}', FetchOutcome.ISSUER_MISMATCH),
        (b'{"issuer":"https://a/","jwks_uri":"https://k"}', FetchOutcome.ISSUER_MISMATCH),
        (b'{"jwks_uri":"https://k"}', FetchOutcome.ISSUER_MISMATCH),
    ],
)
def test_another_issuers_document_is_refused(document: bytes, outcome: FetchOutcome) -> None:
    """K8."""
    with pytest.raises(FetchFailed) as failed:
        read_jwks_uri(document, "https://a")

    assert failed.value.outcome is outcome
